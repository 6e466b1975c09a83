"""The result of a separation: the order of its voices, and masks of any kind."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.people import EnrolledPerson
from lab41_sce.separation.result import Separation, SpectralDetails
from lab41_sce.separation.separator import Separator


def separation(*people):
    """Return three voices: the first speaks from 2 s, the second never, the third from 1 s."""
    powers = np.zeros((3, 400))
    powers[0, 200:300] = powers[2, 100:180] = 1.0
    activity = SpeakerActivity(powers, powers[0], powers.sum(axis=0), 0.01, 0.0, 4.0)
    numbers = np.arange(3.0)
    masks = np.tile(numbers[:, None, None], (1, 2, 2))
    return Separation(100, np.tile(numbers[:, None], (1, 400)), 3, None, numbers[:, None], activity, 0.5,
                      SpectralDetails(masks, masks[0], None), people=people)


@pytest.mark.parametrize(("people", "order"), [
    ([], [2, 0, 1]), ([EnrolledPerson("Ann", True, 0.9, 0, (0.9, 0.5, 0.1))], [0, 2, 1]),
    ([EnrolledPerson("Ann", False, 0.1, 0, (0.3, 0.2, 0.1))], [0, 2, 1]),
    ([EnrolledPerson("Ann", True, 0.9, 0, (0.9, 0.5, 0.1)), EnrolledPerson("Bob", True, 0.9, 1, (0.1, 0.9, 0.2))],
     [0, 1, 2])])
def test_voices_follow_the_order_in_which_they_first_speak(people, order):
    """Enrolled people who are present stay the first, or else the most similar voice; a silent voice is the last."""
    result = separation(*people)
    assert result.order_of_speech() == order
    ordered = result.reordered(order)
    for values in (ordered.voices[:, 0], ordered.centroids[:, 0], ordered.details.masks[:, 0, 0]):
        assert values.tolist() == order
    assert ordered.activity.segments() == [result.activity.segments()[index] for index in order]
    for person, before in zip(ordered.people, people, strict=True):
        assert person.similarity == tuple(np.array(before.similarity)[order])
        assert order[person.voice] == before.voice


def test_the_masks_of_another_object_may_be_tensors(front_end):
    """TensorFlow would drop the imaginary part of a spectrogram that is multiplied by a tensor."""
    signal = 0.1 * np.random.default_rng(0).standard_normal(10000).astype(np.float32)

    def other(convert):
        low = np.arange(front_end.n_bins) < 60
        return SimpleNamespace(front_end=front_end, masks=lambda mixture, n_speakers: convert(np.broadcast_to(
            np.stack([low, ~low])[:, None], (2, len(front_end.spectrogram(mixture)), front_end.n_bins)
        ).astype(np.float32)))

    voices = [Separator(other(convert)).separate(signal, 10000, 2).voices
              for convert in (np.asarray, keras.ops.convert_to_tensor)]
    np.testing.assert_allclose(voices[0].sum(axis=0), signal, atol=1e-4)
    np.testing.assert_array_equal(voices[1], voices[0])
