"""Separation of sounds whose voices are known: a made-up network distinguishes low from high frequencies."""

import itertools

import numpy as np
import pytest

from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.separation.separator import Separator

RATE_HZ = 16000


class Bands:
    """A network whose embeddings state whether a bin is below an edge frequency and whether its frame is loud."""

    def __init__(self, edge_hz):
        self.edge_hz = edge_hz

    def predict_on_batch(self, features):
        is_low = np.linspace(0, 5000, features.shape[2]) < self.edge_hz
        is_broad = np.broadcast_to(features.mean(axis=2, keepdims=True) > 0.5, features.shape)
        return np.stack([is_low & ~is_broad, ~is_low & ~is_broad, is_broad], axis=-1).astype(np.float32)


def separator(edge_hz=1000, hop_length=256, window_seconds=60.0):
    model = EmbeddingModel(FrontEnd(hop_length=hop_length), Bands(edge_hz))
    model.cluster_variance, model.verification_threshold = 0.5, 0.5
    return Separator(model, window_seconds)


def tone(hz, seconds, spans=None, rate_hz=RATE_HZ):
    """Return a tone that sounds in given spans, pairs of seconds."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    sounds = np.ones_like(time, bool) if spans is None else sum((time >= a) & (time < b) for a, b in spans) > 0
    return (0.1 * sounds * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def power_at(signal, hz):
    """Return the share of a signal's power that lies within 50 Hz of a frequency."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    near = np.abs(np.fft.rfftfreq(len(signal), 1 / RATE_HZ) - hz) < 50
    return power[near].sum() / power.sum()


@pytest.mark.parametrize("hz", [300, 3000])
def test_the_enrolled_person_comes_first(hz):
    """Either person can be enrolled, whatever the order of the clusters."""
    low_and_high = separator()
    mixture = Recording.of(tone(300, 3) + tone(3000, 3), RATE_HZ)
    alone = tone(hz + 50, 2, [(0, 1)]) + tone(1.5 * hz, 2, [(1, 2)])
    result = low_and_high.separate(mixture, n_speakers=2, enroll={"Ann": [alone]})
    voices, [ann] = result.voices[:, 0], result.people
    assert ann.present and ann.similarity[0] > 0.9 > ann.similarity[1] and result.names == ["Ann", "2"]
    assert power_at(voices[0], hz) > 0.9 > 0.1 > power_at(voices[1], hz)


def test_activity_of_windows_is_timed_right():
    spans = [(1.0, 4.5), (6.0, 9.0), (12.5, 17.0)], [(3.0, 7.1), (18.0, 20.5)]
    signal = tone(700, 24, spans[0]) + tone(1500, 24, spans[1])
    stream = separator(window_seconds=2.0).open(Recording.of(signal, RATE_HZ), 2)
    assert len([*stream]) > 3  # windows
    activity = stream.result().activity
    found = sorted(activity.segments(), key=len, reverse=True)
    for of_voice, wanted in zip(found, spans, strict=True):
        np.testing.assert_allclose(of_voice, wanted, atol=0.06)
    assert len(activity.magnitudes) == pytest.approx(24 * 10000 / 256, abs=2)


@pytest.mark.parametrize("hop_length", [256, 128])
@pytest.mark.parametrize("seconds", [0.7, 10.3])
def test_a_click_is_timed_right_at_any_hop(hop_length, seconds):
    click = np.zeros(16 * RATE_HZ, np.float32)
    click[round(seconds * RATE_HZ)] = 1
    stream = separator(hop_length=hop_length, window_seconds=2.0).open(Recording.of(click, RATE_HZ), 1)
    assert len([*stream]) > 1
    activity = stream.result().activity
    times = activity.first_frame_seconds + activity.frame_seconds * np.arange(len(activity.magnitudes))
    assert np.average(times, weights=activity.magnitudes**2) == pytest.approx(seconds, abs=0.006)


