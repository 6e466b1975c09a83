"""Verdicts follow from the numbers: each rule with numbers on every side of it."""

import re

import numpy as np
import pandas as pd
import pytest

from lab41_sce.article import claims
from lab41_sce.article.claims import FAILS, HOLDS, UNTOLD
from lab41_sce.data.splits import split_snr_db


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


def mixture_scores(means, n=20, split="unseen", metrics=("SDRi",), cluster_variance=0.6):
    """Return rows of `mixtures.csv`.

    Each system is as much better as told (for all kinds, or by kind), on average, and on each mixture by `cluster_variance` more
    or less, in turns; all find the same mixtures hard.
    """
    rng = np.random.default_rng(0)
    hard, listed = rng.normal(0, 0.1, 3 * n), mixture_list(n, split=split).to_dict("records")
    return pd.DataFrame([
        {"mixture": row["mixture"], "split": split, "kind": row["kind"], "system": system, "metric": metric,
         "value": (mean[row["kind"]] if isinstance(mean, dict) else mean) + hard[i]
         + (-1) ** i * cluster_variance * (place % 2)}
        for place, (system, mean) in enumerate(means.items()) for i, row in enumerate(listed) for metric in metrics])


@pytest.mark.parametrize(("gains", "verdict"), [
    ({"FF": 1.5, "FM": 1.0, "MM": -0.2}, HOLDS),
    ({"FF": 1.5, "FM": 1.0, "MM": -2.0}, HOLDS),
    ({"FF": 1.5, "FM": 0.1, "MM": -0.2}, UNTOLD),  # FM not beyond its interval
    ({"FF": 1.5, "FM": 1.0, "MM": 1.5}, FAILS),  # MM better, too
    ({"FF": 1.5, "FM": 1.0, "MM": 0.1}, UNTOLD),  # MM perhaps better
    ({"FF": -1.5, "FM": 1.0, "MM": 0.0}, FAILS),
    ({"FF": 0.1, "FM": 0.0, "MM": 0.0}, UNTOLD),
])
def test_beating_deep_clustering(gains, verdict):
    scores = mixture_scores({"deep_clustering": 4.0, "sce": {kind: 4 + gain for kind, gain in gains.items()},
                             "pit_cnn": 9.0})
    others = mixture_scores({"deep_clustering": 4.0, "sce": 1.0}, split="in-set")
    claim = claims.beats_deep_clustering(pd.concat([scores, others]),
                                         pd.concat([mixture_list(), mixture_list(split="in-set")]))
    assert claim.verdict == verdict
    cells = dict(row[:2] for row in claim.table.rows)
    assert list(cells) == ["FF", "FM", "MM", "All"]
    assert cells["FF"].startswith(f"{gains['FF']:+.1f} [") and claim.table.rows[0][2] == "20"


def test_few_speakers_make_wide_intervals():
    """SCE is better only where one man talks: other men may give anything."""
    mixtures = mixture_list()
    with_him = mixtures["mixture"][(mixtures[["speaker_1", "speaker_2"]] == "M0").any(axis=1)]
    scores = mixture_scores({"deep_clustering": 4.0, "sce": 4.0}, cluster_variance=0.05)
    lucky = (scores["system"] == "sce") & scores["mixture"].isin(with_him)
    scores.loc[lucky, "value"] += 3.0
    by_mixtures = claims.paired_differences(scores, "deep_clustering").set_index("kind")
    assert by_mixtures.loc["MM", "low"] > 0.5
    claim = claims.beats_deep_clustering(scores, mixtures)
    assert claim.verdict == UNTOLD and claim.table.rows[2][1].startswith("+1.2 [0.0, ")


@pytest.mark.parametrize(("n", "speakers", "verdict", "about"), [
    (1, 5, UNTOLD, "Fewer than 10 mixtures"), (9, 5, UNTOLD, "Fewer than 10 mixtures"), (20, 3, UNTOLD, "Fewer than 4"),
    (10, 5, HOLDS, "")])
def test_too_few_tell_nothing(n, speakers, verdict, about):
    """The interval of a single mixture has no width: it must not decide."""
    scores = mixture_scores({"deep_clustering": 4.0, "sce": {"FF": 5.5, "FM": 5.5, "MM": 3.0}}, n)
    claim = claims.beats_deep_clustering(scores, mixture_list(n, speakers))
    assert claim.verdict == verdict and about in claim.reason and ("cannot tell" in claim.reason) == bool(about)


