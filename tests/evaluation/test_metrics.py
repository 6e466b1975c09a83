"""Scores against hand-made values and a second implementation."""

import subprocess
import sys
import threading

import fast_bss_eval
import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from scipy.signal import lfilter

from lab41_sce.errors import UserError
from lab41_sce.evaluation import metrics
from lab41_sce.evaluation.metrics import METRICS, best_bss_eval, best_si_sdr, score_mixture
from lab41_sce.evaluation.parallel_scoring import score_mixtures

RATE_HZ = 8000


def make_sources(seed, speakers=2):
    """Return coloured noises [S, N] of one second, of levels that differ."""
    noise = np.random.default_rng(seed).standard_normal((speakers, RATE_HZ))
    return np.stack([lfilter([1 + 0.2 * i], [1, 0.4 * i - 0.8], noise[i]) for i in range(speakers)])


def make_estimates(sources, seed):
    """Return the sources filtered, with interference and noise."""
    filtered = lfilter([1, 0.5, -0.2], [1], sources)
    noise = np.random.default_rng(seed).standard_normal(sources.shape)
    return filtered + 0.3 * np.roll(sources, 1, axis=0) + 0.1 * noise


def make_job(seed, kind="FM"):
    """Return a job of `score_mixtures`; only those of seed 0 and 9 are not silent and take time."""
    sources = make_sources(seed) if seed in (0, 9) else np.zeros((2, RATE_HZ))
    labels = {"mixture": f"mixture {seed}", "split": "unseen", "kind": kind}
    return labels, sources, sources.sum(axis=0), {"system": make_estimates(sources, seed + 100)}


def as_dict(rows, system):
    return {metric: value for row_system, metric, value in rows if row_system == system}


def test_bss_eval_agrees_with_a_second_implementation():
    sources = make_sources(0)
    estimates = make_estimates(sources, 1)[::-1]
    expected = fast_bss_eval.bss_eval_sources(sources, estimates)[:3]
    np.testing.assert_allclose(best_bss_eval(sources, estimates), expected, atol=1e-6)


def test_si_sdr_agrees_with_a_second_implementation():
    sources = make_sources(0, speakers=3) + 0.5
    estimates = make_estimates(sources, 1)[[1, 2, 0]] - 0.3
    expected = fast_bss_eval.numpy.si_sdr(sources, estimates, zero_mean=True)
    np.testing.assert_allclose(best_si_sdr(sources, estimates), expected, atol=1e-6)


def test_si_sdr_of_known_noise_whatever_the_scale():
    phase = 2 * np.pi * np.arange(RATE_HZ) / RATE_HZ
    reference, noise = np.sin(100 * phase), np.sin(300 * phase)  # orthogonal, of equal energies
    for scale in (1.0, -0.01, 1000.0):
        estimate = scale * (reference + 0.1 * noise) + 3.0  # the offset must not count
        np.testing.assert_allclose(best_si_sdr(reference[None], estimate[None]), [20.0], atol=1e-9)


def test_limits():
    sources = make_sources(0)
    for values in (*best_bss_eval(sources, sources), best_si_sdr(sources, sources)):
        np.testing.assert_array_equal(values, [100.0, 100.0])
    np.testing.assert_array_equal(best_si_sdr(sources, np.zeros_like(sources)), [-100.0, -100.0])


def test_order_of_estimates_does_not_matter():
    sources = make_sources(0)
    estimates = make_estimates(sources, 1)
    rows = score_mixture(sources, sources.sum(axis=0), {"as they are": estimates, "swapped": estimates[::-1]})
    assert as_dict(rows, "swapped") == pytest.approx(as_dict(rows, "as they are"), abs=1e-9)


def test_improvement_is_over_the_mixture():
    sources = make_sources(0)
    mixture = sources.sum(axis=0)
    repeated = np.stack([mixture, mixture])
    resynthesised = repeated + 1e-6 * np.random.default_rng(0).standard_normal(repeated.shape)
    estimates = {"system": make_estimates(sources, 1), "unprocessed": repeated, "copy": resynthesised}
    rows = score_mixture(sources, mixture, estimates)
    assert [row[:2] for row in rows] == [(system, metric) for system in estimates for metric in METRICS]
    system, unprocessed = as_dict(rows, "system"), as_dict(rows, "unprocessed")
    assert as_dict(rows, "copy") == unprocessed
    for metric in METRICS[::2]:
        assert unprocessed[f"{metric}i"] == 0.0
        assert system[f"{metric}i"] == system[metric] - unprocessed[metric]
    assert unprocessed["SAR"] == 100.0
    expected_sdr = fast_bss_eval.bss_eval_sources(sources, repeated)[0].mean()
    assert unprocessed["SDR"] == pytest.approx(expected_sdr, abs=1e-6)
    assert system["SDRi"] > 3 and system["SI-SDRi"] > 3


