"""Scores against hand-made values and a second implementation; summaries against what statistics say."""

import subprocess
import sys
import threading

import fast_bss_eval
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy.signal import lfilter

from lab41_sce import metrics
from lab41_sce.metrics import (
    METRICS,
    best_bss_eval,
    best_si_sdr,
    paired_differences,
    score_mixture,
    score_mixtures,
    summarise,
)

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


def make_scores(values_by_kind, **labels):
    """Return a table of scores, one mixture for each value."""
    rows = [(i, kind, value) for kind, values in values_by_kind.items() for i, value in enumerate(values)]
    labels = {"system": "a", "split": "unseen", "metric": "SDR", **labels}
    return pd.DataFrame(rows, columns=["mixture", "kind", "value"]).assign(**labels)


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
        metrics.validate(sources, sources[:1])
    with pytest.raises(ValueError, match="same shape"):
        metrics.validate(sources[0], sources[0])


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
    code = "import sys, lab41_sce.metrics; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_all_weights_kinds_by_their_orderings():
    scores = make_scores({"FF": [1.0] * 3, "MM": [2.0] * 5, "FM": [4.0], "MF": [7.0] * 2, "FX": [np.nan]})
    summary = summarise(scores).set_index("kind")
    assert list(summary.index) == ["FF", "FM", "MM", "All"]
    assert summary["n"].to_dict() == {"FF": 3, "FM": 3, "MM": 5, "All": 11}
    assert summary["mean"].to_dict() == {"FF": 1.0, "FM": 6.0, "MM": 2.0, "All": (1 + 2 + 2 * 6) / 4}

    without = summarise(scores[scores["kind"] != "MM"]).set_index("kind")
    assert without["mean"]["All"] == pytest.approx((1 + 2 * 6) / 3)

    three = summarise(make_scores({"FFF": [1.0], "FMF": [2.0], "MFF": [2.0], "MFM": [3.0], "MMM": [4.0]}))
    assert three.set_index("kind")["mean"]["All"] == pytest.approx((1 + 3 * 2 + 3 * 3 + 4) / 8)


def test_interval_contains_the_mean_and_shrinks():
    generator = np.random.default_rng(0)
    widths = []
    for n in (20, 320):
        scores = make_scores({kind: generator.normal(size=n) for kind in ("FF", "MM", "FM", "MF")})
        summary = summarise(scores).set_index("kind")
        assert ((summary["low"] < summary["mean"]) & (summary["mean"] < summary["high"])).all()
        width = summary["high"] - summary["low"]
        # A mean of n values of deviation 1; FM has 2 n of them, All has 4 n.
        expected = 2 * 1.96 / np.sqrt(n * np.array([1, 2, 1, 4]))
        np.testing.assert_allclose(width, pd.Series(expected, ["FF", "FM", "MM", "All"]), rtol=0.35)
        widths.append(width)
    assert (widths[1] < widths[0] / 2).all()


def test_intervals_cover_the_true_mean():
    values = np.random.default_rng(0).normal(5, 2, size=(300, 40))
    scores = pd.concat([make_scores({"FM": row}, system=f"{i:03}") for i, row in enumerate(values)])
    summary = summarise(scores, n_resamples=500)
    summary = summary[summary["kind"] == "FM"]
    covered = np.mean((summary["low"] <= 5) & (summary["high"] >= 5))
    assert 0.90 < covered < 0.98


def test_summary_depends_on_seed_and_scores_only():
    generator = np.random.default_rng(0)
    values = {kind: generator.normal(size=30) for kind in ("FF", "MM", "FM", "MF")}
    scores = pd.concat([make_scores(values, system="b"), make_scores(values, system="a", split="in-set")])
    summary = summarise(scores, seed=1)
    assert_frame_equal(summary, summarise(scores.sample(frac=1, random_state=0), seed=1), check_exact=True)
    assert (summary["low"] != summarise(scores, seed=2)["low"]).any()
    with pytest.raises(ValueError, match="once"):
        summarise(pd.concat([scores, scores.iloc[:1]]))


