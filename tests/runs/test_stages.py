"""Systems are scored split by split, and an interrupted scoring continues."""

import pandas as pd
import pytest

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.evaluation import perceptual, scoring
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Setup
from lab41_sce.runs import stages
from lab41_sce.runs.config_schema import check, compose_config
from lab41_sce.runs.prepare import Prepared


def test_examples_of_a_split_survive_an_interruption_in_the_next(front_end, corpus_root, tmp_path, monkeypatch):
    utterances = splits.split(load_corpus(corpus_root, ["train"]), 2)
    speech = Speech(utterances, 10000)
    mixtures = draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95)
    mixtures = pd.concat([mixtures[:1], mixtures[:1].assign(split="in-set")])
    config = compose_config(["+exp=smoke", "method=unprocessed", "evaluation.jobs=1"])
    setup = Setup(front_end, None, 2)
    prepared = Prepared(check(config), setup, speech, pd.DataFrame(), None, pd.DataFrame())
    built, score = {"unprocessed": oracles.unprocessed(setup)}, scoring.score_systems

    def interrupted(front_end, systems, speech, mixtures, *more):
        if set(mixtures["split"]) == {"in-set"}:
            raise KeyboardInterrupt
        return score(front_end, systems, speech, mixtures, *more)

    monkeypatch.setattr(scoring, "score_systems", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stages.score_systems(config, built, prepared, mixtures, tmp_path)
    monkeypatch.setattr(scoring, "score_systems", score)
    stages.score_systems(config, built, prepared, mixtures, tmp_path)
    assert pd.read_csv(tmp_path / "examples.csv")["split"].to_list() == mixtures["split"].to_list()
    assert pd.read_csv(tmp_path / "mixtures.csv")["split"].unique().tolist() == mixtures["split"].to_list()


def test_scores_that_are_computed_again_take_their_place(front_end, corpus_root, tmp_path):
    """An edited score is computed again, and mixtures.csv is as it was."""
    utterances = splits.split(load_corpus(corpus_root, ["train"]), 2)
    speech = Speech(utterances, 10000)
    mixtures = draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95)[:2]
    config = compose_config(["+exp=smoke", "method=ideal_binary_mask", "evaluation.jobs=1"])
    setup = Setup(front_end, None, 2)
    prepared = Prepared(check(config), setup, speech, pd.DataFrame(), None, pd.DataFrame())
    built = {name: getattr(oracles, name)(setup) for name in ("ideal_binary_mask", "unprocessed")}
    stages.score_systems(config, built, prepared, mixtures, tmp_path)
    names = ("mixtures.csv", "examples.csv", "checksums.csv", "evaluation.csv")
    before = {name: (tmp_path / name).read_bytes() for name in names}
    scores = pd.read_csv(tmp_path / "mixtures.csv", dtype=str)
    scores.loc[3, "value"] = "25.0"
    scores.to_csv(tmp_path / "mixtures.csv", index=False)
    assert scores.loc[3, "system"] == "ideal_binary_mask"
    stages.score_systems(config, built, prepared, mixtures, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names} == before


def test_a_system_is_scored_again_if_a_metric_is_missing(front_end, corpus_root, tmp_path):
    utterances = splits.split(load_corpus(corpus_root, ["train"]), 2)
    speech, setup = Speech(utterances, 10000), Setup(front_end, None, 2)
    mixtures = draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95)[:1]
    for metrics, expected in (("[SDR]", ["SDR", "SDRi"]), ("[SDR,SI-SDR]", ["SDR", "SDRi", "SI-SDR", "SI-SDRi"]),
                              ("[SDR]", ["SDR", "SDRi"])):
        config = compose_config(["+exp=smoke", "method=unprocessed", "evaluation.jobs=1",
                                 f"evaluation.metrics={metrics}"])
        prepared = Prepared(check(config), setup, speech, pd.DataFrame(), None, pd.DataFrame())
        scores = stages.score_systems(config, {"unprocessed": oracles.unprocessed(setup)}, prepared, mixtures, tmp_path)
        assert scores["metric"].to_list() == expected


def test_a_metric_that_the_sample_rate_does_not_allow_is_refused_before_training(front_end, monkeypatch):
    monkeypatch.setattr(perceptual, "find_spec", lambda name: True)
    config = compose_config(["+exp=smoke", "evaluation.metrics=[SDR,PESQ-WB]"])
    prepared = Prepared(check(config), Setup(front_end, None, 2), None, pd.DataFrame(), None, pd.DataFrame())
    with pytest.raises(UserError, match="PESQ-WB needs mixtures of 16000 Hz or more, these have 10000 Hz"):
        prepared.evaluation_mixtures()


def test_the_metrics_must_contain_that_which_ranks_the_systems():
    with pytest.raises(UserError, match=r"evaluation.metrics=\[STOI\] is not possible; it must contain SDR"):
        check(compose_config(["+exp=smoke", "evaluation.metrics=[STOI]"]))
