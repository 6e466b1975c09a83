"""Shared by the tests: a small corpus of synthetic voices in LibriSpeech's layout, and small networks and models."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import absl.logging
import keras
import numpy as np
import pandas as pd
import pytest
import soundfile

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.evaluation_set import draw_evaluation_set
from lab41_sce.data.speech import Speech
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.yaml_defaults import with_yaml_defaults

# Hydra closes all handlers of the log; absl's would close the stream with which pytest captures stderr.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

blstm = with_yaml_defaults("network/blstm")  # for tests that give only the settings that matter to them


def hum(pitch_hz, seconds, rate_hz, rng):
    """Return a buzzing voice: harmonics of a wandering pitch, switched on and off like syllables."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = np.cumsum(pitch_hz * (1 + 0.05 * np.sin(3 * time + rng.random()))) / rate_hz * 2 * np.pi
    buzz = sum(np.sin(k * phase) / k for k in range(1, int(4000 / pitch_hz)))
    syllables = np.clip(np.sin(2 * np.pi * (2 + rng.random()) * time + 6 * rng.random()) + 0.5, 0, 1)
    return (0.1 * buzz * syllables + 0.001 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="session")
def corpus_root(tmp_path_factory):
    """Make 12 speakers (6 women, 6 men), 6 utterances each of 2 to 3 seconds at 16 kHz."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    lines = [";ID |SEX| SUBSET | MINUTES | NAME"]
    for speaker in range(101, 113):
        sex = "FM"[speaker % 2]
        lines.append(f"{speaker} | {sex} | train | 0.2 | Voice {speaker}")
        folder = root / "train" / str(speaker) / "7"
        folder.mkdir(parents=True)
        pitch_hz = (180 if sex == "F" else 90) + 6 * (speaker - 100)
        for number in range(6):
            signal = hum(pitch_hz, 2 + rng.random(), 16000, rng)
            soundfile.write(folder / f"{speaker}-7-{number:04d}.flac", signal, 16000)
    (root / "SPEAKERS.TXT").write_text("\n".join(lines))
    return root


@pytest.fixture
def front_end():
    return FrontEnd()


@pytest.fixture
def tiny_model(front_end):
    """Return an untrained embedding model with K = 3."""
    from lab41_sce.models.embedding_model import EmbeddingModel

    keras.utils.set_random_seed(1)
    return EmbeddingModel(front_end, blstm(front_end.n_bins, n_outputs=3, n_layers=1, units=4))


@pytest.fixture(scope="session")
def evaluation_set(corpus_root):
    """Return speech and four mixtures (FF, FM, MF, MM) of unseen speakers."""
    utterances = splits.split(load_corpus(corpus_root, ["train"]), 2)
    speech = Speech(utterances, 10000)
    return speech, draw_evaluation_set(speech, utterances, "unseen", 2, 1, 1.5, 0.95)


@pytest.fixture(scope="session")
def scored_run(corpus_root, tmp_path_factory):
    """Make the folder of a run with noise, as an experiment writes it, with its `Prepared` and its evaluation set."""
    from lab41_sce.data.evaluation_set import add_noise_at
    from lab41_sce.runs.config_schema import check, compose_config
    from lab41_sce.runs.prepare import load_split_speech, prepare
    from lab41_sce.runs.run_directory import describe_run

    folder = tmp_path_factory.mktemp("run")
    config = compose_config([f"corpus.root={corpus_root}", "corpus.subsets=[train]", "seed=3", "mixtures.batch_size=2",
                             "mixtures.seconds=0.5", "mixtures.speeds=[0.9,1]", "noise.kinds=[white]",
                             "noise.training_snr_db=[0,10]", "validation.per_kind=1", "validation.seconds=1",
                             "training.updates=1"])
    settings = check(config)
    recorded = load_split_speech(settings)
    describe_run(config, folder, {})
    recorded[["utterance", "speaker", "subset", "split"]].to_csv(folder / "splits.csv", index=False)
    prepared = prepare(config, settings, recorded)
    clean = draw_evaluation_set(prepared.speech, recorded, "unseen", 2, 1, 1.5, 0.95)
    mixtures = pd.concat([clean, add_noise_at(clean[:2], prepared.noise, 5.0)])
    mixtures.to_csv(folder / "evaluation.csv", index=False)
    return folder, prepared, mixtures


@pytest.fixture
def model_file(tiny_model, tmp_path):
    """Save the tiny model."""
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    tiny_model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"
