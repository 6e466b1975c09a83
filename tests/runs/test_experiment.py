"""The command line from corpus to report: a smoke run, a kill -9 in the middle of it, mistakes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import blstm

from lab41_sce.article.draw import CAPTIONS
from lab41_sce.commands import experiment, separate
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError
from lab41_sce.evaluation import saved_model
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.runs.config_schema import compose_config
from lab41_sce.runs.systems import build_systems


def settings_of(corpus_root, folder, *overrides):
    return ["+exp=smoke", "corpus=librispeech", "name=test", f"corpus.root={corpus_root}", "corpus.subsets=[train]",
            "corpus.unseen_subsets=[]", f"run_dir={folder}", "mixtures.seconds=0.5", "validation.seconds=1.5",
            "evaluation.seconds=1.5", *overrides]


def command(corpus_root, folder, *overrides):
    return [sys.executable, "-m", "lab41_sce.experiment", *settings_of(corpus_root, folder, *overrides)]


def run(corpus_root, folder, *overrides):
    """Run the command in a process of its own."""
    return subprocess.run(command(corpus_root, folder, *overrides), capture_output=True, text=True, check=False)


def run_here(corpus_root, folder, *overrides):
    """Run the experiment in this process, which has imported TensorFlow already."""
    return experiment.run(compose_config(settings_of(corpus_root, folder, *overrides)), folder)


@pytest.fixture(scope="module")
def finished(corpus_root, tmp_path_factory):
    """Run the smoke experiment, killed with -9 after its first checkpoint and resumed."""
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    process = subprocess.Popen(command(corpus_root, folder, "training.updates=2000"), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    checkpointed = folder / "systems" / "sce" / "history.csv"
    while not checkpointed.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpointed.exists(), process.stderr.read()
    before = pd.read_csv(checkpointed)
    done = int(before["update"].iloc[-1])
    result = run(corpus_root, folder, f"training.updates={done + 20}", "resume=true")
    assert result.returncode == 0, result.stderr
    return folder, before, result


@pytest.mark.slow
def test_a_resumed_run_continues_without_a_gap(finished):
    folder, before, _ = finished
    history = pd.read_csv(folder / "history.csv")
    assert history["update"].to_list() == list(range(10, int(history["update"].iloc[-1]) + 1, 10))
    assert len(history) == len(before) + 2
    pd.testing.assert_frame_equal(history.iloc[: len(before)].drop(columns="system"), before)
    assert set(history["system"]) == {"sce"}


@pytest.mark.slow
def test_every_file_of_a_run_is_there(finished):
    folder, _, result = finished
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.yaml", "version.json", "splits.csv", "systems", "history.csv", "systems.csv",
                     "evaluation.csv", "mixtures.csv", "summary.csv", "differences.csv", "table.md", "examples.csv",
                     "examples", "report.html", "speech.csv", "checksums.csv"}
    assert {path.name for path in (folder / "systems" / "sce").iterdir()} == {
        "checkpoint.npz", "checkpoint_previous.npz", "model.keras", "history.csv", "tensorboard", "speakers.csv"}
    assert {path.suffix for path in (folder / "figures").iterdir()} == {".png", ".svg"}
    assert {path.stem for path in (folder / "figures").iterdir()} == set(CAPTIONS) - {"improvement_by_snr"}
    assert [name for name in names if name.startswith(".")] == [".lock"]  # no temporary file is left
    assert "report.html" in result.stdout and "| sce " in result.stdout
    assert json.loads((folder / "version.json").read_text())["tensorflow"]


@pytest.mark.slow
def test_summary_and_scores_are_complete(finished):
    folder, _, _ = finished
    summary = pd.read_csv(folder / "summary.csv")
    assert list(summary.columns) == ["system", "split", "kind", "metric", "mean", "low", "high", "n"]
    assert set(summary["split"]) == {"in-set", "unseen"} and set(summary["kind"]) == {"FF", "FM", "MM", "All"}
    assert set(summary["system"]) == {"sce", "sce_oracle_centroids", "unprocessed", "ideal_binary_mask",
                                      "ideal_ratio_mask"}
    assert set(summary["metric"]) == {"SDR", "SDRi", "SIR", "SIRi", "SAR", "SARi", "SI-SDR", "SI-SDRi"}
    sdri = summary[(summary["metric"] == "SDRi") & (summary["kind"] == "All")].set_index(["split", "system"])["mean"]
    for split in ("in-set", "unseen"):
        assert sdri[split, "unprocessed"] == 0
        assert sdri[split, "ideal_binary_mask"] > 8 > sdri[split, "sce"]
    mixtures = pd.read_csv(folder / "mixtures.csv")
    assert len(mixtures) == 2 * 4 * 5 * 8  # splits, kinds, systems, metrics


@pytest.mark.slow
def test_a_longer_training_gets_new_scores_whatever_the_dates(finished, corpus_root, tmp_path):
    """The scores are dated three days ahead; then all of them are computed again, which must change nothing."""
    folder = shutil.copytree(finished[0], tmp_path / "run")
    ahead = time.time() + 3 * 86_400
    os.utime(folder / "mixtures.csv", (ahead, ahead))
    longer = ["resume=true", f"training.updates={int(pd.read_csv(folder / 'history.csv')['update'].iloc[-1]) + 30}"]
    run_here(corpus_root, folder, *longer)
    scores = pd.read_csv(folder / "mixtures.csv")
    (folder / "checksums.csv").unlink()
    run_here(corpus_root, folder, *longer)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "mixtures.csv"), scores)
    earlier = pd.read_csv(finished[0] / "mixtures.csv")
    same = scores.merge(earlier, on=["mixture", "system", "metric"])
    sce = same["system"] == "sce"
    assert (same["value_x"] == same["value_y"])[~same["system"].str.startswith("sce")].all()
    assert (same["value_x"] != same["value_y"])[sce & (same["metric"] == "SDRi")].any()


@pytest.mark.slow
def test_unseen_speakers_were_never_trained_on(finished):
    folder, _, _ = finished
    splits = pd.read_csv(folder / "splits.csv", dtype=str)
    trained = set(splits.loc[splits["split"].isin(["train", "train-validation", "in-set"]), "speaker"])
    listed = pd.read_csv(folder / "evaluation.csv", dtype=str)
    unseen = listed[listed["split"] == "unseen"]
    assert not trained & (set(unseen["speaker_1"]) | set(unseen["speaker_2"]))
    train_utterances = set(splits.loc[splits["split"] == "train", "utterance"])
    assert not train_utterances & (set(listed["utterance_1"]) | set(listed["utterance_2"]))


@pytest.mark.slow
def test_the_trained_model_separates_a_file(finished, tmp_path):
    folder, _, _ = finished
    mixture = next((folder / "examples").glob("*/mixture.wav"))
    arguments = [sys.executable, "-m", "lab41_sce.separate", mixture, "--model", folder, "--out-dir", "out",
                 "--speakers", "2"]
    result = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["mixture_1.wav", "mixture_2.wav"]


@pytest.mark.slow
def test_a_system_that_learns_nothing_can_be_the_method(corpus_root, tmp_path, capsys):
    run_here(corpus_root, tmp_path, "method=ideal_binary_mask")
    assert set(pd.read_csv(tmp_path / "summary.csv")["system"]) == {"unprocessed", "ideal_binary_mask",
                                                                    "ideal_ratio_mask"}
    assert not re.search(r"^\[\]", (tmp_path / "report.html").read_text(), re.MULTILINE)  # nothing to lead with
    recording = next(corpus_root.rglob("*.flac"))
    assert separate.main([str(recording), "--model", str(tmp_path), "--out-dir", str(tmp_path)]) == 1
    assert "there is no model at" in capsys.readouterr().err


@pytest.mark.slow
def test_noise_and_a_saved_model(corpus_root, tmp_path):
    """Train and score with noise, and score the trained weights once more, with binary masks."""
    noise = ["noise.kinds=[white]", "noise.training_snr_db=[0,10]", "noise.evaluation_snr_db=[-5]"]
    again = ["+method@others.saved=saved", "others.saved.build.path=systems/sce",
             "+others.saved.build.changes.soft_scale=null"]
    run_here(corpus_root, tmp_path, *noise, *again, "evaluation.splits=[unseen]", "training.updates=10")
    listed = pd.read_csv(tmp_path / "evaluation.csv")
    assert listed["split"].value_counts().to_dict() == {"unseen": 4, "unseen, SNR -5 dB": 4}
    assert listed["utterance_1"].to_list()[:4] == listed["utterance_1"].to_list()[4:]
    summary = pd.read_csv(tmp_path / "summary.csv")
    of_all = summary[summary["kind"] == "All"].set_index(["split", "system", "metric"])["mean"]
    clean, noisy = of_all["unseen"], of_all["unseen, SNR -5 dB"]
    assert noisy["unprocessed", "SDR"] < clean["unprocessed", "SDR"] - 4
    assert noisy["ideal_binary_mask", "SDRi"] > 5
    assert clean["saved", "SDR"] != clean["sce", "SDR"]  # binary masks are not the soft ones
    assert {path.name for path in (tmp_path / "examples").iterdir()} >= {"unseen-FF-1", "unseen-SNR_-5_dB-FF-1"}
    assert (tmp_path / "figures" / "improvement_by_snr.png").exists()


@pytest.mark.slow
def test_a_saved_model_must_fit(finished, tmp_path):
    """It must exist, fit this front end, have the attributes to change, and know none of the unseen speakers."""
    folder, _, _ = finished
    front_end, mixture = FrontEnd(), Mixture(np.zeros((2, 5000), np.float32), ("101", "102"))
    splits = pd.read_csv(folder / "splits.csv", dtype=str)
    trained = splits.query("split == 'train'")["speaker"].unique()
    chosen = splits.query("split == 'validation'")["speaker"].min()
    setup = partial(Setup, front_end, None, 2)
    assert saved_model.build(setup(("101", "102", *trained)), folder)(mixture).shape[0] == 2
    with pytest.raises(UserError, match="no model at nowhere"):
        saved_model.build(setup(), "nowhere")
    for known in (min(trained), chosen):
        with pytest.raises(UserError, match=f"trained or selected with speaker {known}, who counts as unseen here"):
            saved_model.build(setup(), folder / "systems" / "sce")(Mixture(mixture.sources, (known, "999")))
        with pytest.raises(UserError, match=f"with speaker {known}, who counts as unseen here"):  # of an added corpus
            saved_model.build(setup(), folder / "systems" / "sce")(Mixture(mixture.sources, (f"more:{known}", "999")))
    with pytest.raises(UserError, match="has a sample rate of 10000 Hz, the mixtures here have 8000 Hz"):
        saved_model.build(Setup(FrontEnd(8000), None, 2, tuple(trained)), folder)
    other = Setup(FrontEnd(hop_length=128), None, 2, tuple(trained))
    assert saved_model.build(other, folder).front_end.hop_length == 256
    with pytest.raises(UserError, match="changes.sharpness=1 is not possible.* has no such setting"):
        saved_model.build(setup(tuple(trained)), folder, {"sharpness": 1})


def warnings_of_ours(caplog):
    """Return the messages of this package, without those of TensorFlow."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("lab41_sce")]


