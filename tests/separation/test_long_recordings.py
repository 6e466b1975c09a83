"""A short conversation is found wherever it is in a long recording: the rest of the recording does not matter."""

import numpy as np
import pytest
from test_known_sounds import separator, tone

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.examples import EXAMPLES
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.separation.frame_levels import sustained_level
from lab41_sce.separation.running_scaling import RunningScaling
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.window_signals import choose_windows

RATE_HZ, WINDOW_SECONDS, TALK_SECONDS = 10000, 5.12, 2
LOW_HZ, HIGH_HZ = 700, 1500


def faint_noise(seconds):
    return 1e-5 * np.random.default_rng(0).standard_normal(round(seconds * RATE_HZ), np.float32)


def open_stream(recording):
    """Open a recording with a network whose embeddings state whether a frequency is low or high."""
    low_and_high = separator(window_seconds=WINDOW_SECONDS)
    low_and_high.model.cluster_variance = 0.1
    return low_and_high.open(Recording.of(recording, RATE_HZ))


@pytest.mark.parametrize(("n_windows", "place"), [(1, 0.5), (25, 0.05), (25, 1.0), (50, 0.29), (100, 0.57)])
def test_a_talk_is_found_anywhere(n_windows, place):
    recording = faint_noise((n_windows + 0.5) * WINDOW_SECONDS)
    start = round(place * (len(recording) - TALK_SECONDS * RATE_HZ))
    talk = sum(tone(hz, TALK_SECONDS, rate_hz=RATE_HZ) for hz in (LOW_HZ, HIGH_HZ))
    recording[start : start + len(talk)] += talk
    stream = open_stream(recording)
    assert len(stream.windows) == n_windows and stream.speakers.n_speakers == 2
    np.testing.assert_allclose(np.sort(stream.speakers.centroids[:, :2], axis=0), [[0, 0], [1, 1]], atol=0.02)


def test_several_threads_and_one_give_the_same_voices(monkeypatch):
    recording = np.random.default_rng(1).standard_normal(round(5.5 * WINDOW_SECONDS * RATE_HZ)).astype(np.float32)
    voices = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        stream = separator(window_seconds=WINDOW_SECONDS).open(Recording.of(recording, RATE_HZ), 2, keep_seconds=4.0)
        voices.append(np.concatenate([*stream], axis=-1))
        details = stream.result().details
        assert details.masks.shape[1] == len(details.magnitudes) == len(details.embeddings)
        assert abs(len(details.magnitudes) * FrontEnd().hop_length / RATE_HZ - 4.0) < 0.02
    np.testing.assert_allclose(voices[0], voices[1], atol=1e-5)


def test_two_people_who_never_speak_in_the_same_window_are_found():
    recording = faint_noise(60 * WINDOW_SECONDS)
    for window, hz in ((7, LOW_HZ), (52, HIGH_HZ)):
        start = round(window * WINDOW_SECONDS * RATE_HZ)
        recording[start : start + RATE_HZ] += tone(hz, 1, rate_hz=RATE_HZ)
    assert open_stream(recording).speakers.n_speakers == 2


def test_silence_adds_no_window_and_takes_none_away():
    loudness = np.zeros(100)
    loudness[[3, 40, 41]] = 5.0, 0.1, 7.0
    for length in (50, 99, 100):
        assert choose_windows(loudness[:length], most=24) == [3, 40, 41]
    assert choose_windows(np.ones(24), most=24) == [*range(24)]
    assert choose_windows(np.zeros(100), most=24) == [0]


def test_of_many_windows_those_with_most_speech_and_some_of_the_others_are_chosen():
    loudness = np.random.default_rng(0).random(1000)
    chosen = choose_windows(loudness, most=24)
    assert len({*chosen}) == 24 and chosen == sorted(chosen)
    assert {*np.argsort(-loudness)[:12]} <= {*chosen}
    others = [index for index in chosen if index not in np.argsort(-loudness)[:12]]
    assert np.diff(others).max() < 200  # from the whole recording


@pytest.mark.parametrize("seconds", [30, 120, 1200])
def test_the_peak_is_that_of_the_speech_whatever_the_length_of_the_noise(seconds):
    """Five seconds of speech 60 dB above noise, and slams of 0.2 s, 40 dB above the speech, one each minute."""
    front_end = FrontEnd()
    frames_per_second = front_end.sample_rate_hz / front_end.hop_length
    levels = np.full(round(seconds * frames_per_second), 1e-3)
    levels[round(9 * frames_per_second) : round(14 * frames_per_second)] = 1.0
    for slam in range(5, seconds, 60):
        levels[round(slam * frames_per_second) :][: round(0.2 * frames_per_second)] = 100.0
    scaling = RunningScaling(front_end)
    scaling.add(np.repeat(levels[:, None], 3, axis=1))
    assert 1.0 <= scaling.peak <= 10 ** (RunningScaling.EVENT_DB / 20) + 1e-6


def test_a_sustained_level_lasts_longer_than_an_event():
    levels = np.zeros(400)  # ten seconds
    levels[30:50], levels[145:170] = 9.0, 2.0  # an event of half a second, and a longer sound
    assert sustained_level(levels, frame_seconds=0.025) == 2.0
    assert sustained_level(levels[:100], frame_seconds=0.025) == 0.0
    assert sustained_level(levels[146:167], frame_seconds=0.025) == 2.0


@pytest.mark.slow
def test_the_shipped_model_finds_half_a_minute_in_twenty_five():
    rate_hz = 8000
    talk = np.tile(audio.read_mono(EXAMPLES[0], rate_hz), 4)
    separator = Separator.from_pretrained()
    alone = separator.separate(talk, rate_hz, 2).voices
    recording = 1e-5 * np.random.default_rng(0).standard_normal(25 * 60 * rate_hz, np.float32)
    recording[75 * rate_hz :][: len(talk)] += talk
    stream = separator.open(Recording.of(recording, rate_hz))
    assert len(stream.windows) > 24 and stream.speakers.n_speakers == 2
    voices = np.concatenate([*stream], axis=-1)[:, 0, 75 * rate_hz :][:, : len(talk)]
    errors = min(np.square(order - alone).mean() for order in (voices, voices[::-1]))
    assert 10 * np.log10(errors / np.square(alone).mean()) < -20


def test_a_slamming_door_does_not_change_the_voices_beside_it():
    """A burst of 0.45 s, 20 dB above the peak of the speech; with limits of 0.25 s and 10 dB, 3 dB were left."""
    signal, rate_hz = audio.load_audio(EXAMPLES[0])
    start, stop = 2 * rate_hz, 2 * rate_hz + round(0.45 * rate_hz)
    slammed, beside = signal.copy(), np.ones(len(signal), bool)
    burst = np.random.default_rng(0).uniform(-1, 1, stop - start).astype(np.float32)
    slammed[start:stop] += 10 * np.abs(signal).max() * burst
    beside[start - rate_hz // 5 : stop + rate_hz // 5] = False
    separator = Separator.from_pretrained()
    alone, found = (separator.separate(recording, rate_hz, 2).voices[:, beside] for recording in (signal, slammed))
    errors = [np.square(alone - found[order]).sum() for order in ([0, 1], [1, 0])]
    assert min(errors) < 10**-1.2 * np.square(alone).sum()
