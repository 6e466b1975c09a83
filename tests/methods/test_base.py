"""The shared steps of the losses: magnitudes, the loudest source of each bin, the weight of each bin."""

import numpy as np
import pytest

from lab41_sce.methods.base import bin_weights, ideal_assignment, magnitudes


def test_magnitudes_are_those_of_the_sum_and_of_each_source(front_end):
    sources = np.random.default_rng(0).standard_normal((2, 3, 2000)).astype(np.float32)
    mixture, of_sources, speech = magnitudes(front_end, {"sources": sources})
    np.testing.assert_allclose(mixture, np.abs(front_end.spectrogram(sources.sum(axis=1))), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(of_sources, np.abs(front_end.spectrogram(sources)), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(speech, mixture)


def test_noise_is_part_of_the_mixture_and_of_nothing_else(front_end):
    rng = np.random.default_rng(1)
    sources, noise = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 2, 2000), (2, 2000)))
    mixture, of_sources, speech = magnitudes(front_end, {"sources": sources, "noise": noise})
    total = sources.sum(axis=1)
    np.testing.assert_allclose(mixture, np.abs(front_end.spectrogram(total + noise)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(speech, np.abs(front_end.spectrogram(total)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(of_sources, np.abs(front_end.spectrogram(sources)), rtol=1e-3, atol=1e-3)


def test_each_bin_belongs_to_its_loudest_source():
    sources = np.random.default_rng(1).random((2, 3, 4, 5)).astype(np.float32)
    assignment = np.array(ideal_assignment(sources))
    for b, t, f in np.ndindex(2, 4, 5):
        assert assignment[b, :, t, f].tolist() == [float(s == sources[b, :, t, f].argmax()) for s in range(3)]


@pytest.mark.parametrize(("range_db", "power"), [(None, 0.0), (20.0, 0.0), (None, 1.0), (20.0, 0.5)])
def test_weights_follow_the_level_below_the_peak_of_each_mixture(range_db, power):
    mixture = np.array([[[1.0, 0.2, 0.05]], [[100.0, 20.0, 5.0]]], np.float32)  # 0, -14, -26 dB
    expected = [1.0, 0.2**power, 0.05**power if range_db is None else 0.0]
    np.testing.assert_allclose(bin_weights(mixture, range_db, power), [[expected], [expected]], rtol=1e-5)


def test_weights_without_pre_emphasis_undo_it():
    mixture = np.array([[[1.0, 0.2, 0.05]]], np.float32)
    weights = bin_weights(mixture, 20.0, 2.0, emphasis=np.array([2.0, 0.1, 0.01], np.float32))
    np.testing.assert_allclose(weights, [[[0.25, 4.0, 0.0]]], rtol=1e-5)  # the range is that of the magnitudes before


def test_weights_in_silence_are_finite():
    assert np.isfinite(bin_weights(np.zeros((1, 2, 3), np.float32), 40.0, 1.0)).all()
