"""A result in words: the number of people, and whether to trust the voices."""

import numpy as np
import pytest

from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.result import Separation
from lab41_sce.separation.speaker_count import SpeakerCount
from lab41_sce.separation.verdict import verdict

SURE = {1: 0.02, 2: 0.9, 3: 0.05, 4: 0.03}
CLOSE = {2: 0.42, 3: 0.55, 4: 0.03}
LESS_CLOSE = {2: 0.23, 3: 0.74, 4: 0.03}


def separation(count, n_speakers, low, power=1.0, n_frames=100):
    powers, zeros = np.full((n_speakers, 100), power), np.zeros(100)
    activity = SpeakerActivity(powers[:, :n_frames], zeros[:n_frames], zeros[:n_frames], 0.01, 0.0, n_frames / 100)
    return Separation(8000, None, n_speakers, count, None, activity, 0.5, None, low)


@pytest.mark.parametrize(("probabilities", "low", "expected"), [
    (SURE, False, "2 people, clear."),
    (SURE, None, "2 people."),  # whether the voices are clear was not measured
    (SURE, True, "2 people, but these voices may each hold parts of the other: listen to them."),
    (CLOSE, False, "3 people, unsure (2 is almost as likely): listen, or choose 2."),
    (LESS_CLOSE, False, "3 people, unsure (2 is possible): listen, or choose 2."),
    (CLOSE, True, "3 people, unsure (2 is almost as likely): listen, or choose 2. These voices may each hold parts of "
                  "the others."),
    ({1: 0.99, 2: 0.01}, None, "1 person, clear."),
    ({1: 0.99, 2: 0.01}, False, "1 person, clear.")])
def test_a_counted_number_is_described(probabilities, low, expected):
    number = max(probabilities, key=probabilities.get)
    count = SpeakerCount(number, probabilities=probabilities)
    assert verdict(separation(count, number, low), "choose {}") == expected


@pytest.mark.parametrize(("variances", "number", "expected"), [
    ((0.9, 0.2), 2, "2 people, clear."), ((0.9, 0.49), 2, "2 people, unsure (3 is possible): listen, or choose 3.")])
def test_a_number_by_threshold_is_described(variances, number, expected):
    assert verdict(separation(SpeakerCount(number, variances, 0.5), number, False), "choose {}") == expected


@pytest.mark.parametrize(("n_speakers", "low", "expected"), [
    (2, False, ""), (2, None, ""), (2, True, "these voices may each hold parts of the other: listen to them."),
    (3, True, "these voices may each hold parts of the others: listen to them.")])
def test_a_given_number_is_only_described_with_a_warning(n_speakers, low, expected):
    assert verdict(separation(None, n_speakers, low), "choose {}") == expected


def test_silence_is_described():
    for number, voices in ((1, "one voice is"), (3, "3 silent voices are")):
        line = verdict(separation(SpeakerCount(number, silent=True), number, None), "choose {}")
        assert line == f"the recording is silent: {voices} returned."


def test_silence_is_described_if_the_number_was_given():
    assert verdict(separation(None, 2, None, power=0.0), "choose {}") == "the recording is silent."


def test_nobody_is_clear_without_a_segment():
    count = SpeakerCount(1, probabilities={1: 0.99, 2: 0.01})
    line = verdict(separation(count, 1, None, n_frames=5), "choose {}")
    assert line == "1 person, but no speech was found."
