"""Training by PyTorch: one sentence without PyTorch, and with it a folder that separation can use."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import lab41_sce
from lab41_sce.commands import train_with_torch
from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.runs.run_mixtures import training_batches

WITHOUT_TORCH = importlib.util.find_spec("torch") is None


@pytest.mark.skipif(not WITHOUT_TORCH, reason="PyTorch is installed")
def test_without_torch_the_command_gives_one_sentence(tmp_path, capsys):
    arguments = [str(tmp_path / "run"), str(tmp_path), str(tmp_path / "splits.csv"), "+exp=smoke"]
    assert train_with_torch.main(arguments) == 1
    assert capsys.readouterr().err == "error: this command needs PyTorch, which is not installed; pip install torch.\n"
    assert not (tmp_path / "run").exists()


def test_no_process_is_one_sentence(tmp_path, capsys):
    arguments = [str(tmp_path / "run"), str(tmp_path), str(tmp_path / "splits.csv"), "+exp=smoke", "--processes", "0"]
    assert train_with_torch.main(arguments) == 1
    assert capsys.readouterr().err == "error: --processes 0 is not possible; give at least 1.\n"


@pytest.mark.skipif(WITHOUT_TORCH, reason="PyTorch is not installed")
def test_a_trained_model_can_be_loaded(corpus_root, tmp_path):
    table = splits.split(load_corpus(corpus_root, ["train"]), 2)
    table.to_csv(tmp_path / "splits.csv", index=False)
    command = [sys.executable, "-m", "lab41_sce.train_with_torch", tmp_path / "run", corpus_root,
               tmp_path / "splits.csv", "+exp=smoke", "training.updates=4", "training.validate_every=2",
               "mixtures.seconds=0.5", "validation.seconds=1.5", "--processes", "1"]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    history = pd.read_csv(tmp_path / "run" / "systems" / "sce" / "history.csv")
    assert history["update"].to_list() == [2, 4]
    # The first validation is part of the minutes, which are rounded to 0.03 s, and not of the time of the updates.
    last = history.iloc[-1]
    assert 60 * last["minutes"] - last["update"] * last["seconds_per_update"] > 0.05
    assert pd.read_csv(tmp_path / "run" / "systems.csv")["updates"].to_list() == [4]
    assert (tmp_path / "run" / "systems" / "sce" / "model.keras").exists()
    assert (tmp_path / "run" / "splits.csv").read_text() == (tmp_path / "splits.csv").read_text()
    about, config = (tmp_path / "run" / name for name in ("version.json", "config.yaml"))
    assert "LibriSpeech" in about.read_text() and f"root: {corpus_root}" in config.read_text()
    corpus = yaml.safe_load(config.read_text())["corpus"]
    assert corpus["unseen_subsets"] == [] and "train" in corpus["subsets"]
    assert len(training_batches(tmp_path / "run", 1)) == 1


@pytest.mark.skipif(WITHOUT_TORCH, reason="PyTorch is not installed")
def test_the_limit_of_the_time_is_among_the_settings_of_the_run(corpus_root, tmp_path):
    splits.split(load_corpus(corpus_root, ["train"]), 2).to_csv(tmp_path / "splits.csv", index=False)
    command = [sys.executable, "-m", "lab41_sce.train_with_torch", tmp_path / "run", corpus_root,
               tmp_path / "splits.csv", "+exp=smoke", "mixtures.seconds=0.5", "validation.seconds=1.5", "--processes",
               "1", "--minutes", "0.01"]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    training = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["training"]
    assert (training["minutes"], training["updates"]) == (0.01, None)


@pytest.mark.skipif(WITHOUT_TORCH, reason="PyTorch is not installed")
def test_a_list_without_splits_is_told(corpus_root, tmp_path):
    (tmp_path / "names.csv").write_text("utterance\n1-1-0000\n")
    command = [sys.executable, "-m", "lab41_sce.train_with_torch", tmp_path / "run", corpus_root,
               tmp_path / "names.csv", "+exp=smoke"]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 1 and not (tmp_path / "run").exists()
    assert result.stderr.splitlines()[-1] == (f"error: {tmp_path / 'names.csv'} is no table with a column `split`; "
                                              "give the splits.csv of another run.")


def imported_by(module, seen):
    """Add the modules that a module of this package imports when it is imported, and those that they import."""
    path = Path(*module.split(".")).with_suffix(".py")
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    for node in ast.parse(path.read_text("utf-8")).body if path.is_file() else []:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in set(names) - seen:
            seen.add(name)
            imported_by(name, seen)
    return seen


def test_preparation_needs_no_tensorflow(monkeypatch):
    monkeypatch.chdir(Path(lab41_sce.__file__).parent.parent)
    seen = set()
    for module in ("commands.train_with_torch", "runs.prepare", "runs.systems", "training.torch_trainer"):
        imported_by(f"lab41_sce.{module}", seen)
    assert {"lab41_sce.methods.base", "lab41_sce.data.sampler", "keras"} <= seen
    assert "tensorflow" in imported_by("lab41_sce.training.trainer", set())
    assert not [name for name in seen if name.partition(".")[0] == "tensorflow"]
