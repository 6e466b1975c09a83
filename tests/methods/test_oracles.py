"""The oracles against their formulas, bin by bin; what each must reach on mixtures; silence."""

import numpy as np
import pytest
from conftest import hum

from lab41_sce.data.mixture import Mixture
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd

ORACLES = [oracles.ideal_binary_mask, oracles.ideal_ratio_mask, oracles.phase_sensitive_mask]


def make_mixture(n_speakers=2, seconds=1.0):
    rng = np.random.default_rng(0)
    return Mixture(np.stack([hum(pitch_hz, seconds, 10000, rng) for pitch_hz in (110, 220, 160)[:n_speakers]]))


def make_setup(n_speakers=2):
    return Setup(FrontEnd(), None, n_speakers)


def improvement_db(setup, system, mixture):
    """Return the mean SI-SDR of a system's estimates above that of the mixture."""
    masked = setup.front_end.spectrogram(mixture.signal) * system(mixture)
    estimates = setup.front_end.synthesise(masked, len(mixture.signal))
    return si_sdr_improvement(mixture.sources, mixture.signal, estimates)


@pytest.mark.parametrize("n_speakers", [2, 3])
def test_masks_agree_with_plain_loops(n_speakers):
    setup, mixture = make_setup(n_speakers), make_mixture(n_speakers, seconds=0.2)
    spectra = setup.front_end.spectrogram(mixture.sources).astype(complex)
    masks = [oracle(setup)(mixture) for oracle in ORACLES]
    assert all(mask.shape == spectra.shape and mask.dtype == np.float32 for mask in masks)
    for t, f in np.ndindex(spectra.shape[1:]):
        total = sum(spectra[:, t, f])
        levels = [abs(value) for value in spectra[:, t, f]]
        for s, value in enumerate(spectra[:, t, f]):
            binary = float(levels[s] == max(levels))
            ratio = levels[s] / sum(levels)
            phase_sensitive = levels[s] / abs(total) * np.cos(np.angle(value) - np.angle(total))
            expected = binary, ratio, min(max(phase_sensitive, 0.0), 1.0)
            np.testing.assert_allclose([mask[s, t, f] for mask in masks], expected, atol=1e-4)


def test_binary_and_ratio_masks_share_out_every_bin():
    mixture = make_mixture(3)
    for oracle in ORACLES[:2]:
        np.testing.assert_allclose(oracle(make_setup(3))(mixture).sum(axis=0), 1.0, atol=1e-6)
    sums = oracles.phase_sensitive_mask(make_setup(3))(mixture).sum(axis=0)
    assert sums.max() > 1.1  # the module states that they need not sum to one


@pytest.mark.parametrize("n_speakers", [2, 3])
def test_the_better_the_mask_the_better_the_separation(n_speakers):
    setup, mixture = make_setup(n_speakers), make_mixture(n_speakers)
    unprocessed, binary, ratio, phase_sensitive = (
        improvement_db(setup, oracle(setup), mixture) for oracle in (oracles.unprocessed, *ORACLES)
    )
    assert unprocessed == pytest.approx(0.0, abs=1e-3)
    assert min(binary, ratio) > 8
    assert phase_sensitive > max(binary, ratio)


def test_noise_is_a_source_that_gets_no_mask():
    clean, noise = make_mixture(), 0.05 * np.random.default_rng(1).standard_normal(10000).astype(np.float32)
    noisy, third = Mixture(clean.sources, noise=noise), Mixture(np.stack([*clean.sources, noise]))
    for oracle in ORACLES:
        masks = oracle(make_setup())(noisy)
        np.testing.assert_array_equal(masks, oracle(make_setup(3))(third)[:2])
        assert improvement_db(make_setup(), lambda _, masks=masks: masks, noisy) > 5


def test_unprocessed_gives_the_mixture_to_everyone():
    masks = oracles.unprocessed(make_setup(3))(make_mixture(3))
    assert masks.shape[0] == 3 and masks.dtype == np.float32 and (masks == 1).all()


def test_silence():
    setup, sources = make_setup(), make_mixture().sources
    silence = Mixture(np.zeros_like(sources))
    one_silent = Mixture(sources * [[1], [0]])
    for oracle, expected in zip(ORACLES, ([1, 0], [0.5, 0.5], [0, 0])):
        masks = oracle(setup)(silence)
        assert (masks == np.array(expected)[:, None, None]).all()
        present, absent = oracle(setup)(one_silent)
        np.testing.assert_allclose(present, 1.0, atol=1e-6)
        np.testing.assert_allclose(absent, 0.0, atol=1e-6)