def test_a_recording_of_90_db_below_full_scale_is_separated_as_a_loud_one():
    spans = [(1.0, 4.5), (6.0, 9.0)], [(3.0, 7.1)]
    signal = tone(700, 10, spans[0]) + tone(1500, 10, spans[1])
    loud, quiet = (separator().separate(level * signal, RATE_HZ, 2) for level in (1.0, 10**-4.5))
    np.testing.assert_allclose(quiet.voices * 10**4.5, loud.voices, atol=1e-3)
    assert quiet.activity.segments() == loud.activity.segments()


def test_a_click_in_digital_silence_is_one_voice():
    click = np.zeros(5 * RATE_HZ, np.float32)
    click[20000] = 1
    result = separator().separate(click, RATE_HZ)
    assert result.n_speakers == 1 and result.activity.segments() == [[]]
    np.testing.assert_allclose(result.voices[0], click, atol=1e-5)


def test_windows_are_cross_faded():
    """Masks that change from window to window must not make clicks."""
    changing = separator(window_seconds=2.0)
    shares = itertools.cycle([(0.9, 0.1), (0.1, 0.9)])
    changing.model.masks_from_centroids = lambda embeddings, centroids: np.stack(
        [np.full(embeddings.shape[:2], share, np.float32) for share in next(shares)])
    voices = changing.separate(tone(100, 24), RATE_HZ, 2).voices
    assert 0.05 < np.abs(voices).max()
    levels = np.abs(voices[0]).reshape(-1, RATE_HZ // 4).max(axis=1)
    assert levels.max() > 5 * levels.min()  # the masks did change
    steepest = np.abs(np.diff(tone(100, 1))).max()
    assert np.abs(np.diff(voices)).max() < 1.2 * steepest


def test_frequencies_above_the_model_follow_its_highest_bins():
    first, second = [(0.0, 2.0), (4.0, 5.0)], [(2.0, 4.0), (5.0, 6.0)]
    signal = tone(4000, 6, first) + tone(6000, 6, first) + tone(4400, 6, second) + tone(7000, 6, second)
    signal += 5 * tone(700, 6, second)  # the first voice is active then, too, at low frequencies
    voices = separator(edge_hz=4200).separate(signal, RATE_HZ, 2).voices
    loudness = {hz: [power_at(voice, hz) * np.square(voice).sum() for voice in voices]
                for hz in (700, 4000, 6000, 4400, 7000)}
    first_voice = np.argmax(loudness[700])
    for hz, owner in ((4000, first_voice), (6000, first_voice), (4400, 1 - first_voice), (7000, 1 - first_voice)):
        assert loudness[hz][owner] > 10 * loudness[hz][1 - owner], hz


def test_a_loud_burst_is_not_a_voice():
    rng = np.random.default_rng(0)
    signal = tone(700, 6) + tone(1500, 6) + 1e-4 * rng.standard_normal(6 * RATE_HZ).astype(np.float32)
    burst = np.zeros_like(signal)
    for start in (40000, 60000):
        burst[start : start + 1500] = 50 * rng.standard_normal(1500)
    voices = separator().separate(signal + burst, RATE_HZ, 2).voices[:, :32000]
    assert sorted(np.argmax([power_at(voice, hz) for voice in voices]) for hz in (700, 1500)) == [0, 1]
    assert max(power_at(voice, 700) for voice in voices) > 0.95


def test_impossible_rates_signals_and_numbers_are_refused():
    good, two = separator(), tone(300, 1)
    for rate_hz in (0, -1, 16000.5, "16000", None):
        with pytest.raises(UserError, match="sample rate"):
            good.separate(two, rate_hz)
    for n_speakers in ("2", None, 2.5, -1):
        with pytest.raises(UserError, match="cannot be separated"):
            good.separate(two, RATE_HZ, n_speakers)
    with pytest.raises(UserError, match="give floats or integers"):
        good.separate(np.array(["a", "b"]), RATE_HZ)
    assert good.separate(two, np.int64(RATE_HZ), np.int64(2)).voices.shape == (2, RATE_HZ)
