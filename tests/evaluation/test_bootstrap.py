"""Means, intervals and paired differences against known statistics."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from lab41_sce.evaluation import bootstrap
from lab41_sce.evaluation.bootstrap import paired_differences, summarise


def make_scores(values_by_kind, **labels):
    """Return a table of scores, one mixture for each value."""
    rows = [(i, kind, value) for kind, values in values_by_kind.items() for i, value in enumerate(values)]
    labels = {"system": "a", "split": "unseen", "metric": "SDR", **labels}
    return pd.DataFrame(rows, columns=["mixture", "kind", "value"]).assign(**labels)


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
    """A score that depends on the speakers only keeps its interval when the same speakers get more mixtures."""
    generator, widths = np.random.default_rng(0), {}
    for n in (20, 320):
        pairs = [sorted(generator.choice(6, 2, replace=False)) for _ in range(n)]
        of_speaker = np.arange(6) - 2.5
        scores = make_scores({"FF": [of_speaker[list(pair)].mean() for pair in pairs]})
        mixtures = pd.DataFrame(pairs, columns=["speaker_1", "speaker_2"]).assign(mixture=scores["mixture"].unique(),
                                                                                   kind="FF", split="unseen")
        for name, listed in (("mixtures", None), ("speakers", mixtures)):
            row = summarise(scores, mixtures=listed).set_index("kind").loc["FF"]
            assert row["low"] < row["mean"] < row["high"]
            widths[name, n] = row["high"] - row["low"]
    assert widths["mixtures", 320] < 0.4 * widths["mixtures", 20]
    assert widths["speakers", 320] > 0.8 * widths["speakers", 20] > widths["mixtures", 20]
    # The mean of six drawn speakers, of deviation 1.71.
    assert widths["speakers", 320] == pytest.approx(2 * 1.96 * 1.71 / np.sqrt(6), rel=0.2)


def test_intervals_over_speakers_do_not_depend_on_another_split():
    pairs = pd.DataFrame([(f"w{i}", f"w{j}") for i in range(5) for j in range(i)], columns=["speaker_1", "speaker_2"])
    scores = make_scores({"FF": np.arange(10.0)})
    mixtures = pairs.assign(mixture=scores["mixture"].unique(), kind="FF", split="unseen")
    others = pairs.replace("w", "v", regex=True).assign(mixture=[f"in-set {n}" for n in range(10)], kind="FF",
                                                        split="in-set")
    alone = summarise(scores, mixtures=mixtures)
    assert_frame_equal(summarise(scores, mixtures=pd.concat([others, mixtures])), alone)


def test_speakers_are_drawn_by_sex_and_count_alike_in_every_kind():
    mixtures = pd.DataFrame([("a", "FM", "w1", "m1"), ("b", "MF", "m2", "w2"), ("c", "FF", "w1", "w2")],
                            columns=["mixture", "kind", "speaker_1", "speaker_2"])
    counts = bootstrap.draw_mixture_counts(mixtures, 0, 500)
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


def test_a_mean_counts_each_mixture_as_often_as_its_speakers_were_drawn():
    counts = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 2]], float)
    with np.errstate(all="raise"):
        means = bootstrap.weighted_means(np.array([1.0, 2.0, 4.0]), counts)
    np.testing.assert_array_equal(means, [np.nan, 2.0, 3.0])


def test_intervals_hold_95_percent_of_the_means_of_seed_0():
    scores = make_pair()
    own = scores[(scores["system"] == "a") & (scores["kind"] == "FF")]
    low, high = summarise(own).set_index("kind").loc["FF", ["low", "high"]]
    draws = bootstrap.resampled_means(own.sort_values("mixture")["value"].to_numpy(), "FF", 0, 2000)
    assert np.mean(draws < low) == np.mean(draws > high) == 0.025
    assert_frame_equal(paired_differences(scores, "base"), paired_differences(scores, "base", seed=0))


def test_a_score_over_one_mixture_has_no_interval():
    scores = make_scores({"FF": [1.0], "MM": [2.0, 3.0], "FM": [4.0], "MF": [7.0]})
    summary = summarise(scores).set_index("kind")
    assert summary.loc[["FF", "All"], ["low", "high"]].isna().all(axis=None)
    assert summary.loc[["FM", "MM"], ["low", "high"]].notna().all(axis=None) and summary["mean"].notna().all()
    other = make_scores({"FF": [2.0], "MM": [2.0, 4.0], "FM": [4.0], "MF": [9.0]}, system="b")
    paired = paired_differences(pd.concat([scores, other]), "a").set_index("kind")
    assert paired.loc["FF", "mean"] == 1 and paired.loc[["FF", "All"], ["low", "high"]].isna().all(axis=None)
    mixtures = pd.DataFrame({"mixture": [0, 1], "split": "unseen", "kind": "MM", "speaker_1": ["a", "b"],
                             "speaker_2": ["c", "d"]})
    of_speakers = summarise(make_scores({"MM": [2.0]}), mixtures=mixtures)
    assert of_speakers[["low", "high"]].isna().all(axis=None)
