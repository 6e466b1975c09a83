"""The voices of a separation in another order."""

import numpy as np
import pytest

from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.result import Separation, SpectralDetails


def separation(similarity=None):
    """Return three voices: the first speaks from 2 s, the second never, the third from 1 s."""
    powers = np.zeros((3, 400))
    powers[0, 200:300] = powers[2, 100:180] = 1.0
    activity = SpeakerActivity(powers, powers[0], powers.sum(axis=0), 0.01, 0.0, 4.0)
    numbers = np.arange(3.0)
    masks = np.tile(numbers[:, None, None], (1, 2, 2))
    return Separation(100, np.tile(numbers[:, None], (1, 400)), 3, None, numbers[:, None], similarity, None, activity,
                      0.5, SpectralDetails(masks, masks[0], None))


@pytest.mark.parametrize(("similarity", "order"), [(None, [2, 0, 1]), (np.array([0.9, 0.5, 0.1]), [0, 2, 1])])
def test_voices_follow_the_order_in_which_they_first_speak(similarity, order):
    """An enrolled person stays the first; a voice that never speaks is the last."""
    result = separation(similarity)
    assert result.order_of_speech() == order
    ordered = result.reordered(order)
    for values in (ordered.voices[:, 0], ordered.centroids[:, 0], ordered.details.masks[:, 0, 0]):
        assert values.tolist() == order
    assert ordered.activity.segments() == [result.activity.segments()[index] for index in order]
    assert similarity is None or ordered.similarity.tolist() == similarity[order].tolist()
