"""SI-SDR and SDR equal those of torchmetrics and asteroid on the same signals, to 1e-3 dB."""

import numpy as np
import pytest
from scipy.signal import lfilter

from lab41_sce.evaluation.metrics import best_bss_eval, best_si_sdr

TOLERANCE_DB = 1e-3
# Values of torchmetrics 1.9.0 and asteroid 0.7.0 (torch 2.13.0) for `make_signals`.
SI_SDR_DB = {"torchmetrics": [11.97363, 6.71564], "asteroid": [11.97363, 6.71564]}
SDR_DB = {"torchmetrics": [15.65224, 9.62836], "asteroid": [15.65224, 9.62836]}


def make_signals():
    """Return sources and estimates, float64 [2, 8000]: coloured noises, and their mixtures through a short filter."""
    noise = np.random.default_rng(0).standard_normal((3, 2, 8000))
    sources = np.stack([lfilter([1.0], [1, -0.8], noise[0, 0]), lfilter([1, 0.2], [1, -0.4], noise[0, 1])]) + 0.1
    return sources, lfilter([1, 0.5, -0.2], [1], sources) + 0.3 * sources[::-1] + 0.1 * noise[1]


def values_of(package):
    """Compute SI-SDR and SDR of each source with another package."""
    torch = pytest.importorskip("torch")
    sources, estimates = map(torch.from_numpy, make_signals())
    if package == "torchmetrics":
        audio = pytest.importorskip("torchmetrics.functional.audio")
        si_sdr = audio.scale_invariant_signal_distortion_ratio(estimates, sources, zero_mean=True)
        return si_sdr.numpy(), audio.signal_distortion_ratio(estimates, sources).numpy()
    losses = pytest.importorskip("asteroid.losses.sdr")
    mir_eval = pytest.importorskip("pb_bss_eval.evaluation.module_mir_eval")
    si_sdr = -losses.SingleSrcNegSDR("sisdr")(estimates, sources)
    return si_sdr.numpy(), mir_eval.mir_eval_sources(sources.numpy(), estimates.numpy())[0]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # asteroid calls a function that mir_eval 0.8 deprecates
@pytest.mark.parametrize("package", ["torchmetrics", "asteroid"])
def test_si_sdr_and_sdr_equal_those_of_another_package(package):
    si_sdr, sdr = values_of(package)
    np.testing.assert_allclose(best_si_sdr(*make_signals()), si_sdr, atol=TOLERANCE_DB)
    np.testing.assert_allclose(best_bss_eval(*make_signals())[0], sdr, atol=TOLERANCE_DB)


@pytest.mark.parametrize("package", ["torchmetrics", "asteroid"])
def test_si_sdr_and_sdr_equal_the_stored_values_of_another_package(package):
    np.testing.assert_allclose(best_si_sdr(*make_signals()), SI_SDR_DB[package], atol=TOLERANCE_DB)
    np.testing.assert_allclose(best_bss_eval(*make_signals())[0], SDR_DB[package], atol=TOLERANCE_DB)
