"""Verdicts follow from the numbers: each rule with numbers on every side of it."""

import re

import numpy as np
import pandas as pd
import pytest

from lab41_sce.article import claims
from lab41_sce.article.claims import FAILS, HOLDS, UNTOLD


def summary(means, system, split="unseen", width=0.5):
    """Return rows of a summary, each mean with an interval of +- width."""
    return pd.DataFrame([{"system": system, "split": split, "kind": kind, "metric": "SDRi", "mean": mean,
                          "low": mean - width, "high": mean + width, "n": 40} for kind, mean in means.items()])


@pytest.mark.parametrize(("gains", "verdict"), [
    ({"FF": 1.0, "FM": 0.6, "MM": -0.2, "All": 0.6}, HOLDS),
    ({"FF": 1.0, "FM": 0.6, "MM": -2.0, "All": 0.6}, HOLDS),
    ({"FF": 1.0, "FM": 0.4, "MM": -0.2, "All": 0.6}, UNTOLD),  # FM not beyond its interval
    ({"FF": 1.0, "FM": 0.6, "MM": 0.9, "All": 0.6}, FAILS),  # MM better, too
    ({"FF": 1.0, "FM": 0.6, "MM": 0.3, "All": 0.6}, UNTOLD),  # MM perhaps better
    ({"FF": -1.0, "FM": 0.6, "MM": 0.0, "All": 0.1}, FAILS),
    ({"FF": 0.1, "FM": 0.0, "MM": 0.0, "All": 0.0}, UNTOLD),
])
def test_beating_deep_clustering(gains, verdict):
    differences = summary({kind: -gain for kind, gain in gains.items()}, "deep_clustering")  # it less SCE
    claim = claims.beats_deep_clustering(pd.concat([differences, summary({"All": 9.0}, "pit_cnn")]))
    assert claim.verdict == verdict
    cells = dict(row[:2] for row in claim.table.rows)
    assert list(cells) == ["FF", "FM", "MM", "All"]
    assert cells["FF"] == "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(gains["FF"] + side for side in (0, -0.5, 0.5))) \
        .replace("+0.0", "0.0").replace("-0.0", "0.0")


def test_the_sign_and_the_interval_turn_together():
    rows = pd.DataFrame([{"system": "deep_clustering", "split": "unseen", "kind": kind, "metric": "SDRi",
                          "mean": -1.0, "low": -3.0, "high": -0.5, "n": 5} for kind in ("FF", "FM", "MM", "All")])
    assert claims.beats_deep_clustering(rows).table.rows[0] == ["FF", "+1.0 [+0.5, +3.0]", "5"]


@pytest.mark.parametrize(("n", "verdict"), [(1, UNTOLD), (9, UNTOLD), (10, HOLDS)])
def test_too_few_mixtures_tell_nothing(n, verdict):
    """The interval of a single mixture has no width: it must not decide."""
    rows = summary({"FF": -1.0, "FM": -1.0, "MM": 0.2, "All": -1.0}, "deep_clustering").assign(n=n)
    claim = claims.beats_deep_clustering(rows)
    assert claim.verdict == verdict and ("Fewer than 10" in claim.reason) == (n < 10)


def timing(seconds, batch=256):
    rows = [("update", "sce", seconds[0]), ("update", "deep_clustering", seconds[1]),
            ("loss by batch", "sce", 0.1), ("loss by batch", "deep_clustering", 0.4)]
    table = pd.DataFrame(rows, columns=["what", "system", "seconds"])
    return table.assign(batch=batch, frames=40, speakers=251, negatives=0, megabytes=7.0, rounds=5)


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
    assert only_sex.verdict == UNTOLD and "puts 100 % of the pairs" in only_sex.reason
    assert claims.similar_voices_are_near(population(seed=5)).verdict in (UNTOLD, FAILS)
    few = claims.similar_voices_are_near(population(4, by_sex=1.0))
    assert few.verdict == UNTOLD and few.table.rows[1][2] == "+nan"  # two pairs of one sex