@pytest.mark.slow
def test_missing_facts_about_a_saved_model_are_warned_of(finished, tmp_path, caplog):
    folder, _, _ = finished
    shutil.copy(folder / "systems" / "sce" / "model.keras", tmp_path)
    saved_model.build(Setup(FrontEnd(), None, 2, ()), tmp_path / "model.keras")
    assert "There is no splits.csv with the model" in caplog.text
    caplog.clear()
    utterances = pd.read_csv(folder / "splits.csv", dtype=str).query("split == 'train'")
    saved_model.build(Setup(FrontEnd(), None, 2, (), utterances=utterances), folder)
    assert not warnings_of_ours(caplog)
    saved_model.build(Setup(FrontEnd(), None, 2, (), utterances=utterances.iloc[3:]), folder)
    assert "was trained on 3 utterances that are not in the training split here" in caplog.text


@pytest.mark.slow
def test_speakers_of_the_embedded_corpus_are_nobody_elsewhere(finished, caplog):
    folder, _, _ = finished
    utterances = pd.read_csv(folder / "splits.csv", dtype=str)
    known = utterances.query("split == 'train'")["speaker"].min()
    other = "train-clean-100" if set(utterances["subset"]) == {"synthetic"} else "synthetic"
    setup = Setup(FrontEnd(), None, 2, (), utterances=utterances.query("split == 'unseen'").assign(subset=other))
    mixture = Mixture(np.zeros((2, 5000), np.float32), (known, "999"))
    assert saved_model.build(setup, folder)(mixture).shape[0] == 2 and not warnings_of_ours(caplog)


