"""Examples to listen to: estimates in the order of the references, and no split is lost by an interruption."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from hydra import compose, initialize_config_dir

from lab41_sce import experiment
from lab41_sce.data.evaluation_set import load_mixture
from lab41_sce.evaluation import scoring
from lab41_sce.evaluation.examples import Examples
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Setup


def test_estimates_of_examples_are_in_the_order_of_the_references(evaluation_set, tmp_path):
    speech, mixtures = evaluation_set
    row = mixtures.iloc[0]
    mixture = load_mixture(speech, row)
    examples = Examples(tmp_path, "sce", 1, 10000)
    examples.keep(row, mixture, {"sce": mixture.sources[::-1]})
    folder = next((tmp_path / "examples").iterdir())
    for number in (1, 2):
        reference, _ = soundfile.read(folder / f"reference_{number}.wav")
        estimate, _ = soundfile.read(folder / f"estimate_{number}.wav")
        np.testing.assert_array_equal(reference, estimate)


def test_examples_of_a_split_outlive_an_interruption_in_the_next(front_end, evaluation_set, tmp_path, monkeypatch):
    speech, mixtures = evaluation_set
    mixtures = pd.concat([mixtures[:1], mixtures[:1].assign(split="in-set")])
    with initialize_config_dir(str(experiment.CONFIG_PATH), version_base="1.3"):
        config = compose("config", overrides=["+exp=smoke", "method=unprocessed", "evaluation.jobs=1"])
    systems, score = {"unprocessed": oracles.unprocessed(Setup(front_end, None, 2))}, scoring.score_systems

    def interrupted(front_end, systems, speech, mixtures, *more):
        if set(mixtures["split"]) == {"in-set"}:
            raise KeyboardInterrupt
        return score(front_end, systems, speech, mixtures, *more)

    monkeypatch.setattr(scoring, "score_systems", interrupted)
    with pytest.raises(KeyboardInterrupt):
        experiment.score_systems(config, systems, front_end, speech, mixtures, None, tmp_path)
    monkeypatch.setattr(scoring, "score_systems", score)
    experiment.score_systems(config, systems, front_end, speech, mixtures, None, tmp_path)
    assert pd.read_csv(tmp_path / "examples.csv")["split"].to_list() == mixtures["split"].to_list()
    assert pd.read_csv(tmp_path / "mixtures.csv")["split"].unique().tolist() == mixtures["split"].to_list()
