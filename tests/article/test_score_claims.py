"""Verdicts on the quality of separation, with numbers on every side of each rule."""

import re

import numpy as np
import pandas as pd
import pytest

from lab41_sce.article import score_claims
from lab41_sce.article.claim import FAILS, HOLDS, UNDECIDED
from lab41_sce.evaluation.bootstrap import paired_differences


def summary(means, system, split="unseen", width=0.5):
    """Return rows of a summary, each mean with an interval of +- width."""
    return pd.DataFrame([{"system": system, "split": split, "kind": kind, "metric": "SDRi", "mean": mean,
                          "low": mean - width, "high": mean + width, "n": 40} for kind, mean in means.items()])


def mixture_list(n=20, speakers=5, split="unseen", **columns):
    """Return rows of `evaluation.csv`: n mixtures of each kind, of some women and as many men."""
    rows = [{"mixture": f"{split}-{kind}-{i}", "split": split, "kind": kind, "speaker_1": f"{kind[0]}{i % speakers}",
             "speaker_2": f"{kind[1]}{(i + 1 + i // speakers % (speakers - 1)) % speakers}"}
            for kind in ("FF", "FM", "MM") for i in range(n)]
    return pd.DataFrame(rows).assign(**columns)


def mixture_scores(means, n=20, split="unseen", metrics=("SDRi",), spread_db=0.6):
    """Return rows of `mixtures.csv`.

    The mean of each system is given (for all kinds, or by kind). Its scores alternate by +-`spread_db` between
    mixtures. The same mixtures are hard for all systems.
    """
    rng = np.random.default_rng(0)
    hard, listed = rng.normal(0, 0.1, 3 * n), mixture_list(n, split=split).to_dict("records")
    return pd.DataFrame([
        {"mixture": row["mixture"], "split": split, "kind": row["kind"], "system": system, "metric": metric,
         "value": (mean[row["kind"]] if isinstance(mean, dict) else mean) + hard[i]
         + (-1) ** i * spread_db * (place % 2)}
        for place, (system, mean) in enumerate(means.items()) for i, row in enumerate(listed) for metric in metrics])


@pytest.mark.parametrize(("gains", "verdict"), [
    ({"FF": 1.5, "FM": 1.0, "MM": -0.2}, HOLDS),
    ({"FF": 1.5, "FM": 1.0, "MM": -2.0}, HOLDS),
    ({"FF": 1.5, "FM": 0.1, "MM": -0.2}, UNDECIDED),  # the interval of FM includes 0
    ({"FF": 1.5, "FM": 1.0, "MM": 1.5}, FAILS),  # MM is better
    ({"FF": 1.5, "FM": 1.0, "MM": 0.1}, UNDECIDED),  # MM is perhaps better
    ({"FF": -1.5, "FM": 1.0, "MM": 0.0}, FAILS),
    ({"FF": 0.1, "FM": 0.0, "MM": 0.0}, UNDECIDED),
])
def test_sce_against_deep_clustering(gains, verdict):
    scores = mixture_scores({"deep_clustering": 4.0, "sce": {kind: 4 + gain for kind, gain in gains.items()},
                             "pit_cnn": 9.0})
    others = mixture_scores({"deep_clustering": 4.0, "sce": 1.0}, split="in-set")
    claim = score_claims.judge_against_deep_clustering([pd.concat([scores, others])],
                                         pd.concat([mixture_list(), mixture_list(split="in-set")]))
    assert claim.verdict == verdict
    cells = dict(row[:2] for row in claim.table.rows)
    assert list(cells) == ["FF", "FM", "MM", "All"]
    assert cells["FF"].startswith(f"{gains['FF']:+.1f} [") and claim.table.rows[0][3:] == ["–", "20"]


def test_few_speakers_make_wide_intervals():
    """SCE is better only on mixtures with one of the men, so other men may give any result."""
    mixtures = mixture_list()
    with_him = mixtures["mixture"][(mixtures[["speaker_1", "speaker_2"]] == "M0").any(axis=1)]
    scores = mixture_scores({"deep_clustering": 4.0, "sce": 4.0}, spread_db=0.05)
    lucky = (scores["system"] == "sce") & scores["mixture"].isin(with_him)
    scores.loc[lucky, "value"] += 3.0
    by_mixtures = paired_differences(scores, "deep_clustering").set_index("kind")
    assert by_mixtures.loc["MM", "low"] > 0.5
    claim = score_claims.judge_against_deep_clustering([scores], mixtures)
    assert claim.verdict == UNDECIDED and claim.table.rows[2][1].startswith("+1.2 [0.0, ")