def test_intervals_over_speakers():
    """A value that belongs to the speakers: its interval must not shrink with the number of their mixtures."""
    generator, widths = np.random.default_rng(0), {}
    for n in (20, 320):
        pairs = [sorted(generator.choice(6, 2, replace=False)) for _ in range(n)]
        of_speaker = np.arange(6) - 2.5
        scores = make_scores({"FF": [of_speaker[list(pair)].mean() for pair in pairs]})
        mixtures = pd.DataFrame(pairs, columns=["speaker_1", "speaker_2"]).assign(mixture=scores["mixture"].unique(),
                                                                                   kind="FF")
        for name, listed in (("mixtures", None), ("speakers", mixtures)):
            row = summarise(scores, mixtures=listed).set_index("kind").loc["FF"]
            assert row["low"] < row["mean"] < row["high"]
            widths[name, n] = row["high"] - row["low"]
    assert widths["mixtures", 320] < 0.4 * widths["mixtures", 20]
    assert widths["speakers", 320] > 0.8 * widths["speakers", 20] > widths["mixtures", 20]
    # The mean of six drawn speakers, of deviation 1.71.
    assert widths["speakers", 320] == pytest.approx(2 * 1.96 * 1.71 / np.sqrt(6), rel=0.2)


def test_speakers_are_drawn_by_sex_and_count_alike_in_every_kind():
    mixtures = pd.DataFrame([("a", "FM", "w1", "m1"), ("b", "MF", "m2", "w2"), ("c", "FF", "w1", "w2")],
                            columns=["mixture", "kind", "speaker_1", "speaker_2"])
    counts = metrics._speaker_counts(mixtures, 0, 500)
    assert set(map(tuple, counts.to_numpy())) == {  # 0, 1 or 2 times each of two women, and of two men
        (women * men, (2 - women) * (2 - men), women * (2 - women)) for women in range(3) for men in range(3)}


def make_pair(n=40, spread_db=5.0):
    """Return scores of systems "a", "b" and "base"; mixtures differ by `spread_db`, systems on one by about 0.5 dB."""
    generator = np.random.default_rng(0)
    difficulty = {kind: generator.normal(0, spread_db, n) for kind in ("FF", "MM", "FM", "MF")}
    return pd.concat([
        make_scores({kind: mean_db + values + generator.normal(0, 0.5, n) for kind, values in difficulty.items()},
                    system=system)
        for system, mean_db in (("a", 1.0), ("base", 3.0), ("b", 4.0))
    ])


def test_paired_differences_agree_with_plain_subtraction():
    scores = make_pair()
    by_system = scores.set_index(["system", "kind", "mixture"])["value"]
    differences = paired_differences(scores.sample(frac=1, random_state=0), "base")
    assert list(differences.columns) == list(summarise(scores).columns)
    assert list(zip(differences["system"], differences["kind"])) == [
        (system, kind) for system in "ab" for kind in ("FF", "FM", "MM", "All")
    ]
    means = differences.set_index(["system", "kind"])["mean"]
    for system in "ab":
        difference = by_system[system] - by_system["base"]
        assert means[system, "FF"] == pytest.approx(difference["FF"].mean())
        assert means[system, "FM"] == pytest.approx((difference["FM"].mean() + difference["MF"].mean()) / 2)
        assert means[system, "All"] == pytest.approx(difference.mean())
    assert means["a", "All"] < 0 < means["b", "All"]
    assert ((differences["low"] < differences["mean"]) & (differences["mean"] < differences["high"])).all()
    assert_frame_equal(differences, paired_differences(scores, "base"), check_exact=True)


def test_paired_intervals_are_narrower_where_mixtures_matter():
    scores = make_pair()
    paired, unpaired = paired_differences(scores, "base"), summarise(scores[scores["system"] != "base"])
    narrower = (paired["high"] - paired["low"]) / (unpaired["high"] - unpaired["low"])
    assert (narrower < 0.3).all()


def test_paired_differences_count_common_mixtures_only():
    base = make_scores({"FF": [1.0, 2.0, np.nan, 100.0]}, system="base")
    other = make_scores({"FF": [2.0, 5.0, 7.0, 9.0, 50.0, np.nan]}, system="other")
    elsewhere = make_scores({"FF": [9.0]}, system="elsewhere", split="in-set")
    scores = pd.concat([base[:3], other, elsewhere])
    differences = paired_differences(scores, "base")
    assert differences[["system", "split", "kind", "mean", "n"]].values.tolist() == [
        ["other", "unseen", "FF", 2.0, 2], ["other", "unseen", "All", 2.0, 2]
    ]
    with pytest.raises(ValueError, match="baseline 'sce' must have scores, got scores of: base, elsewhere, other"):
        paired_differences(scores, "sce")
    with pytest.raises(ValueError, match="baseline"):
        paired_differences(pd.concat([base[2:3], other]), "base")
    with pytest.raises(ValueError, match="once"):
        paired_differences(pd.concat([scores, other]), "base")
