"""Systems are scored split by split, and an interrupted scoring continues."""

import pandas as pd
import pytest

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation import scoring
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