def timing(seconds, batch=256):
    rows = [("update", "sce", seconds[0]), ("update", "deep_clustering", seconds[1]),
            ("loss by batch", "sce", 0.1), ("loss by batch", "deep_clustering", 0.4)]
    table = pd.DataFrame(rows, columns=["what", "system", "seconds"])
    return table.assign(batch=batch, frames=40, speakers=251, negatives=0, megabytes=7.0, rounds=5,
                        fastest=0.0, slowest=99.0)


@pytest.mark.parametrize(("seconds", "batch", "verdict"), [
    ((5.0, 10.0), 256, HOLDS), ((7.0, 10.0), 256, FAILS), ((5.0, 10.0), 32, UNTOLD)])
def test_half_the_time(seconds, batch, verdict):
    claim = claims.takes_half_the_time(timing(seconds, batch))
    assert claim.verdict == verdict and f"takes {seconds[0] / seconds[1]:.2f} of the time" in claim.reason
    assert [row[5] for row in claim.table.rows] == [str(seconds[0] / seconds[1]), "0.25"]


def test_a_model_that_knows_no_speaker_and_one_that_does(tiny_model):
    speakers = [str(number) for number in range(1001, 1024)]
    assert claims.knows_no_identity(tiny_model, speakers).verdict == HOLDS
    assert len(claims.knows_no_identity(tiny_model, speakers).table.rows) == len(tiny_model.weights)
    eight = claims.knows_no_identity(tiny_model, speakers[: 4 * 2])  # as many as a dimension of its BLSTM
    assert eight.verdict == HOLDS and "1 of 8 weights have a dimension of 8" in eight.reason
    tiny_model.speaker_vectors = tiny_model.add_weight(shape=(23, 3))
    assert claims.knows_no_identity(tiny_model, speakers).verdict == FAILS


def test_a_model_whose_settings_name_a_speaker(tiny_model):
    config = tiny_model.get_config
    tiny_model.get_config = lambda: config() | {"speakers": ["1001", "1002"]}
    claim = claims.knows_no_identity(tiny_model, [str(number) for number in range(1001, 1024)])
    assert claim.verdict == FAILS and "name 2 of them" in claim.reason


def population(n=40, by_sex=0.0, by_pitch=0.0, seed=0):
    """Make speakers whose vectors follow their sex or their pitch as much as told."""
    rng = np.random.default_rng(seed)
    sexes = np.array(["F", "M"])[np.arange(n) % 2]
    semitones = rng.standard_normal(n)
    spectra = np.stack([semitones, rng.standard_normal(n) * 0.1], axis=1) + 3 * (sexes == "F")[:, None]
    vectors = 0.3 * rng.standard_normal((n, 5))
    vectors[:, 0] += by_sex * np.where(sexes == "F", 1, -1)
    angles = semitones * by_pitch
    vectors[:, 1:3] += np.stack([np.cos(angles), np.sin(angles)], axis=1) * (by_pitch > 0)
    table = pd.DataFrame({"speaker": np.arange(n).astype(str), "sex": sexes,
                          "pitch_hz": np.where(sexes == "F", 200, 110) * 2 ** (semitones / 12)})
    return table.join(pd.DataFrame(vectors).add_prefix("vector_")).join(pd.DataFrame(spectra).add_prefix("spectrum_"))


def test_similar_voices():
    both = claims.similar_voices_are_near(population(by_sex=1.0, by_pitch=1.0))
    assert both.verdict == HOLDS and len(both.table.rows) == 4
    only_sex = claims.similar_voices_are_near(population(by_sex=2.0, seed=3))
    assert only_sex.verdict == UNTOLD and "puts 100.0 % of the pairs" in only_sex.reason
    assert claims.similar_voices_are_near(population(seed=5)).verdict == UNTOLD
    few = claims.similar_voices_are_near(population(4, by_sex=1.0))
    assert few.verdict == UNTOLD and few.table.rows[1][2] == "+nan"  # two pairs of one sex