@pytest.mark.parametrize(("overrides", "wanted"), [
    (["+method@others.saved=saved", "others.saved.build.path=systems/scee"],
     "needs the model at systems/scee, .* trains no such system; it trains sce"),
    (["+method@others.pit_blstm=pit_blstm", "mixtures.speaker_shares={2: 0.5, 3: 0.5}"],
     "pit_blstm learns from mixtures of up to 2 speakers, not 3"),
])
def test_systems_that_cannot_be_trained_are_refused_before_the_training(overrides, wanted):
    config = compose_config(["+exp=smoke", *overrides])
    setup = Setup(FrontEnd(), partial(blstm, n_layers=1, units=4), 2, ("1", "2", "3"), folder=Path("run"))
    with pytest.raises(UserError, match=wanted):
        build_systems(config, setup)


LEFT = (".lock", "experiment.log")  # files that a refused run writes


@pytest.mark.slow
def test_a_finished_folder_is_not_touched_by_accident(finished, corpus_root):
    folder, _, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name not in LEFT}
    for overrides, wanted in (
        ([], "already holds a run"),
        (["resume=true", "seed=7"], r"other settings \(method.build.seed"),
    ):
        with pytest.raises(UserError, match=wanted):
            run_here(corpus_root, folder, *overrides)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name not in LEFT} == before


