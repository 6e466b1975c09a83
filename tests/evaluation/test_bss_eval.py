"""`lab41_sce.evaluation.bss_eval`: the same scores as `mir_eval`, which is the judge."""

import numpy as np
import pytest
from mir_eval import separation
from scipy.signal import resample
from test_metrics import make_estimates, make_sources

from lab41_sce.evaluation import bss_eval
from lab41_sce.evaluation.metrics import score_mixture

TOLERANCE_DB = 1e-6


def mir_eval_means(sources, estimates, permute=True):
    return np.mean(separation.bss_eval_sources(sources, estimates, permute)[:3], axis=1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # mir_eval 0.8 deprecates its function
def test_scores_of_several_systems_equal_those_of_mir_eval():
    """Swapped estimates, nearly perfect ones and the mixture itself, scored together."""
    sources = np.float32(make_sources(0))
    mixture, noise = sources.sum(axis=0), np.random.default_rng(3).standard_normal(sources.shape)
    systems = {"swapped": make_estimates(sources, 2)[::-1], "nearly perfect": sources + 1e-4 * noise}
    rows = score_mixture(sources, mixture, systems | {"unprocessed": np.stack([mixture, mixture])})
    found = {(system, metric): value for system, metric, value in rows}
    baseline = mir_eval_means(sources, np.stack([mixture, mixture]), permute=False)
    baseline[2] = 100.0  # the SAR of a sum
    for system, estimates in systems.items():
        expected = mir_eval_means(sources, estimates)
        for metric, value, improvement in zip(("SDR", "SIR", "SAR"), expected, expected - baseline, strict=True):
            assert found[system, metric] == pytest.approx(value, abs=TOLERANCE_DB)
            assert found[system, f"{metric}i"] == pytest.approx(improvement, abs=TOLERANCE_DB)
    assert found["unprocessed", "SDR"] == pytest.approx(baseline[0], abs=TOLERANCE_DB)


def test_ratios_of_three_sources_equal_those_of_mir_eval():
    sources = make_sources(0, speakers=3)[:, :2000]
    estimates = make_estimates(sources, 1)[[2, 0, 1]]
    expected = bss_eval.mir_eval_pairs(sources, estimates)
    found = np.stack(bss_eval.bss_eval(sources, estimates))
    np.testing.assert_allclose(np.diagonal(found, axis1=1, axis2=2), expected, atol=TOLERANCE_DB)


def test_mir_eval_scores_all_pairs_where_a_band_is_empty():
    """Sources sampled at four times their rate: rounding decides SIR, and `mir_eval` has the last word."""
    sources, estimates = (np.float32(resample(signals[:, :2000], 8000, axis=1)).astype(float)
                          for signals in (make_sources(0), make_estimates(make_sources(0), 1)))
    fast = np.stack(bss_eval.bss_eval(sources, estimates))
    judged = np.stack(bss_eval.judged_bss_eval(sources, estimates))
    assert np.abs(judged - fast).max() > bss_eval.TOLERANCE_DB
    for column in range(2):
        repeated = np.stack([estimates[column]] * 2)
        np.testing.assert_array_equal(judged[:, :, column], bss_eval.mir_eval_pairs(sources, repeated))


def test_equations_are_solved_once_for_all_systems_and_once_by_mir_eval(monkeypatch):
    """One solution for all references and one for each; `mir_eval` repeats them for a pair of each reference."""
    solve, solved = np.linalg.solve, []
    monkeypatch.setattr(np.linalg, "solve", lambda *arrays: solved.append(len(arrays[0])) or solve(*arrays))
    sources = make_sources(0)
    score_mixture(sources, sources.sum(axis=0), {str(seed): make_estimates(sources, seed) for seed in range(6)})
    assert solved == [1024, 512, 512, 512, 1024, 512, 1024]
