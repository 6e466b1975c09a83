"""The folder of a run: free, resumed or overwritten, and never lost by accident."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lab41_sce import atomic_write
from lab41_sce.data.sampler import STREAM
from lab41_sce.errors import UserError
from lab41_sce.runs import run_directory
from lab41_sce.runs.config_schema import compose_config
from lab41_sce.runs.versions import redact_paths, versions

COLUMNS = ["utterance", "speaker", "sex", "subset", "split"]
SPLITS = pd.DataFrame([["1-1-1", "1", "F", "train", "train", 2.5, __file__]], columns=[*COLUMNS, "seconds", "path"])
ADDED = ("+corpus@corpus.added.mine=librispeech", "corpus.added.mine.name=mine", "corpus.added.mine.root=x",
         "corpus.added.mine.licence=null")


def config(*overrides):
    return compose_config(["+exp=two_speaker", *overrides])


@pytest.fixture
def begun(tmp_path):
    """Return the folder of a run that has begun, with a file in it that is not the run's."""
    run_directory.open_folder(config(), tmp_path, SPLITS, "the command")
    (tmp_path / "systems" / "sce").mkdir(parents=True)
    (tmp_path / "systems" / "sce" / "model.keras").write_text("weights")
    (tmp_path / "thesis.txt").write_text("precious")
    return tmp_path


@pytest.mark.slow
def test_a_run_that_began_before_a_setting_existed_is_resumed(begun):
    file = begun / "config.yaml"
    kept = "".join(line for line in file.read_text().splitlines(keepends=True) if "beta_2" not in line)
    assert kept != file.read_text()
    file.write_text(kept)
    run_directory.check_folder(config("resume=true"), begun)
    with pytest.raises(UserError, match=r"other settings \(training.beta_2\)"):
        run_directory.check_folder(config("resume=true", "training.beta_2=0.98"), begun)


def test_a_free_folder_is_described(begun):
    about = json.loads((begun / "version.json").read_text())
    assert about["command"] == "the command" and about["tensorflow"] and "resumed" not in about
    assert "minutes: 60" in (begun / "config.yaml").read_text()
    assert pd.read_csv(begun / "splits.csv", dtype=str).equals(SPLITS[COLUMNS])


def test_a_run_with_an_earlier_stream_of_mixtures_is_resumed_with_a_warning(begun, caplog):
    file = begun / "version.json"
    run_directory.open_folder(config("resume=true"), begun, SPLITS, "the command")
    assert not caplog.messages
    about = json.loads(file.read_text())
    assert about.pop("mixture_stream") == STREAM == 3  # versions before 2 did not record it
    file.write_text(json.dumps(about))
    run_directory.open_folder(config("resume=true"), begun, SPLITS, "the command")
    assert "began with version 1 of the training mixtures, and continues with version 3: levels are" in caplog.text
    assert json.loads(file.read_text())["resumed"][-1]["mixture_stream"] == 3
    caplog.clear()
    file.write_text(json.dumps(about | {"mixture_stream": 2}))
    run_directory.open_folder(config("resume=true"), begun, SPLITS, "the command")
    assert "continues with version 3: with mixtures.same_sex and several numbers" in caplog.text


def test_an_added_corpus_is_part_of_a_run(begun, tmp_path):
    """Its settings are those of the run, except where it lies; version.json has the licences of all corpora."""
    both = config("resume=true", *ADDED)
    with pytest.raises(UserError, match=r"other settings \(corpus.added.mine.name, corpus.added.mine.subsets"):
        run_directory.check_folder(both, begun)
    run_directory.open_folder(both, tmp_path / "both", SPLITS, None)
    [one], (first, mine) = (json.loads((folder / "version.json").read_text())["speech"]
                            for folder in (begun, tmp_path / "both"))
    assert first == one and one.endswith("Apache-2.0") and mine == "mine: no licence stated (corpus.licence)"
    both.corpus.added.mine.root, both.corpus.added.mine.licence = "elsewhere", "CC BY 4.0"
    run_directory.check_folder(both, tmp_path / "both")
    both.corpus.added.mine.min_age = 18
    with pytest.raises(UserError, match=r"other settings \(corpus.added.mine.min_age\)"):
        run_directory.check_folder(both, tmp_path / "both")
    both.corpus.added = {}
    with pytest.raises(UserError, match=r"other settings \(corpus.added.mine"):
        run_directory.check_folder(both, tmp_path / "both")


def test_a_run_is_not_changed_without_resume_or_overwrite(begun):
    with pytest.raises(UserError, match="already holds a run"):
        run_directory.check_folder(config(), begun)