def test_the_rounding_of_files_is_no_artefact_of_a_mixture():
    """Files of 16 bits and of floats give the same SARi; noise in the mixture does count."""
    sources = 0.05 * make_sources(0)
    estimates = make_estimates(sources, 1)
    rounded = [np.round(signals * 2**15) / 2**15 for signals in (sources, sources.sum(axis=0), estimates)]
    scores = [as_dict(score_mixture(references, mixture, {"system": system}), "system")
              for references, mixture, system in ((sources, sources.sum(axis=0), estimates), rounded)]
    assert scores[1] == pytest.approx(scores[0], abs=0.01)
    assert scores[0]["SARi"] == scores[0]["SAR"] - 100
    for level in (1e-3, 1.0):  # also for signals in other units
        noise = 0.1 * np.random.default_rng(2).standard_normal(sources.shape[1])
        mixture = (sources.sum(axis=0) + sources.std() * noise) * level
        noisy = as_dict(score_mixture(sources * level, mixture, {"system": estimates * level}), "system")
        assert noisy["SARi"] > noisy["SAR"] - 50


@pytest.mark.parametrize("level", [0.0, 0.1], ids=["zero", "constant"])
def test_silent_source_makes_the_mixture_undefined(level):
    sources = make_sources(0)
    sources[1] = level
    rows = score_mixture(sources, sources.sum(axis=0), {"system": make_estimates(make_sources(0), 1)})
    assert len(rows) == len(METRICS) and all(np.isnan(value) for _, _, value in rows)


def test_sources_that_filters_cannot_tell_apart_are_not_scored():
    impulse = np.zeros((2, RATE_HZ))
    impulse[:, 0] = 1
    assert np.isnan(best_bss_eval(impulse, make_estimates(make_sources(0), 1))).all()
    rows = score_mixture(impulse, impulse.sum(axis=0), {"system": make_estimates(make_sources(0), 1)})
    assert len(rows) == len(METRICS) and all(np.isnan(value) for _, _, value in rows)


@pytest.mark.parametrize("level", [1.0, -0.3])
def test_a_source_that_is_a_copy_of_another_is_not_scored(level):
    """Rounding to float32 makes the equations solvable, and their solutions are arbitrary."""
    sources = np.float32(make_sources(0)[:1] * np.array([[1.0], [level]]))
    rows = score_mixture(sources, sources.sum(axis=0), {"system": make_estimates(make_sources(0), 1)})
    assert len(rows) == len(METRICS) and all(np.isnan(value) for _, _, value in rows)


def test_silent_estimate_is_never_rewarded():
    sources = make_sources(0)
    good = make_estimates(sources, 1)
    one_silent, all_silent = good.copy(), np.zeros_like(good)
    one_silent[0] = 0.1  # a constant offset is no sound
    rows = score_mixture(sources, sources.sum(axis=0), {"good": good, "one": one_silent, "all": all_silent})
    good, one, all_ = (as_dict(rows, system) for system in ("good", "one", "all"))
    for metric in METRICS:
        assert all_[metric] < one[metric] < good[metric]
    assert np.isfinite(list(all_.values())).all()
    assert all_["SDRi"] < -5 and all_["SI-SDRi"] < -20 and all_["SIRi"] < 1


def test_bad_estimates_are_named():
    labels, sources, mixture, estimates = make_job(0)
    estimates["system"][1, 5:7] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"system system: estimates .* 2 samples .*\(2, 8000\)"):
        score_mixture(sources, mixture, estimates)
    with pytest.raises(ValueError, match="mixture 0, system system"):
        score_mixtures([(labels, sources, mixture, estimates)], n_jobs=1, progress=False)
    with pytest.raises(ValueError, match=r"\(2, 8000\).*\(1, 8000\)"):
        metrics.check_signals(sources, sources[:1])
    with pytest.raises(ValueError, match="same shape"):
        metrics.check_signals(sources[0], sources[0])


