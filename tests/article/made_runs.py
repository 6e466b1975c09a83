"""Folders of finished runs with artificial scores, for the tests of figures and of the report."""

import json

import numpy as np
import pandas as pd
import soundfile
import yaml
from conftest import hum
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from test_model_claims import population
from test_score_claims import mixture_list, mixture_scores, summary

from lab41_sce.runs.config_schema import CONFIG_PATH


def write_run(folder, tables, *overrides):
    """Write the files that every run has, and some tables."""
    folder.mkdir(parents=True, exist_ok=True)
    with initialize_config_dir(str(CONFIG_PATH), version_base="1.3"):
        config = compose("config", overrides=[
            "+exp=two_speaker", "corpus=librispeech", "corpus.root=/secret/speech", f"run_dir={folder}",
            "+method@others.deep_clustering=deep_clustering", "+method@others.sce_free_vectors=sce",
            "others.sce_free_vectors.name=sce_free_vectors", *overrides])
    config = OmegaConf.to_container(config, resolve=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = f"python -m lab41_sce.experiment corpus.root=/secret/speech run_dir={folder}"
    (folder / "version.json").write_text(json.dumps({"command": command, "git_commit": "abc1234", "platform": "Linux",
                                                     "started": "2026-01-02T03:04:05"}))
    of_all = {
        "splits.csv": pd.DataFrame({"utterance": ["a-1", "a-2", "b-1", "c-1"], "speaker": list("aabc"), "sex": "F",
                                    "subset": "x", "split": ["train", "in-set", "train", "unseen"]}),
        "systems.csv": pd.DataFrame([{"system": "sce", "parameters": 1234567, "updates": 4000, "minutes": 25.0,
                                      "seconds_per_update": 0.36, "best_update": 3500}]),
        "evaluation.csv": mixture_list(),
        "mixtures.csv": mixture_scores({"sce": 5.0, "sce_free_vectors": 4.0, "deep_clustering": 4.0}),
    }
    for name, table in (of_all | tables).items():
        table.to_csv(folder / name, index=False)
    return folder


def make_run(folder, model):
    """Write the folder of a run with artificial scores, an untrained model and two examples."""
    means = {"FF": 4.0, "FM": 7.0, "MM": 4.5, "All": 5.6}
    rivals = {kind: mean - 1 for kind, mean in means.items()}
    write_run(folder, {
        "summary.csv": pd.concat([summary(means, "sce"), summary(rivals, "deep_clustering")]),
        "differences.csv": summary(dict.fromkeys(means, -1.0), "deep_clustering"),
        "mixtures.csv": mixture_scores({"deep_clustering": 4.0, "sce": 5.5}),
    })
    system = folder / "systems" / "sce"
    system.mkdir(parents=True)
    model.save(system / "model.keras")
    population(23, by_sex=2.0, by_pitch=1.0).to_csv(system / "speakers.csv", index=False)
    rng = np.random.default_rng(0)
    for example in ("unseen-FF-1", "unseen-FM-1"):
        (folder / "examples" / example).mkdir(parents=True)
        sources = [hum(pitch_hz, 1.0, 10000, rng) for pitch_hz in (210, 110 if "M" in example else 180)]
        for name, signal in {"mixture": sum(sources), "reference_1": sources[0], "reference_2": sources[1]}.items():
            soundfile.write(folder / "examples" / example / f"{name}.wav", 0.3 * signal, 10000)
    return folder
