"""The functions against scipy.ndimage, which they replace."""

import numpy as np
import pytest
from scipy import ndimage

from lab41_sce.separation.smoothing import bridge_gaps, gaussian_mean, remove_short


@pytest.mark.parametrize("min_frames", [1, 2, 5, 8])
@pytest.mark.parametrize("n_frames", [1, 3, 300])
def test_short_gaps_and_short_runs(min_frames, n_frames):
    rng = np.random.default_rng(min_frames)
    active = np.repeat(rng.random((3, n_frames)) < 0.5, 3, axis=1)[:, :n_frames]
    before, structure = active.copy(), np.ones((1, min_frames))
    padded = np.pad(active, [(0, 0), (min_frames, min_frames)])  # closing removes what touches the border
    closed = ndimage.binary_closing(padded, structure)[:, min_frames:-min_frames]
    np.testing.assert_array_equal(bridge_gaps(active, min_frames), closed)
    np.testing.assert_array_equal(remove_short(active, min_frames), ndimage.binary_opening(active, structure))
    np.testing.assert_array_equal(active, before)


@pytest.mark.parametrize("n_frames", [1, 7, 400])
def test_the_gaussian_mean(n_frames):
    values = np.random.default_rng(0).random((2, n_frames))
    np.testing.assert_allclose(gaussian_mean(values, 19.5), ndimage.gaussian_filter1d(values, 19.5, axis=1), atol=1e-12)
