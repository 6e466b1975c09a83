"""The calibration of the verification of enrolled people, with synthetic voices."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from lab41_sce.audio.recording import Recording
from lab41_sce.commands import calibrate
from lab41_sce.data.corpus import EMBEDDED_ROOT, load_corpus
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.evaluation import verification_calibration as calibration
from lab41_sce.separation.separator import Separator


@pytest.fixture
def utterances(monkeypatch):
    """Return the synthetic speakers, twelve of whom are the background; excerpts are short."""
    monkeypatch.setattr(calibration, "SECONDS", 1.0)
    monkeypatch.setattr(calibration, "MIN_BACKGROUND_SPEAKERS", 12)
    monkeypatch.setattr(calibration, "N_CLASSES", 4)
    table = load_corpus(None, ["synthetic"], check="headers")
    table = table[table["speaker"].isin([str(number) for number in range(1, 25)])]
    return table.groupby("speaker").head(3).assign(folder=0, split="train", fold=0)


def background(utterances):
    return utterances["speaker"].astype(int) <= 12


@pytest.mark.slow
def test_people_are_recognised_and_others_are_not(utterances, tiny_model):
    """The cosines of two excerpts of a person who is not in the background exceed those with other people."""
    separator = Separator(tiny_model)
    verification = calibration.fit_background(separator, utterances[background(utterances)], ["white"], None)
    assert np.shape(verification.cohort) == (12, 11)  # at most as many directions as differences between speakers
    others = utterances[~background(utterances)].groupby("speaker")
    speech = Speech(utterances, 10000)
    separator.verification = verification
    first, second = ([separator.describe_person([Recording.of(speech.excerpt(name, 0, 10000), 10000)])
                      for name in others["utterance"].nth(number)] for number in (0, 1))
    scores = verification.scores(first, second)
    is_same = np.eye(12, dtype=bool)
    assert np.median(scores[is_same]) > np.quantile(scores[~is_same], 0.85)
    with pytest.raises(UserError, match="have two excerpts of 1 s in this speech, but 13 are needed"):
        calibration.MIN_BACKGROUND_SPEAKERS = 13
        calibration.fit_background(separator, utterances[background(utterances)], ["white"], None)


def test_excerpts_are_limited_and_spread_over_the_speakers():
    places = [(f"{speaker}-{number}", speaker, 0) for speaker, n in (("a", 50), ("b", 3), ("c", 1), ("d", 30))
              for number in range(n)]
    assert calibration._spread(places, 84) == places
    chosen = calibration._spread(places, 20)
    counts = Counter(speaker for _, speaker, _ in chosen)
    assert counts["b"] == 3 and counts["c"] == 1 and counts["a"] == counts["d"] == 8
    assert [place for place in places if place in chosen] == chosen
    many = calibration._spread([(f"{speaker}-{n}", str(speaker), 0) for speaker in range(100) for n in range(3)], 20)
    assert len({speaker for _, speaker, _ in many}) == 10 and max(int(speaker) for _, speaker, _ in many) > 50


def test_trials_have_people_who_are_present_and_others_of_the_same_sex(utterances, tiny_model):
    separator = Separator(tiny_model)
    separator.verification = calibration.fit_background(separator, utterances[background(utterances)], ["white"], None)
    others = utterances[~background(utterances)]
    trials = calibration.draw_trials(separator, others, 8, ["white"], None)
    assert set(trials["speaker"]) <= set(others["speaker"]) and trials["present"].sum() == 4 * 2 + 4 * 3
    assert trials.groupby("n_voices")["present"].sum().to_dict() == {2: 8, 3: 12}
    assert np.isfinite(trials["snr_db"]).mean() == pytest.approx(2 / 3, abs=0.1)
    assert (trials["snr_db"].between(10, 40) | np.isinf(trials["snr_db"])).all() and np.isfinite(trials["score"]).all()
    with pytest.raises(UserError, match="1 speakers of sex [FM] have two excerpts of 1 s, but 4 are needed"):
        calibration.draw_trials(separator, others.groupby("sex").head(3), 8, ["white"], None)


def test_the_probability_is_that_of_a_person_who_is_as_often_present_as_not():
    """Present people have scores around 4, others around 0, with a deviation of 1: p = 1 / (1 + exp(8 - 4 score))."""
    rng = np.random.default_rng(0)
    present = np.arange(5000) % 5 == 0
    trials = pd.DataFrame({"score": 4.0 * present + rng.standard_normal(5000), "present": present,
                           "speaker": rng.integers(20, size=5000).astype(str), "snr_db": [np.inf, 10.0] * 2500,
                           "n_voices": rng.integers(2, 4, 5000)})
    weights, found = calibration.fit_probability(trials)
    slope, bias = weights["slope"], weights["bias"] + 2.5 * weights["voices_slope"]
    assert slope == pytest.approx(4, rel=0.15) and -bias / slope == pytest.approx(2, abs=0.1)
    assert found["trials"] == 5000 and found["speakers"] == 20
    assert found["correct"] == pytest.approx(dict.fromkeys(found["correct"], 0.977), abs=0.02)
    assert weights["voices_slope"] == pytest.approx(0, abs=0.5)
    assert {*found["correct"]} == {f"{answer}_{condition}" for answer in ("present", "absent")
                                   for condition in ("quiet", "noisy", "two_voices", "three_voices")}


@pytest.mark.slow
@pytest.mark.parametrize("with_splits", [True, False])
def test_the_command_writes_the_verification(utterances, tiny_model, tmp_path, monkeypatch, capsys, with_splits):
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    tiny_model.save(tmp_path / "model.keras")
    table = load_corpus(None, ["synthetic"], check="headers")
    if with_splits:
        splits = np.where(table["speaker"].astype(int) <= 14, "train", "validation")
        table.assign(split=splits)[["utterance", "speaker", "split"]].to_csv(tmp_path / "splits.csv", index=False)
    monkeypatch.setattr(calibrate, "MIN_MIXTURES", 40)
    arguments = [str(tmp_path / "model.keras"), str(EMBEDDED_ROOT), "--mixtures", "40", "--only", "verification"]
    assert calibrate.main(arguments) == 0
    assert capsys.readouterr().out.startswith(
        f"{tmp_path / 'model.verification.json'}: right for held-out people: present, quiet: ")
    verification = Separator.load(tmp_path / "model.keras").verification
    assert len(verification.cohort) == 14 and verification.calibration["noise"] == ["white", "pink", "speech_shaped"]
    assert verification.calibration["trials"] == (4 * 2 + 4 * 3) * 5
    monkeypatch.setattr(calibration, "MIN_BACKGROUND_SPEAKERS", 50)
    assert calibrate.main(arguments) == 1 and "but 50 are needed" in capsys.readouterr().err