def test_the_bare_command_explains_itself(capsys, monkeypatch):
    assert experiment.main([]) == 1
    explanation = capsys.readouterr().err
    assert explanation.count("python -m lab41_sce.experiment +exp=") == 2 and len(explanation.splitlines()) < 10
    monkeypatch.setattr(sys, "argv", ["experiment"])
    assert experiment.main() == 1


@pytest.mark.parametrize(("arguments", "wanted"), [
    ("training.minuts=3", "training.minuts is no setting; did you mean training.minutes?"),
    ("--multirun seed=1,2 training.minuts=3", "training.minuts is no setting; did you mean training.minutes?"),
    ("method=3", "the settings cannot be composed (Config group override must be a string or a list. Got int); "
                 "correct this setting."),
    ("--multirunn", "there is no option --multirunn; did you mean --multirun?"),
    ("--xyz=3", "there is no option --xyz; --help lists the options."),
    ("seed=1 --multirun training.minutes=1,2",
     "training.minutes=1,2 follows an option; give all settings first, then options such as --multirun."),
])
def test_a_misspelt_setting_or_option_gets_one_sentence(monkeypatch, capsys, arguments, wanted):
    monkeypatch.setattr(sys, "argv", ["experiment"])
    assert experiment.main(arguments.split()) == 1
    assert capsys.readouterr().err == f"error: {wanted}\n"


def test_an_override_under_its_old_name_works_and_names_the_new_one(tmp_path):
    result = run("/nowhere", tmp_path / "run", "mixtures.easy_batches=-5")
    assert result.returncode == 1 and "mixtures.curriculum_batches=-5 is not possible" in result.stderr
    assert "mixtures.easy_batches=-5 is an old name; it is now mixtures.curriculum_batches=-5" in result.stderr


@pytest.mark.slow
def test_a_mistake_gets_one_sentence(tmp_path):
    result = run("/nowhere", tmp_path / "run", "corpus.root=/nowhere")
    assert result.returncode == 1 and "corpus.root=/nowhere is not a folder" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("overrides", "wanted"), [
    (["training=5"], "^error: training=5 is not possible, since training is a group of settings"),
    (["front_end.hop_length=200"], "^error: front_end.hop_length=200 is not possible; it must divide"),
    (["corpus.root=null", "corpus.subsets=[synthetic]", "method=pit_cnn", "method.build.network.segment_frames=3"],
     "^error: the system pit_cnn cannot be built"),
    (["resume=true", "overwrite=true"], "^error: resume=true and overwrite=true contradict each other; give one of"),
    ([f"run_dir={__file__}/run"], "^error: the folder .*test_experiment.py/run cannot be made"),
])
def test_a_value_that_is_refused_later_gets_one_sentence(tmp_path, monkeypatch, overrides, wanted):
    monkeypatch.setattr(sys, "argv", ["experiment"])
    with pytest.raises(SystemExit, match=wanted):
        experiment.main(settings_of("/nowhere", tmp_path / "run", *overrides))