def test_two_runs_at_once_in_one_folder_are_refused(tmp_path):
    """The first one is another process; when it is killed, its lock is released."""
    code = ("import pathlib, sys, time; from lab41_sce.runs import run_directory\n"
            "with run_directory.lock_run_directory(pathlib.Path(sys.argv[1])):\n"
            "    print('mine', flush=True); time.sleep(60)")
    first = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "mine\n"
        with pytest.raises(UserError, match="another process works in .*choose another run_dir"), \
                run_directory.lock_run_directory(tmp_path):
            pass
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    for _ in range(2):
        with run_directory.lock_run_directory(tmp_path):
            pass


def test_overwriting_removes_the_run_and_nothing_else(begun):
    run_directory.check_folder(config("overwrite=true", "seed=9"), begun)
    assert (begun / "systems" / "sce" / "model.keras").exists()  # checking changes nothing
    run_directory.open_folder(config("overwrite=true", "seed=9"), begun, SPLITS, None)
    assert not (begun / "systems" / "sce" / "model.keras").exists() and (begun / "thesis.txt").read_text() == "precious"


def test_a_run_that_cannot_be_deleted_is_not_continued_as_a_new_one(begun, tmp_path_factory):
    """A folder that was moved to another disk; the new run would have taken its checkpoints for its own."""
    place = (begun / "systems").rename(tmp_path_factory.mktemp("disk") / "systems")
    (begun / "systems").symlink_to(place)
    with pytest.raises(UserError, match="systems cannot be deleted; delete it, or choose another run_dir"):
        run_directory.open_folder(config("overwrite=true", "seed=9"), begun, SPLITS, None)
    assert (place / "sce" / "model.keras").exists() and (begun / "config.yaml").exists()


def test_a_run_that_is_never_resumed_needs_a_free_folder(begun, tmp_path):
    """Training by PyTorch replaced the model of the run, and left its scores."""
    (tmp_path / "free").mkdir()
    run_directory.require_free(tmp_path / "free")
    with pytest.raises(UserError, match=r"already holds a run \(config.yaml\); choose another folder"):
        run_directory.require_free(begun)


def test_splits_of_speakers_with_odd_names_are_read(tmp_path):
    """pandas would read NA as a missing value, and the run could not be resumed."""
    named = SPLITS.assign(speaker="NA", utterance="null")
    run_directory.open_folder(config(), tmp_path, named, None)
    run_directory.open_folder(config("resume=true"), tmp_path, named, None)


@pytest.mark.parametrize("overrides", [["resume=true"], ["resume=true", "overwrite=true"],
                                       ["resume=true", "training.minutes=90", "evaluation.per_kind=2"]])