@pytest.mark.parametrize(("found", "verdict"), [
    ([(0.5, 0.001)] * 4, HOLDS), ([(0.5, 0.001)] * 3 + [(0.1, 0.2)], UNTOLD),
    ([(-0.2, 0.99)] * 3 + [(0.1, 0.3)], UNTOLD), ([(-0.2, 0.99)] * 4, FAILS),
    ([(-0.05, 0.8)] * 4, UNTOLD)])  # as of vectors that have learned nothing
def test_the_rule_for_similar_voices(found, verdict, monkeypatch):
    answers = iter(found)
    monkeypatch.setattr(claims.voices, "mantel_test", lambda *_: next(answers))
    assert claims.similar_voices_are_near(population()).verdict == verdict


@pytest.mark.parametrize(("means", "verdict"), [
    ({"sce": 5.0, "sce_free_vectors": 4.0, "sce_4_negatives": 4.0}, HOLDS),
    ({"sce": 5.0, "sce_free_vectors": 4.0, "sce_4_negatives": 5.0}, UNTOLD),
    ({"sce": 5.0, "sce_free_vectors": 4.0, "sce_4_negatives": 6.0}, FAILS),
    ({"sce": 5.0, "sce_equal_weights": 4.0, "sce_silence_counts": 4.9}, FAILS),  # better than equal weights
    ({"sce": 5.0}, UNTOLD),  # no variant
])
def test_choices_inside(means, verdict):
    scores = mixture_scores(means | {"ideal_binary_mask": 12.0, "sce_oracle_centroids": 7.0})
    claim = claims.choices_inside(scores, mixture_list(), {name: f"about {name}" for name in means})
    assert claim.verdict == verdict
    assert {row[0] for row in claim.table.rows} == {name.replace("_", " ") for name in means}
    cells = {row[0]: row[1:] for row in claim.table.rows}
    assert cells["sce"][2:] == ["–", "–"] and cells["sce"][0] == "about sce"
    if "sce_free_vectors" in means:
        assert cells["sce free vectors"][2].startswith("-1.0 [") and cells["sce free vectors"][3] == "sce"
        assert re.search("Worse beyond the interval: .*sce free vectors", claim.reason)
    elif "sce_silence_counts" in means:
        assert cells["sce silence counts"][2].startswith("+0.9 [")
        assert cells["sce silence counts"][3] == "sce equal weights"
    few = claims.choices_inside(mixture_scores(means, 1), mixture_list(1), {name: "" for name in means})
    assert few.verdict == UNTOLD and "cannot tell" in few.reason


@pytest.mark.parametrize(("noisy", "gain", "verdict"), [
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 1.0}, 1.0, HOLDS),
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": -1.0}, 1.0, FAILS),  # worse at -5 dB
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 0.1}, 1.0, UNTOLD),  # perhaps nothing gained at -5 dB
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 1.0}, 0.0, UNTOLD),  # the training is perhaps worth nothing
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 1.0}, -1.0, FAILS),  # the training hurts
    ({"": 5.0}, 1.0, UNTOLD),
])
def test_noise(noisy, gain, verdict):
    def noisy_run(split, lift=0.0):
        parts = [mixture_scores({"saved": mean + lift - gain, "sce": mean + lift, "ideal_binary_mask": 12.0},
                                split=f"{split}{about}", metrics=("SDRi", "SIRi")) for about, mean in noisy.items()]
        return pd.concat(parts), pd.concat([mixture_list(split=f"{split}{about}") for about in noisy])

    scores, mixtures = map(pd.concat, zip(noisy_run("unseen"), noisy_run("in-set", lift=7.0)))
    claim = claims.stands_noise(scores, mixtures)
    assert claim.verdict == verdict
    assert [row[0] for row in claim.table.rows] == ["no noise", "10", "-5"][: len(noisy)]
    assert re.match(rf"\+?{gain:.1f} \[", claim.table.rows[0][3])
    assert claim.table.rows[0][1].startswith("5.0 [")  # the in-set ones are not among them


def test_a_split_tells_its_ratio():
    splits = ("unseen", "unseen, SNR -5 dB", "in-set, SNR 2.5 dB")
    assert [split_snr_db(split) for split in splits] == [np.inf, -5, 2.5]
