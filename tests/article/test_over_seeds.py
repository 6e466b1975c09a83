"""Means over seeds have intervals that are as wide as speakers and seeds make them."""

import numpy as np
import pandas as pd
import pytest
from made_runs import make_run, write_run
from test_score_claims import mixture_list, mixture_scores, summary

from lab41_sce.article import over_seeds, score_claims
from lab41_sce.article.__main__ import main
from lab41_sce.article.claim import HOLDS, UNDECIDED
from lab41_sce.evaluation.bootstrap import paired_differences

# Student's t for 95 %: 12.706 for two seeds, 4.3027 for three, of the standard error
T_OF_TWO, T_OF_THREE = 12.706, 4.3027


def of_seeds(*gains):
    return [mixture_scores({"deep_clustering": 4.0, "sce": {kind: 4 + gain for kind, gain in each.items()}})
            for each in gains]


def test_seeds_widen_the_interval_as_student_says():
    gains = [{"FF": 1.5, "FM": 1.0 + step, "MM": -0.2} for step in (-0.1, 0.0, 0.1)]
    rows = over_seeds.mean_differences(of_seeds(*gains), "deep_clustering", mixture_list()).set_index("kind")
    middle = paired_differences(of_seeds(gains[1])[0], "deep_clustering", mixtures=mixture_list()).set_index("kind")
    np.testing.assert_allclose(rows["mean"], middle["mean"])
    np.testing.assert_allclose(rows.loc[["FF", "FM", "All"], "deviation"], [0, 0.1, 0.05], atol=1e-9)
    ends = ["low", "high"]
    np.testing.assert_allclose(rows.loc["FF", ends].astype(float), middle.loc["FF", ends].astype(float))
    half = T_OF_THREE * 0.1 / 3**0.5
    for end in ("low", "high"):
        expected = np.hypot(middle.loc["FM", end] - middle.loc["FM", "mean"], half)
        assert abs(rows.loc["FM", end] - rows.loc["FM", "mean"]) == pytest.approx(expected, rel=1e-4)
    assert rows.loc["FM", "seeds_db"] == pytest.approx(half, rel=1e-4)
    assert rows.loc["FM", "speakers_db"] == pytest.approx((middle.loc["FM", "high"] - middle.loc["FM", "low"]) / 2)


def test_one_seed_has_the_interval_of_the_speakers():
    scores = of_seeds({"FF": 1.5, "FM": 1.0, "MM": -0.2})
    rows = over_seeds.mean_differences(scores, "deep_clustering", mixture_list())
    same = paired_differences(scores[0], "deep_clustering", mixtures=mixture_list())
    pd.testing.assert_frame_equal(rows[same.columns], same)
    assert rows["deviation"].isna().all() and (rows["seeds_db"] == 0).all()


@pytest.mark.parametrize(("step", "verdict"), [(0.05, HOLDS), (0.6, UNDECIDED)])
def test_a_verdict_must_hold_for_other_seeds(step, verdict):
    """Each of the three trainings alone would make the claim hold."""
    gains = [{"FF": 1.5, "FM": 1.2 + step * sign, "MM": -0.2} for sign in (-1, 0, 1)]
    for each in of_seeds(*gains):
        assert score_claims.judge_against_deep_clustering([each], mixture_list()).verdict == HOLDS
    claim = score_claims.judge_against_deep_clustering(of_seeds(*gains), mixture_list())
    assert claim.verdict == verdict and "The intervals rest on 10 speakers and 3 seeds." in claim.reason
    assert claim.table.heads[2:4] == ["± speakers", "± seeds"]
    half = T_OF_THREE * step / 3**0.5
    assert claim.table.rows[1][3] == f"{half:.1f}"
    if verdict == UNDECIDED:
        rows = over_seeds.mean_differences(of_seeds(*gains), "deep_clustering", mixture_list())
        row = rows.set_index("kind").loc["FM"]
        assert row["low"] < 0 < row["mean"]
        assert f"{((row['mean'] - row['low']) / row['mean']) ** 2:.1f} times as many on FM" in claim.reason


def seeds_of_a_run(folder, seed, **changes):
    tables = {"summary.csv": pd.concat([summary({"FF": 4.0 + seed, "All": 5.0 + seed}, name)
                                        for name in ("sce", "deep_clustering")]),
              "differences.csv": summary({"All": -1.0}, "deep_clustering"),
              "mixtures.csv": mixture_scores({"deep_clustering": 4.0, "sce": 5.0 + seed})}
    overrides = [f"{name}={value}" for name, value in changes.items() if "." in name]
    return write_run(folder, tables, f"seed={seed}", *overrides)


def test_a_summary_over_two_seeds(tmp_path):
    runs = [seeds_of_a_run(tmp_path / str(seed), seed) for seed in (0, 1)]
    extra = summary({"FF": 1.0, "All": 1.0}, "only_here")
    pd.concat([pd.read_csv(runs[1] / "summary.csv"), extra]).to_csv(runs[1] / "summary.csv", index=False)
    table = over_seeds.mean_summary(runs).set_index(["system", "kind"])
    assert set(table.index.get_level_values("system")) == {"sce", "deep_clustering"}
    half = np.hypot(0.5, T_OF_TWO * 0.5**0.5 / 2**0.5)  # 0.5 is the half width of each interval
    np.testing.assert_allclose(table.loc[("sce", "FF"), ["mean", "low", "high"]].astype(float),
                               [4.5, 4.5 - half, 4.5 + half], rtol=1e-4)
    assert table.loc[("sce", "FF"), "n"] == 40


@pytest.mark.slow
def test_a_report_over_seeds(tiny_model, tmp_path, capsys):
    run = make_run(tmp_path / "runs" / "0", tiny_model)
    others = [seeds_of_a_run(tmp_path / "runs" / str(seed), seed) for seed in (1, 2)]
    assert main([str(run), "--seeds", *map(str, others)]) == 0
    text = (run / "article" / "REPORT.md").read_text()
    lead = text.split("## Claims")[0]
    assert "trained with 3 seeds and scored on the same mixtures" in lead and "trained once" not in lead
    assert "The intervals rest on 10 speakers and 3 seeds." in text
    for part in ("main", "seed 2", "seed 3"):
        assert f"| {part} " in text
    capsys.readouterr()


@pytest.mark.parametrize(("seed", "changes", "wanted"), [
    (1, {"training.learning_rate": 0.5}, "differ in training.learning_rate; give runs that differ only in the seed"),
    (0, {}, "have the seed 0; give each seed once"),
    (1, {"mixtures": None}, "were scored on different mixtures"),
])
def test_other_runs_than_seeds_are_refused(tiny_model, tmp_path, seed, changes, wanted, capsys):
    run = make_run(tmp_path / "0", tiny_model)
    other = seeds_of_a_run(tmp_path / "1", seed, **changes)
    if "mixtures" in changes:
        mixture_list(n=19).to_csv(other / "evaluation.csv", index=False)
    assert main([str(run), "--seeds", str(other)]) == 1
    assert wanted in capsys.readouterr().err and not (run / "article").exists()