def test_resuming_keeps_the_run_and_its_origin(begun, overrides):
    run_directory.check_folder(config(*overrides), begun)
    run_directory.open_folder(config(*overrides), begun, SPLITS, "another command")
    assert (begun / "systems" / "sce" / "model.keras").exists()
    about = json.loads((begun / "version.json").read_text())
    assert about["command"] == "the command" and about["resumed"][0]["command"] == "another command"


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_run_killed_while_it_is_described_is_resumed(tmp_path, monkeypatch, writes):
    write, written = atomic_write.write_whole, []

    def killed(path, *more):
        if len(written) == writes:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *more)

    monkeypatch.setattr(atomic_write, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        run_directory.open_folder(config(), tmp_path, SPLITS, "the command")
    monkeypatch.undo()
    run_directory.check_folder(config("resume=true"), tmp_path)
    run_directory.open_folder(config("resume=true"), tmp_path, SPLITS, "the command")
    assert {"config.yaml", "splits.csv", "speech.csv", "version.json"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_log_is_kept_but_stops_nothing(tmp_path, capsys):
    with run_directory.lock_run_directory(tmp_path):
        logging.getLogger("lab41_sce").warning("kept")
        log = logging.getLogger().handlers[-1]
        log.setStream(open("/dev/full", "w")).close()
        logging.getLogger("lab41_sce").warning("lost")
    assert "Traceback" not in capsys.readouterr().err
    assert (tmp_path / "experiment.log").read_text() == "kept\n" and log not in logging.getLogger().handlers


def test_other_settings_are_refused(begun):
    with pytest.raises(UserError, match=r"other settings \(network.units\)"):
        run_directory.check_folder(config("resume=true", "network.units=100"), begun)


def test_the_mixtures_of_validation_stay_as_they_are(begun):
    with pytest.raises(UserError, match=r"other settings \(evaluation.seed\)"):
        run_directory.check_folder(config("resume=true", "evaluation.seed=1"), begun)


def test_systems_may_join_on_resuming_but_neither_leave_nor_change(begun):
    more = "+method@others.deep_clustering=deep_clustering"
    run_directory.check_folder(config("resume=true", more), begun)
    run_directory.open_folder(config("resume=true", more), begun, SPLITS, None)
    with pytest.raises(UserError, match=r"other settings \(others.deep_clustering.build.loss_range_db\)"):
        run_directory.check_folder(config("resume=true", more, "others.deep_clustering.build.loss_range_db=20"), begun)
    with pytest.raises(UserError, match=r"other settings \(others.deep_clustering.splits"):
        run_directory.check_folder(config("resume=true", more, "+others.deep_clustering.splits=[unseen]"), begun)
    with pytest.raises(UserError, match=r"other settings \(others.deep_clustering.build._target_"):
        run_directory.check_folder(config("resume=true"), begun)
    with pytest.raises(UserError, match=r"other settings \(method.build._target_"):
        run_directory.check_folder(config("resume=true", more, "method=deep_clustering"), begun)


def test_a_run_of_an_older_version_is_refused_in_a_sentence(begun):
    (begun / "config.yaml").write_text("name: old\n")
    with pytest.raises(UserError, match="other settings"):
        run_directory.check_folder(config("resume=true"), begun)


def test_other_splits_are_refused(begun):
    with pytest.raises(UserError, match="differ from"):
        run_directory.open_folder(config("resume=true"), begun, SPLITS.assign(split="unseen"), None)


def test_a_run_without_its_settings_is_not_resumed(begun):
    (begun / "config.yaml").unlink()
    with pytest.raises(UserError, match="no config.yaml"):
        run_directory.check_folder(config("resume=true"), begun)


def test_a_machine_without_git_is_fine(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert versions()["git_commit"] == "unknown"


def test_no_place_of_this_machine_stays_in_a_command():
    added = {"more": {"root": "/data/more"}, "embedded": {"root": None}}
    config = {"run_dir": "/home/me/runs/noisy", "corpus": {"root": "/data/LibriSpeech", "added": added}}
    command = ("train corpus.root=/data/LibriSpeech corpus.added.more.root=/data/more "
               "saved=/home/me/runs/compare/systems run_dir=/home/me/runs/noisy noise.folder=/data/noise "
               "list=results/utterances.csv")
    assert redact_paths(command, config, Path("/home/me/runs/noisy")) == (
        "train corpus.root=$LIBRISPEECH corpus.added.more.root=$MORE saved=runs/compare/systems run_dir=runs/noisy "
        "noise.folder=noise list=results/utterances.csv")


def old_config(folder):
    """Rewrite the settings of a run as version 0.1 wrote them."""
    file = folder / "config.yaml"
    text = file.read_text()
    for old, new in [("easy_batches", "curriculum_batches"), ("rank:", "bottleneck_rank:"),
                     ("frame_step", "loss_frame_stride"), ("step_ratio", "speaker_lr_multiplier"),
                     ("centre_share", "centroid_loss_weight"), ("weight_as_heard", "weight_without_pre_emphasis"),
                     ("lab41_sce.networks.", "lab41_sce.models.networks."),
                     ("lab41_sce.features.", "lab41_sce.models.front_end.")]:
        assert new in text
        text = text.replace(new, old)
    file.write_text(text)


def test_a_run_with_the_old_names_of_settings_is_resumed(begun):
    old_config(begun)
    run_directory.check_folder(config("resume=true"), begun)
    with pytest.raises(UserError, match=r"other settings \(method.build.loss_frame_stride\)"):
        run_directory.check_folder(config("resume=true", "method.build.loss_frame_stride=2"), begun)


def test_a_run_from_before_an_argument_of_a_system_is_resumed(tmp_path):
    method, began = "method=deep_clustering", tmp_path / "began"
    run_directory.open_folder(config(method), began, SPLITS, "command")
    text = (began / "config.yaml").read_text()
    assert text.count("loss_frame_stride: 1\n") == 1
    (began / "config.yaml").write_text(text.replace("    loss_frame_stride: 1\n", ""))
    run_directory.check_folder(config(method, "resume=true"), began)
    with pytest.raises(UserError, match=r"other settings \(method.build.loss_frame_stride\)"):
        run_directory.check_folder(config(method, "resume=true", "method.build.loss_frame_stride=2"), began)


@pytest.mark.parametrize("damage", [b"", bytes(300), b"\xff\xfe", b"[1, 2]", b'{"command": '])
def test_a_damaged_version_json_is_written_again_and_says_so(begun, damage, caplog):
    (begun / "version.json").write_bytes(damage)
    run_directory.open_folder(config("resume=true"), begun, SPLITS, "another command")
    about = json.loads((begun / "version.json").read_text())
    assert about["command"] == "another command" and about["beginning"].startswith("unknown")
    assert "version.json cannot be read" in caplog.text


@pytest.mark.parametrize("name", ["splits.csv", "speech.csv", "config.yaml"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: bytes(len(data)), lambda data: b"\xff" + data,
                                    lambda data: data[:1]])
def test_a_damaged_description_is_named_and_nothing_changes(begun, name, damage):
    (begun / name).write_bytes(damage((begun / name).read_bytes()))
    before = {path: path.read_bytes() for path in begun.iterdir() if path.is_file()}
    with pytest.raises(UserError, match=re.escape(name)):
        run_directory.check_folder(config("resume=true"), begun)
        run_directory.open_folder(config("resume=true"), begun, SPLITS, None)
    assert {path: path.read_bytes() for path in begun.iterdir() if path.is_file()} == before


def test_the_command_that_began_a_run_is_recognised(begun, monkeypatch):
    assert not run_directory.is_of_command(begun, "this")
    monkeypatch.setenv(run_directory.COMMAND_VARIABLE, "this")
    run_directory.open_folder(config("overwrite=true"), begun, SPLITS, None)
    assert run_directory.is_of_command(begun, "this") and not run_directory.is_of_command(begun, "another")
    monkeypatch.setenv(run_directory.COMMAND_VARIABLE, "another")
    run_directory.open_folder(config("resume=true"), begun, SPLITS, None)
    assert run_directory.is_of_command(begun, "this")  # a resumption does not begin the run


def test_noise_in_training_is_recorded_and_compared(tmp_path):
    files = pd.DataFrame({"file": ["a.wav"], "bytes": [100], "checksum": ["0123abcd"]})
    run_directory.open_folder(config(), tmp_path, SPLITS, "the command", files)
    run_directory.open_folder(config("resume=true"), tmp_path, SPLITS, None, files)
    with pytest.raises(UserError, match="1 files in noise.folder were added, removed or changed"):
        run_directory.open_folder(config("resume=true"), tmp_path, SPLITS, None, files.assign(checksum="x"))
    run_directory.open_folder(config("resume=true"), tmp_path, SPLITS, None)  # noise in the evaluation only
    run_directory.open_folder(config("overwrite=true"), tmp_path, SPLITS, None)
    assert not (tmp_path / "noise.csv").exists()


def test_the_bank_of_rooms_is_recorded_and_compared_by_its_contents(tmp_path):
    bank = pd.DataFrame({"file": ["rooms.npz"], "bytes": [100], "checksum": ["0123abcd"]})
    run_directory.open_folder(config(), tmp_path, SPLITS, "the command", None, bank)
    assert pd.read_csv(tmp_path / "rooms.csv", dtype=str)["checksum"].tolist() == ["0123abcd"]
    run_directory.open_folder(config("resume=true"), tmp_path, SPLITS, None, None, bank.assign(file="moved.npz"))
    with pytest.raises(UserError, match="the bank of rooms rooms.npz differs from that with which the run began"):
        run_directory.open_folder(config("resume=true"), tmp_path, SPLITS, None, None, bank.assign(checksum="x"))
    run_directory.open_folder(config("overwrite=true"), tmp_path, SPLITS, None)
    assert not (tmp_path / "rooms.csv").exists()


def test_rooms_neither_join_nor_leave_on_resuming_but_the_bank_may_move(begun, tmp_path):
    with pytest.raises(UserError, match=r"other settings \(rooms.file\)"):
        run_directory.check_folder(config("resume=true", "rooms.file=bank.npz"), begun)
    folder = tmp_path / "in_rooms"
    run_directory.open_folder(config("rooms.file=bank.npz", "rooms.share=0.3"), folder, SPLITS, None)
    run_directory.check_folder(config("resume=true", "rooms.file=moved.npz", "rooms.share=0.3"), folder)
    for other, different in ((["rooms.file=bank.npz"], "rooms.share"), ([], "rooms.early_seconds, rooms.file, ")):
        with pytest.raises(UserError, match=rf"other settings \({different}"):
            run_directory.check_folder(config("resume=true", *other), folder)