@pytest.mark.slow
def test_parallel_equals_serial():
    drawn = []  # by the thread that asked: Keras may compute estimates there

    def jobs():
        for seed in range(10):
            drawn.append(threading.current_thread())
            yield make_job(seed)

    parallel = score_mixtures(jobs(), n_jobs=2, progress=False)
    serial = score_mixtures(map(make_job, range(10)), n_jobs=1, progress=False)
    assert set(drawn) == {threading.current_thread()}
    assert list(parallel.columns) == ["mixture", "split", "kind", "system", "metric", "value"]
    assert list(parallel["mixture"].unique()) == [f"mixture {seed}" for seed in range(10)]
    assert_frame_equal(parallel, serial, rtol=1e-9)

    def broken():
        yield make_job(0)
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        score_mixtures(broken(), n_jobs=2, progress=False)
    assert score_mixtures([], n_jobs=2, progress=False).empty


def test_module_loads_no_learning_framework():
    code = "import sys, lab41_sce.evaluation.metrics; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_sources_that_cancel_each_other_make_the_mixture_undefined():
    sources = make_sources(0)[:1] * [[1], [-1]]
    rows = score_mixture(sources, sources.sum(axis=0), {"system": make_estimates(make_sources(0), 1)})
    assert len(rows) == len(METRICS) and all(np.isnan(value) for _, _, value in rows)


def test_an_estimate_is_silent_200_db_below_the_mixture():
    sources = make_sources(0)
    mixture = sources.sum(axis=0)
    centred = sources - sources.mean(axis=1, keepdims=True)
    quiet = mixture.std() * centred / centred.std(axis=1, keepdims=True)
    systems = {"just not silent": 10 ** (-199.9 / 20) * quiet, "just silent": 10 ** (-200.1 / 20) * quiet}
    rows = score_mixture(sources, mixture, systems)
    assert as_dict(rows, "just not silent")["SI-SDR"] == 100 and as_dict(rows, "just silent")["SI-SDR"] < -20


def test_only_the_mixture_itself_scores_as_the_mixture():
    sources = 1e-3 * make_sources(0)  # quiet, so that no fixed difference is small
    mixture = sources.sum(axis=0)
    both, noise = np.stack([mixture, mixture]), np.random.default_rng(1).standard_normal(sources.shape)
    systems = {"same": both.astype(np.float32), "other": both + 1e-4 * sources.std() * noise}
    rows = score_mixture(sources, mixture, systems)
    assert all(value == 0 for name, value in as_dict(rows, "same").items() if name.endswith("i"))
    assert all(value != 0 for name, value in as_dict(rows, "other").items() if name.endswith("i"))


def test_front_door_scores_equal_those_of_a_mixture():
    sources = make_sources(0)
    mixture, estimates = sources.sum(axis=0), make_estimates(sources, 1)[::-1]
    expected = as_dict(score_mixture(sources, mixture, {"system": estimates}), "system")
    assert metrics.score(sources, estimates, mixture) == expected
    plain = metrics.score(list(sources), list(estimates))  # no improvement without a mixture
    assert plain == {name: value for name, value in expected.items() if not name.endswith("i")} and len(plain) == 4
    with pytest.raises(ValueError, match=r"got \(7999,\) for references \(2, 8000\)"):
        metrics.score(sources, estimates, mixture[1:])
    with pytest.raises(ValueError, match="same shape"):
        metrics.score(sources, estimates[0])
    with pytest.raises(ValueError, match="estimates must be finite"):
        metrics.score(sources, estimates * np.nan)
    integers = [np.round(1000 * signals).astype(np.int16) for signals in (sources, estimates, mixture)]
    assert metrics.score(*integers) == pytest.approx(expected, abs=0.01)  # squares of int16 would overflow
    for bad in (integers[0].astype(np.int64), integers[0].astype(complex), integers[0] > 0, [[1.0, 2.0], [3.0]]):
        with pytest.raises(UserError, match="give floats or integers|different lengths"):
            metrics.score(bad, estimates)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_does_not_become_a_score_of_nan(monkeypatch, error):
    """mir_eval catches errors by a name that NumPy 2 lacks, which replaces whatever was raised."""
    def interrupted(*_):
        raise error

    signals = np.random.default_rng(0).standard_normal((2, 4000))
    monkeypatch.setattr(np.linalg, "solve", interrupted)
    with pytest.raises(error):
        metrics.score(signals, signals + 0.1 * signals[::-1])
