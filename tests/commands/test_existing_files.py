"""`lab41-sce separate` beside files that it did not write, and options that do not fit."""

import json

import numpy as np
import pytest
import soundfile
from conftest import hum

from lab41_sce.commands import separate
from lab41_sce.separation.calibration_file import weights_checksum
from lab41_sce.separation.confidence import ConfidenceThresholds
from lab41_sce.separation.count_classifier import CountClassifier


@pytest.fixture
def calibrated_file(model_file, tiny_model):
    """Give a model a classifier, and thresholds of the confidence."""
    checksum = weights_checksum(tiny_model)
    CountClassifier(checksum, ["coherence_next_bin"], [0.0], [1.0], [[0.0]] * 5, [0.0, 1.0, 1.2, 0.0, -9.0],
                    {}).write(model_file)
    ConfidenceThresholds(checksum, 5.0, {"2": 0.0}, {}).write(model_file)
    return model_file


@pytest.fixture
def folder(tmp_path):
    """Make a folder with recordings of which two have the names of voices of the others."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number, name in enumerate(("talk.wav", "talk_1.wav", "other.wav", "other_1.wav", "talk_3.wav")):
        soundfile.write(folder / name, hum(100 + 30 * number, 1, 10000, np.random.default_rng(number)), 10000)
    return folder


def run(folder, *arguments):
    return separate.main([*map(str, arguments), "--out-dir", str(folder)])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_recordings_with_the_names_of_voices_are_no_finished_work(folder, model_file, capsys):
    before = contents(folder)
    options = "--model", model_file, "--speakers", 1
    assert run(folder, folder / "talk.wav", folder / "other.wav", *options) == 1
    printed = capsys.readouterr().err
    assert "skipped" not in printed
    for name in ("talk_1.wav", "other_1.wav"):
        assert f"{folder / name} exists already; add --force to replace it" in printed
    assert contents(folder) == before


def test_a_recording_with_the_name_of_a_voice_is_no_leftover(folder, model_file, capsys):
    for name in ("talk_1.wav", "other_1.wav"):
        (folder / name).unlink()
    (folder / "talk.json").write_text("{}")
    assert run(folder, folder / "talk.wav", "--model", model_file, "--speakers", 2) == 0
    assert f"these files may be from an earlier call: {folder / 'talk.json'}\n" in capsys.readouterr().err


def test_a_recording_that_is_given_twice_is_separated_once(folder, model_file, capsys):
    path = folder / "talk.wav"
    assert run(folder / "out", path, folder / "." / "talk.wav", "--model", model_file, "--speakers", 2) == 0
    assert sorted(contents(folder / "out")) == ["talk_1.wav", "talk_2.wav"] and "twice" not in capsys.readouterr().err


def test_a_folder_in_the_place_of_a_voice_is_named_as_such(folder, model_file, capsys):
    (folder / "out" / "talk_1.wav").mkdir(parents=True)
    options = "--model", model_file, "--speakers", 2, "--force"
    assert run(folder / "out", folder / "talk.wav", *options) == 1
    wanted = f"{folder / 'out' / 'talk_1.wav'} is a folder; rename it, or choose another --out-dir."
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "wrong"), [
    (["-", "-"], "standard input (-) can be given only once; leave out the second one."),
    (["talk.wav", "--channels", "speakers", "--model", "any"],
     "--channels speakers needs no model; leave out --model.")])
def test_options_that_have_no_meaning_are_refused(folder, capsys, arguments, wrong):
    assert run(folder, *arguments) == 1
    assert capsys.readouterr().err == f"error: {wrong}\n"


def test_an_impossible_range_is_reported_once(folder, calibrated_file, capsys):
    assert run(folder / "out", folder, "--model", calibrated_file, "--speakers", "2-8") == 1
    assert capsys.readouterr().err.count("2 to 8 speakers cannot be counted; give a range within 1 to ") == 1
    assert not (folder / "out").exists() or not contents(folder / "out")


@pytest.mark.parametrize(("name", "n_channels"), [("talk.mp3", 2), ("talk.m4a", 2), ("talk.flac", 8)])
def test_more_channels_than_a_format_has_are_refused(folder, model_file, capsys, name, n_channels):
    wide = np.random.default_rng(0).standard_normal((16000, n_channels + 1)) / 10
    soundfile.write(folder / "wide.wav", wide, 16000)
    options = "--channels", "each", "--model", model_file, "--speakers", 2, "--format", name.partition(".")[2]
    assert run(folder / "out", folder / "wide.wav", *options) == 1
    wanted = f"cannot have {n_channels + 1} channels; choose WAV (--format wav) for more than {n_channels}, or mix them"
    assert wanted in capsys.readouterr().err


def test_each_channel_of_a_call_is_a_file_of_one_channel(folder):
    three = np.random.default_rng(0).standard_normal((16000, 3)) / 10
    soundfile.write(folder / "call.wav", three, 16000)
    assert run(folder / "out", folder / "call.wav", "--channels", "speakers", "--format", "mp3") == 0
    assert sorted(contents(folder / "out")) == ["call_1.mp3", "call_2.mp3", "call_3.mp3"]


def test_silence_is_not_called_one_voice_if_more_are_returned(folder, calibrated_file, capsys):
    soundfile.write(folder / "silent.wav", np.zeros(20000), 10000)
    options = "--model", calibrated_file, "--speakers", "2-3", "--json"
    assert run(folder / "out", folder / "silent.wav", *options) == 0
    assert capsys.readouterr().err == "silent.wav: the recording is silent: 2 silent voices are returned.\n"
    written = json.loads((folder / "out" / "silent.json").read_text())
    assert written["count"]["why"] == "the recording is silent: 2 silent voices are returned"
    assert written["low_confidence"] is None and written["confidence"] is None


def test_a_short_sound_in_silence_is_not_silence(folder, calibrated_file, capsys):
    """0.15 s of sound at the model's rate: shorter than what counts as an event, but all that there is."""
    sound = np.zeros(30000)
    sound[10000:11500] = hum(140, 0.15, 10000, np.random.default_rng(1))
    soundfile.write(folder / "short.wav", sound, 10000)
    assert run(folder / "out", folder / "short.wav", "--model", calibrated_file) == 0
    assert "silent" not in capsys.readouterr().err