@pytest.mark.parametrize(("n", "speakers", "verdict", "about"), [
    (1, 5, UNDECIDED, "Fewer than 10 mixtures"), (9, 5, UNDECIDED, "Fewer than 10 mixtures"),
    (20, 3, UNDECIDED, "Fewer than 4"), (10, 5, HOLDS, "")])
def test_too_few_mixtures_or_speakers_leave_the_claim_undecided(n, speakers, verdict, about):
    """The interval of a single mixture has no width and must not decide."""
    scores = mixture_scores({"deep_clustering": 4.0, "sce": {"FF": 5.5, "FM": 5.5, "MM": 3.0}}, n)
    claim = score_claims.judge_against_deep_clustering([scores], mixture_list(n, speakers))
    assert claim.verdict == verdict and about in claim.reason and ("too few to decide" in claim.reason) == bool(about)


@pytest.mark.parametrize(("means", "verdict"), [
    ({"sce": 5.0, "sce_free_vectors": 4.0, "sce_4_negatives": 4.0}, HOLDS),
    ({"sce": 5.0, "sce_free_vectors": 4.0, "sce_4_negatives": 5.0}, UNDECIDED),
    ({"sce": 5.0, "sce_free_vectors": 4.0, "sce_4_negatives": 6.0}, FAILS),
    ({"sce": 5.0, "sce_equal_weights": 4.0, "sce_silence_counts": 4.9}, FAILS),  # better than its baseline
    ({"sce": 5.0}, UNDECIDED),  # no variant
])
def test_choices_against_their_alternatives(means, verdict):
    scores = mixture_scores(means | {"ideal_binary_mask": 12.0, "sce_oracle_centroids": 7.0})
    claim = score_claims.judge_choices(scores, mixture_list(), {name: f"about {name}" for name in means})
    assert claim.verdict == verdict
    assert {row[0] for row in claim.table.rows} == {name.replace("_", " ") for name in means}
    cells = {row[0]: row[1:] for row in claim.table.rows}
    assert cells["sce"][2:] == ["–", "–"] and cells["sce"][0] == "about sce"
    if "sce_free_vectors" in means:
        assert cells["sce free vectors"][2].startswith("-1.0 [") and cells["sce free vectors"][3] == "sce"
        assert re.search("Worse than the baseline: .*sce free vectors", claim.reason)
    elif "sce_silence_counts" in means:
        assert cells["sce silence counts"][2].startswith("+0.9 [")
        assert cells["sce silence counts"][3] == "sce equal weights"
    few = score_claims.judge_choices(mixture_scores(means, 1), mixture_list(1), {name: "" for name in means})
    assert few.verdict == UNDECIDED and "too few to decide" in few.reason


@pytest.mark.parametrize(("noisy", "gain", "verdict"), [
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 1.0}, 1.0, HOLDS),
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": -1.0}, 1.0, FAILS),  # worse at -5 dB
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 0.1}, 1.0, UNDECIDED),  # perhaps no gain at -5 dB
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 1.0}, 0.0, UNDECIDED),  # training with noise is perhaps no better
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 1.0}, -1.0, FAILS),  # training with noise is worse
    ({"": 5.0}, 1.0, UNDECIDED),
])
def test_noise(noisy, gain, verdict):
    def noisy_run(split, lift=0.0):
        parts = [mixture_scores({"saved": mean + lift - gain, "sce": mean + lift, "ideal_binary_mask": 12.0},
                                split=f"{split}{about}", metrics=("SDRi", "SIRi")) for about, mean in noisy.items()]
        return pd.concat(parts), pd.concat([mixture_list(split=f"{split}{about}") for about in noisy])

    scores, mixtures = map(pd.concat, zip(noisy_run("unseen"), noisy_run("in-set", lift=7.0)))
    claim = score_claims.judge_noise(scores, mixtures)
    assert claim.verdict == verdict
    assert [row[0] for row in claim.table.rows] == ["no noise", "10", "-5"][: len(noisy)]
    change = "The claim would hold if, of these ratios," in claim.reason
    assert change == (verdict != HOLDS and len(noisy) > 1)
    if noisy.get(", SNR -5 dB") == -1.0:
        assert "The claim would hold if, of these ratios, SCE improved both measures at 1 more. " in claim.reason
    assert re.match(rf"\+?{gain:.1f} \[", claim.table.rows[0][3])
    assert claim.table.rows[0][1].startswith("5.0 [")  # without the in-set mixtures
