"""The mixtures of a run are those that it was scored on, and its batches those that it was trained on."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from lab41_sce.commands import benchmark
from lab41_sce.data.evaluation_set import add_noise_at, draw_evaluation_set, load_mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.settings import RoomSettings
from lab41_sce.errors import UserError
from lab41_sce.runs import run_mixtures
from lab41_sce.runs.prepare import load_rooms
from lab41_sce.runs.renamed_settings import load_config
from lab41_sce.runs.run_mixtures import evaluation_mixtures, load_run, training_batches


@pytest.fixture
def run(scored_run, tmp_path):
    """Copy the folder for a test that may change it."""
    folder, *parts = scored_run
    return shutil.copytree(folder, tmp_path / "run"), *parts


def test_evaluation_mixtures_are_those_of_the_run(run):
    folder, prepared, mixtures = run
    for split, n_mixtures in (("unseen", 4), ("unseen, SNR 5 dB", 2)):
        dataset, rows = evaluation_mixtures(folder, split), mixtures[mixtures["split"] == split]
        assert len(dataset) == n_mixtures and dataset.sample_rate_hz == 10000
        for item, (_, row) in zip(dataset, rows.iterrows(), strict=True):
            mixture = load_mixture(prepared.speech, row, prepared.noise)
            np.testing.assert_array_equal(item["mixture"], mixture.signal)
            np.testing.assert_array_equal(item["sources"], mixture.sources)
            assert item["name"] == row["mixture"]


def test_training_batches_are_those_of_the_run(run, monkeypatch):
    folder, prepared, _ = run
    monkeypatch.setattr(run_mixtures, "load_split_speech", lambda settings: pytest.fail("the corpus was loaded twice"))
    batches, ours = training_batches(folder, 3), prepared.mixtures("train")
    for index in range(3):
        batch, expected = batches[index], ours.batch(index)
        assert "noise" in expected
        for name, values in expected.items():
            np.testing.assert_array_equal(batch[name], values)


def test_training_batches_in_rooms_are_those_of_the_run(run, tmp_path):
    folder, prepared, _ = run
    responses = np.ones((2, 2, 700), np.float32)
    np.savez(tmp_path / "bank.npz", responses=responses, sample_rate_hz=10000, rt60=np.ones(2))
    settings = replace(prepared.settings, rooms=RoomSettings(str(tmp_path / "bank.npz"), share=1.0))
    prepared = replace(prepared, settings=settings, rooms=load_rooms(settings))
    config = load_config(folder)
    config["rooms"]["file"], config["rooms"]["share"] = settings.rooms.file, 1.0
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    prepared.rooms.files.to_csv(folder / "rooms.csv", index=False)
    batch, ours = training_batches(folder, 1)[0], prepared.mixtures("train").batch(0)
    for name, values in ours.items():
        np.testing.assert_array_equal(batch[name], values)
    np.savez(tmp_path / "bank.npz", responses=responses, sample_rate_hz=10000, rt60=2 * np.ones(2))
    with pytest.raises(UserError, match="the bank of rooms bank.npz differs from that with which the run began"):
        training_batches(folder, 1)


def test_the_splits_are_those_that_the_run_has_kept(run):
    folder, _, _ = run
    kept = pd.read_csv(folder / "splits.csv", dtype=str)
    removed = kept["speaker"] == kept.loc[kept["split"] == "train", "speaker"].iloc[0]
    kept[~removed].to_csv(folder / "splits.csv", index=False)
    speech = training_batches(folder, 1).mixtures.speech
    with pytest.raises(UserError, match="there is no utterance"):
        speech.length(kept.loc[removed, "utterance"].iloc[0])


def test_the_number_of_mixtures_and_the_corpus(run):
    frozen = load_run(run[0], "unseen", first=2)
    assert len(frozen.mixtures) == 2 and frozen.mixtures[1].kind == "FM" and len(frozen.mixtures[0].speakers) == 2
    assert frozen.name == "default unseen" and frozen.corpus == "embedded"


@pytest.mark.parametrize(("file", "text", "message"), [
    ("evaluation.csv", None, "evaluation.csv cannot be read"),
    ("evaluation.csv", "a,b\n1,2\n", "evaluation.csv cannot be read .*it has no column mixture"),
    ("evaluation.csv", "mixture,split,kind,sample_rate_hz,length,utterance_1,speaker_1,gain_1\na,unseen,FF,1,1,u,1,1\n",
     "evaluation.csv cannot be read .*it has no column start_1"),
    ("config.yaml", None, "config.yaml cannot be read"),
    ("config.yaml", "{seed: many, training: {updates: 1}}", "seed=many is not possible"),
    ("config.yaml", "{corpus: {root: /absent, subsets: [a], unseen_subsets: [b]}, training: {updates: 1}}",
     "config.yaml: corpus.root=/absent is not a folder"),
])
def test_a_damaged_run_is_reported_in_one_sentence(run, file, text, message):
    (run[0] / file).unlink()
    if text:
        (run[0] / file).write_text(text)
    with pytest.raises(UserError, match=message):
        evaluation_mixtures(run[0])


def test_an_unknown_split_is_reported_with_the_known_ones(run):
    with pytest.raises(UserError, match="no mixtures of the split 'test'; give one of 'unseen', 'unseen, SNR 5 dB'"):
        evaluation_mixtures(run[0], "test")


def test_damaged_splits_are_reported(run):
    (run[0] / "splits.csv").write_text("utterance\n")
    with pytest.raises(UserError, match=r"splits.csv cannot be read"):
        training_batches(run[0], 1)


def test_systems_are_scored_on_the_mixtures_of_a_run(run, tmp_path):
    folder, _, mixtures = run
    assert benchmark.main(["run", "--root", str(folder), "--part", "unseen, SNR 5 dB", "--systems", "unprocessed",
                           "--metrics", "SI-SDR", "--jobs", "1", "--out", str(tmp_path / "out")]) == 0
    scores = pd.read_csv(tmp_path / "out" / "mixtures.csv")
    assert list(scores["mixture"].unique()) == list(mixtures["mixture"][-2:])
    assert list(scores["kind"].unique()) == ["FF", "FM"]


@pytest.mark.parametrize("checked", ["samples", "headers"])
def test_noise_of_a_folder_is_found_again_and_compared(run, tmp_path, checked):
    folder, prepared, _ = run
    (tmp_path / "noise").mkdir()
    for number in range(5):
        samples = np.random.default_rng(number).uniform(-1, 1, 30000)
        soundfile.write(tmp_path / "noise" / f"{number}.wav", samples, 10000)
    config = load_config(folder)
    config["noise"] |= {"kinds": ["white", "folder"], "folder": str(tmp_path / "noise")}
    config["corpus"]["check"] = checked
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    noise = Noise(prepared.speech, prepared.utterances, ["white", "folder"], str(tmp_path / "noise"), checked)
    clean = draw_evaluation_set(prepared.speech, prepared.utterances, "unseen", 2, 1, 1.5, 0.95)
    written = pd.concat([clean, add_noise_at(clean, noise, 5.0)])
    noise.files.to_csv(folder / "noise.csv", index=False)
    for table in (written, written.assign(noise_files=written["noise_files"].astype(float))):  # as formerly
        table.to_csv(folder / "evaluation.csv", index=False)
        assert len(evaluation_mixtures(folder, "unseen, SNR 5 dB")) == len(clean)
    training_batches(folder, 1)
    soundfile.write(tmp_path / "noise" / "0.wav", np.zeros(20000), 10000)
    with pytest.raises(UserError, match="was drawn from other files than those in its noise.folder now"):
        evaluation_mixtures(folder, "unseen, SNR 5 dB")
    with pytest.raises(UserError, match="noise"):
        training_batches(folder, 1)
