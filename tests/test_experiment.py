"""The command line from corpus to report: a smoke run, a kill -9 in the middle of it, mistakes."""

import json
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from lab41_sce import experiment
from lab41_sce.errors import UserError


def command(corpus_root, folder, *overrides):
    return [sys.executable, "-m", "lab41_sce.experiment", "+exp=smoke", "corpus=librispeech", "name=test",
            f"corpus.root={corpus_root}", "corpus.subsets=[train]", "corpus.unseen_subsets=[]", f"run_dir={folder}",
            "mixtures.seconds=0.5", "evaluation.seconds=1.5", *overrides]


def run(corpus_root, folder, *overrides):
    return subprocess.run(command(corpus_root, folder, *overrides), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def finished(corpus_root, tmp_path_factory):
    """Run the smoke experiment, killed with -9 after its first checkpoint and resumed."""
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    process = subprocess.Popen(command(corpus_root, folder, "training.updates=2000"), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (folder / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "history.csv").exists(), process.stderr.read()
    before = pd.read_csv(folder / "history.csv")
    done = int(before["update"].iloc[-1])
    result = run(corpus_root, folder, f"training.updates={done + 20}", "resume=true")
    assert result.returncode == 0, result.stderr
    return folder, before, result


def test_resumed_run_goes_on_without_a_gap(finished):
    folder, before, _ = finished
    history = pd.read_csv(folder / "history.csv")
    assert history["update"].to_list() == list(range(10, int(history["update"].iloc[-1]) + 1, 10))
    assert len(history) == len(before) + 2
    pd.testing.assert_frame_equal(history.iloc[: len(before)], before)


def test_every_file_of_a_run_is_there(finished):
    folder, _, result = finished
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.yaml", "version.json", "splits.csv", "checkpoint.npz", "model.keras", "history.csv",
                     "evaluation.csv", "mixtures.csv", "summary.csv", "table.md", "examples.csv", "examples",
                     "report.html", "tensorboard"}
    assert not [name for name in names if name.startswith(".")]  # no temporary file is left
    assert "report.html" in result.stdout and "| sce " in result.stdout
    assert json.loads((folder / "version.json").read_text())["tensorflow"]


def test_summary_and_scores_are_complete(finished):
    folder, _, _ = finished
    summary = pd.read_csv(folder / "summary.csv")
    assert list(summary.columns) == ["system", "split", "kind", "metric", "mean", "low", "high", "n"]
    assert set(summary["split"]) == {"in-set", "unseen"} and set(summary["kind"]) == {"FF", "FM", "MM", "All"}
    assert set(summary["system"]) == {"sce", "sce_true_centres", "unprocessed", "ideal_binary_mask", "ideal_ratio_mask"}
    assert set(summary["metric"]) == {"SDR", "SDRi", "SIR", "SIRi", "SAR", "SARi", "SI-SDR", "SI-SDRi"}
    sdri = summary[(summary["metric"] == "SDRi") & (summary["kind"] == "All")].set_index(["split", "system"])["mean"]
    for split in ("in-set", "unseen"):
        assert sdri[split, "unprocessed"] == 0
        assert sdri[split, "ideal_binary_mask"] > 8 > sdri[split, "sce"]
    mixtures = pd.read_csv(folder / "mixtures.csv")
    assert len(mixtures) == 2 * 4 * 5 * 8  # splits, kinds, systems, metrics


def test_unseen_speakers_were_never_trained_on(finished):
    folder, _, _ = finished
    splits = pd.read_csv(folder / "splits.csv", dtype=str)
    trained = set(splits.loc[splits["split"].isin(["train", "train-validation", "in-set"]), "speaker"])
    listed = pd.read_csv(folder / "evaluation.csv", dtype=str)
    unseen = listed[listed["split"] == "unseen"]
    assert not trained & (set(unseen["speaker_1"]) | set(unseen["speaker_2"]))
    train_utterances = set(splits.loc[splits["split"] == "train", "utterance"])
    assert not train_utterances & (set(listed["utterance_1"]) | set(listed["utterance_2"]))


def test_the_trained_model_separates_a_file(finished, tmp_path):
    folder, _, _ = finished
    mixture = next((folder / "examples").glob("*/mixture.wav"))
    arguments = [sys.executable, "-m", "lab41_sce.separate", mixture, "--model", folder, "--out-dir", "out"]
    result = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["mixture_1.wav", "mixture_2.wav"]


def test_a_finished_folder_is_not_touched_by_accident(finished, corpus_root):
    folder, _, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix != ".log"}
    for overrides, wanted in (
        ([], "already holds a run"),
        (["resume=true", "seed=7"], "other settings (method.build.seed"),
    ):
        result = run(corpus_root, folder, *overrides)
        assert result.returncode == 1 and wanted in result.stderr and "Traceback" not in result.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix != ".log"} == before


def test_mistakes_get_one_sentence(tmp_path):
    for overrides, wanted in (
        (["corpus.root=/nowhere"], "corpus.root=/nowhere is not a folder"),
        (["training.updates=-3"], "training.updates=-3 must be above zero"),
    ):
        result = run("/nowhere", tmp_path / "run", *overrides)
        assert result.returncode == 1 and wanted in result.stderr and "Traceback" not in result.stderr


def test_every_experiment_composes():
    with initialize_config_dir(str(experiment.CONFIG_PATH), version_base="1.3"):
        for file in sorted((experiment.CONFIG_PATH / "exp").glob("*.yaml")):
            config = compose("config", overrides=[f"+exp={file.stem}", "corpus=librispeech", "corpus.root=x"])
            assert config.name == file.stem
        assert compose("config", overrides=["+exp=three_speaker"]).mixtures.n_speakers == 3
        paper = compose("config", overrides=["+exp=paper", "corpus=librispeech", "corpus.root=x"])
    assert (paper.network.units, paper.network.embedding_size, paper.mixtures.batch_size) == (300, 40, 256)


def test_limits_may_change_on_resume_but_settings_may_not():
    with initialize_config_dir(str(experiment.CONFIG_PATH), version_base="1.3"):
        first = compose("config", overrides=["+exp=two_speaker"])
        longer = compose("config", overrides=["+exp=two_speaker", "training.minutes=90", "resume=true"])
        other = compose("config", overrides=["+exp=two_speaker", "network.units=100"])
    assert experiment.comparable(first) == experiment.comparable(longer)
    assert experiment.comparable(first) != experiment.comparable(other)


def test_changed_splits_are_refused(tmp_path):
    table = pd.DataFrame([["1-1-1", "1", "F", "train", "train"]],
                         columns=["utterance", "speaker", "sex", "subset", "split"])
    experiment.keep_splits(table, tmp_path / "splits.csv")
    experiment.keep_splits(table, tmp_path / "splits.csv")
    with pytest.raises(UserError, match="differ from"):
        experiment.keep_splits(table.assign(split="unseen"), tmp_path / "splits.csv")
