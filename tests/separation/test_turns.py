"""Who talks at each moment of a recording: wrong masks of known people are put right, and right ones stay."""

import itertools

import numpy as np
import pytest
from test_known_sounds import Bands, separator, tone
from test_verification import FRONT_END, TILTS, magnitudes, verification, voice  # noqa: F401

from lab41_sce.audio.recording import Recording
from lab41_sce.separation.turns import CHANGE_COST, Turns, VoiceFrames, find_turns, state_probabilities
from lab41_sce.separation.window_signals import frame_seconds

RATE_HZ, SECONDS, TURN_SECONDS, PILOT_HZ = 10000, 48.0, 4.0, 4800
FRAME_SECONDS = frame_seconds(FRONT_END)


def conversation(n_people=2, together=False):
    """Return signals of people who talk in turn, or together all the time, float32 `[S, N]`."""
    signals = np.stack([voice(TILTS[person], SECONDS, seed=person) for person in range(n_people)])
    if not together:
        turn = (np.arange(signals.shape[1]) / RATE_HZ // TURN_SECONDS).astype(int) % n_people
        signals *= turn == np.arange(n_people)[:, None]
    return signals


def right_masks(signals):
    powers = np.stack([magnitudes(signal) for signal in signals]) ** 2
    return (powers / np.maximum(powers.sum(axis=0), 1e-20)).astype(np.float32)


def turns_of(verification, signals, masks, every=1, n_parts=2):  # noqa: F811
    mixture = magnitudes(signals.sum(axis=0))
    places = np.arange(0, len(mixture), every)
    parts = (VoiceFrames.measure(part, masks[:, part], mixture[part], float(mixture.max()), FRONT_END)
             for part in np.array_split(places, n_parts))
    return find_turns(parts, len(mixture), FRAME_SECONDS, verification, every)


def seconds_of(masks, start, stop):
    """Return the masks between two times."""
    return masks[:, round(start / FRAME_SECONDS) : round(stop / FRAME_SECONDS)]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("n_people", [2, 3])
def test_wrong_masks_become_right(verification, n_people, every):  # noqa: F811
    """Person 1 talks from 24 s on with the masks of two voices exchanged; person 2 from 28 s on, divided among all."""
    signals = conversation(n_people)
    right = right_masks(signals)
    wrong = right.copy()
    seconds_of(wrong, 24.0, 28.0)[[0, 1]] = seconds_of(right, 24.0, 28.0)[[1, 0]]
    seconds_of(wrong, 28.0, 32.0)[:] = 1 / n_people
    turns = turns_of(verification, signals, wrong, every)
    found = turns.apply(wrong, 0)
    np.testing.assert_allclose(found.sum(axis=0), wrong.sum(axis=0), atol=1e-4)
    for start in np.arange(0.0, SECONDS, TURN_SECONDS):  # the decision is uncertain near a border
        person = int(start / TURN_SECONDS) % n_people
        mean = seconds_of(found, start + 0.75, start + TURN_SECONDS - 0.75)[person].mean()
        assert mean > 0.9, (start, mean)
    part = turns.apply(wrong[:, 1000:2000], 1000)
    np.testing.assert_allclose(part, found[:, 1000:2000], atol=1e-5)


def test_the_parts_do_not_matter(verification):  # noqa: F811
    """Parts of 48 s, of 1 s, and of one frame or none."""
    signals = conversation()
    masks = right_masks(signals)
    whole, *others = (turns_of(verification, signals, masks, n_parts=number).weights for number in (1, 48, 5000))
    for weights in others:
        np.testing.assert_allclose(weights, whole, atol=1e-4)


def test_people_who_talk_at_once_keep_their_masks(verification):  # noqa: F811
    signals = conversation(together=True)
    assert turns_of(verification, signals, right_masks(signals)) is None


def test_silence_has_no_turns(verification):  # noqa: F811
    signals = 0 * conversation()
    assert turns_of(verification, signals, np.full_like(right_masks(signals), 0.5)) is None


def test_weights_change_between_steps():
    exchange, same = np.eye(2)[::-1], np.eye(2)
    turns = Turns(np.stack([same, exchange]), frame_seconds=0.125)  # two steps of a quarter of a second
    masks = np.stack([np.ones((4, 3)), np.zeros((4, 3))]).astype(np.float32)
    np.testing.assert_allclose(turns.apply(masks, 0)[0, :, 0], [1.0, 0.75, 0.25, 0.0])
    assert Turns(np.stack([same, same]), 0.125).apply(masks, 0) is masks


def test_probabilities_of_states_are_those_of_all_paths():
    scores = np.random.default_rng(0).standard_normal((5, 3))
    staying = np.array([[0 if one == other else -CHANGE_COST for other in range(3)] for one in range(3)])
    moves = np.exp(staying) / np.exp(staying).sum(axis=1, keepdims=True)
    expected, total = np.zeros((5, 3)), 0.0
    for path in itertools.product(range(3), repeat=5):
        steps = [moves[one, other] for one, other in itertools.pairwise(path)]
        probability = np.prod(steps) / 3 * np.exp(scores[range(5), path].sum())
        expected[range(5), path] += probability
        total += probability
    probabilities, likelihood = state_probabilities(scores)
    np.testing.assert_allclose(probabilities, expected / total, atol=1e-9)
    assert likelihood == pytest.approx(np.log(total))


class Confused(Bands):
    """A network that separates low from high frequencies, and exchanges them while a pilot tone sounds."""

    def predict_on_batch(self, features):
        embeddings = super().predict_on_batch(features)
        pilot = features[..., round(PILOT_HZ / 5000 * (features.shape[2] - 1))] > 0.7
        return np.where(pilot[..., None, None], embeddings[..., [1, 0, 2]], embeddings)


def separate(verification, signals, pilot=(24.0, 30.0), window_seconds=60.0, **options):  # noqa: F811
    confused = separator(window_seconds=window_seconds)
    confused.model.network = Confused(1000)
    confused.verification = verification
    shares = []
    mixture = signals.sum(axis=0) + tone(PILOT_HZ, SECONDS, [pilot], RATE_HZ)[: signals.shape[1]]
    result = confused.separate(Recording.of(mixture, RATE_HZ), n_speakers=2, progress=shares.append, **options)
    assert sum(shares) == pytest.approx(1)
    return result.voices[:, 0], mixture


def low_and_high():
    """Return noise below and above 1 kHz, in turns of 4 s."""
    noise = np.random.default_rng(0).standard_normal(round(SECONDS * RATE_HZ))
    spectrum, hz = np.fft.rfft(noise), np.fft.rfftfreq(len(noise), 1 / RATE_HZ)
    bands = np.stack([np.fft.irfft(spectrum * ((hz > low) & (hz < high)), len(noise))
                      for low, high in ((200, 900), (1100, 4000))])
    turn = (np.arange(len(noise)) / RATE_HZ // TURN_SECONDS).astype(int) % 2
    talks = turn == np.arange(2)[:, None]
    return (0.1 * talks * bands / bands.std(axis=1, keepdims=True)).astype(np.float32)


def shares_of_turns(voices):
    """Return the share of the first voice in the power in the middle of each turn; it may be either of the two."""
    turns = voices.reshape(2, -1, round(TURN_SECONDS * RATE_HZ))[:, :, RATE_HZ // 2 : -RATE_HZ // 2]
    powers = np.square(turns).mean(axis=2)
    shares = powers[0] / powers.sum(axis=0)
    return shares if shares[0] > 0.5 else 1 - shares


def test_confused_voices_come_out_right(verification):  # noqa: F811
    signals = low_and_high()
    without, _ = separate(None, signals)
    assert (shares_of_turns(without)[6:8] > 0.5).tolist() == [False, True]  # exchanged from 24 to 32 s
    voices, mixture = separate(verification, signals)
    shares = shares_of_turns(voices)
    assert shares[::2].min() > 0.9 and shares[1::2].max() < 0.1
    np.testing.assert_allclose(voices.sum(axis=0), mixture, atol=1e-4)
    windowed, _ = separate(verification, signals, window_seconds=6.0)
    np.testing.assert_allclose(windowed, voices, atol=5e-3 * np.abs(voices).max())
    binary, _ = separate(verification, signals, binary_masks=True)
    np.testing.assert_allclose(shares_of_turns(binary), shares, atol=0.1)


def test_recordings_with_little_speech_stay_as_they_are(verification):  # noqa: F811
    short = low_and_high()[:, : round(9.0 * RATE_HZ)]
    mostly_silent = np.pad(short, [(0, 0), (0, round(23.0 * RATE_HZ))])
    for signals in (short, mostly_silent):
        without, with_people = (separate(people, signals, pilot=(4.0, 6.0))[0] for people in (None, verification))
        np.testing.assert_array_equal(with_people, without)