@pytest.mark.parametrize(("found", "verdict"), [
    ([(0.5, 0.001)] * 4, HOLDS), ([(0.5, 0.001)] * 3 + [(0.1, 0.2)], UNTOLD),
    ([(-0.2, 0.99)] * 3 + [(0.1, 0.3)], UNTOLD), ([(-0.2, 0.99)] * 4, FAILS)])
def test_the_rule_for_similar_voices(found, verdict, monkeypatch):
    answers = iter(found)
    monkeypatch.setattr(claims.voices, "mantel_test", lambda *_: next(answers))
    assert claims.similar_voices_are_near(population()).verdict == verdict


def mixture_scores(means, seed=0, n=30):
    """Return rows of `mixtures.csv`: each system as much better on every mixture as told, up to 0.1 dB of noise."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 3, n)
    rows = [{"mixture": f"unseen-{kind}-{i}", "split": "unseen", "kind": kind, "system": system, "metric": "SDRi",
             "value": mean + hard[i] + rng.normal(0, 0.1)}
            for system, mean in means.items() for i, kind in enumerate(["FF", "FM", "MM"] * (n // 3))]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("means", "verdict"), [
    ({"sce": 5.0, "sce_free_vectors": 4.0, "sce_4_negatives": 4.5}, HOLDS),
    ({"sce": 5.0, "sce_free_vectors": 4.0, "sce_4_negatives": 5.0}, UNTOLD),
    ({"sce": 5.0, "sce_free_vectors": 4.0, "sce_4_negatives": 5.5}, FAILS),
    ({"sce": 5.0, "sce_equal_weights": 4.0, "sce_silence_counts": 4.5}, FAILS),  # half a dB better than equal weights
])
def test_choices_inside(means, verdict):
    scores = mixture_scores(means | {"ideal_binary_mask": 12.0, "sce_true_centres": 7.0})
    claim = claims.choices_inside(scores, {name: f"about {name}" for name in means})
    assert claim.verdict == verdict
    assert {row[0] for row in claim.table.rows} == {name.replace("_", " ") for name in means}
    cells = {row[0]: row[1:] for row in claim.table.rows}
    assert cells["sce"][2:] == ["–", "–"] and cells["sce"][0] == "about sce"
    if "sce_free_vectors" in means:
        assert cells["sce free vectors"][2].startswith("-1.0 [") and cells["sce free vectors"][3] == "sce"
        assert re.search("Worse beyond the interval: .*sce free vectors", claim.reason)
    else:
        assert cells["sce silence counts"][2].startswith("+0.5 [")
        assert cells["sce silence counts"][3] == "sce equal weights"


@pytest.mark.parametrize(("noisy", "gain", "verdict"), [
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 1.0}, 1.0, HOLDS),
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 0.2}, 1.0, FAILS),  # nothing gained at -5 dB
    ({"": 5.0, ", SNR 10 dB": 4.0, ", SNR -5 dB": 1.0}, 0.1, FAILS),  # the training is worth nothing
    ({"": 5.0}, 1.0, UNTOLD),
])
def test_noise(noisy, gain, verdict):
    splits = {f"unseen{about}": mean for about, mean in noisy.items()}
    means = pd.concat([summary({"All": mean}, "sce", split) for split, mean in splits.items()]
                      + [summary({"All": mean - gain}, "saved", split) for split, mean in splits.items()]
                      + [summary({"All": 12.0}, "ideal_binary_mask", split) for split in splits])
    differences = pd.concat([summary({"All": -gain}, "saved", split) for split in splits])
    claim = claims.stands_noise(means, differences)
    assert claim.verdict == verdict
    assert [row[0] for row in claim.table.rows] == ["no noise", "10", "-5"][: len(splits)]
    assert claim.table.rows[0][3] == f"+{gain:.1f} [{'+' if gain > 0.5 else ''}{gain - 0.5:.1f}, +{gain + 0.5:.1f}]"


def test_a_split_tells_its_ratio():
    splits = ("unseen", "unseen, SNR -5 dB", "in-set, SNR 2.5 dB")
    assert [claims.snr_db(split) for split in splits] == [np.inf, -5, 2.5]
