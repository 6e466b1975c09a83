"""`lab41_sce.data.mixture`: levels of excerpts, and the sum of sources and noise."""

import numpy as np
import pytest
from scipy.signal import lfilter

from lab41_sce.data.mixture import Mixture, normalise


def test_excerpts_are_brought_to_zero_mean_and_to_their_levels():
    """The level is the standard deviation after pre-emphasis, measured here by a filter."""
    excerpts = np.cumsum(np.random.default_rng(0).standard_normal((2, 3, 4000)), axis=-1).astype(np.float32) + 5
    levels_db = np.array([[0.0, 6.0, -6.0], [3.0, -3.0, 0.0]])
    scaled = normalise(excerpts, 0.95, levels_db)
    measured = lfilter([1, -0.95], 1, scaled.astype(float))[..., 1:].std(axis=-1)
    np.testing.assert_allclose(20 * np.log10(measured), levels_db, atol=1e-3)
    np.testing.assert_allclose(scaled.mean(axis=-1), 0, atol=1e-3)
    assert scaled.dtype == np.float32


def test_a_silent_excerpt_stays_silent():
    assert not normalise(np.zeros((1, 100), np.float32), 0.95, 6.0).any()


@pytest.mark.parametrize("offset", [0.3, -0.1, 1.0, 1e-3])
def test_a_constant_excerpt_becomes_silence(offset):
    """The float32 mean of constants has a rounding error, which the gain raised to 0.03 of full scale."""
    speech = np.random.default_rng(0).standard_normal(40000).astype(np.float32)
    constant, scaled = normalise(np.stack([np.full_like(speech, offset), speech]), 0.95)
    assert not constant.any() and scaled.std() > 0.1


@pytest.mark.parametrize("with_noise", [False, True])
def test_a_mixture_is_the_sum_of_its_sources_and_its_noise(with_noise):
    sources = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)
    noise = np.ones(50, np.float32) if with_noise else None
    mixture = Mixture(sources, ("a", "b", "c"), noise)
    np.testing.assert_allclose(mixture.signal, sources[0] + sources[1] + sources[2] + with_noise, atol=1e-5)
    assert mixture.n_speakers == 3
