"""`lab41-sce separate`: files, messages and errors of the command."""

import contextlib
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from conftest import hum

from lab41_sce import audio, process_pool
from lab41_sce.audio.recording import Recording
from lab41_sce.commands import separate
from lab41_sce.errors import UserError
from lab41_sce.examples import EXAMPLES
from lab41_sce.separation import voice_files
from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.calibration_file import weights_checksum
from lab41_sce.separation.confidence import ConfidenceThresholds
from lab41_sce.separation.count_classifier import CountClassifier
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.staging import PREFIX, SUFFIX


@pytest.fixture
def measured_file(tiny_model, tmp_path):
    """Save a model with thresholds: it counts three speakers, and finds any enrolled person."""
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    tiny_model.cluster_variance, tiny_model.verification_threshold = 1e-6, -1.0
    tiny_model.save(tmp_path / "measured.keras")
    return tmp_path / "measured.keras"


def noise(seconds, rate_hz, channels=1):
    return 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate_hz), channels)).astype(np.float32)


def test_a_single_voice_has_no_confidence(model_file, tmp_path):
    soundfile.write(tmp_path / "talk.wav", noise(2, 16000), 16000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(model_file), "--speakers", "1", "--out-dir", str(tmp_path)]
    assert separate.main([*arguments, "--json", "--plot"]) == 0
    written = json.loads((tmp_path / "talk.json").read_text())
    assert written["confidence"] is None and written["confidence_by_second"] == [None, None]
    assert (tmp_path / "talk_voices.png").exists()


def test_one_file_is_written_for_each_speaker(model_file, tmp_path, capsys):
    recording = tmp_path / "two people.flac"
    soundfile.write(recording, noise(3, 44100, channels=2), 44100)
    out = tmp_path / "voices"
    arguments = [str(recording), "--model", str(model_file), "--speakers", "2", "--out-dir", str(out), "--plot"]
    assert separate.main(arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "two people_1.flac", "two people_2.flac", "two people_spectrograms.png", "two people_voices.png"]
    assert "two people_1.flac" in capsys.readouterr().out
    for number in (1, 2):
        info = soundfile.info(out / f"two people_{number}.flac")
        assert (info.samplerate, info.channels, info.frames) == (44100, 1, 3 * 44100)
    assert separate.main(arguments) == 1 and "--force" in capsys.readouterr().err
    assert separate.main([*arguments, "--force"]) == 0


def test_json_and_rttm_describe_the_voices(measured_file, tmp_path, capsys):
    """The speakers are counted, one person is enrolled, and every channel is kept."""
    recording, alone, out = tmp_path / "talk.wav", tmp_path / "alone.wav", tmp_path / "out"
    signal = np.repeat(audio.read_mono(EXAMPLES[0], 16000)[:48000, None], 2, axis=1)
    signal[:19200] = 0  # silence in the first 1.2 seconds
    soundfile.write(recording, signal, 16000, "FLOAT")
    soundfile.write(alone, hum(150, 2, 22050, np.random.default_rng(0)), 22050)
    arguments = [str(recording), "--model", str(measured_file), "--out-dir", str(out)]
    assert separate.main([*arguments, "--enroll", str(alone), "--channels", "each", "--json", "--rttm"]) == 0
    written = json.loads((out / "talk.json").read_text())
    names = [voice["file"] for voice in written["voices"]]
    assert written["speakers"] == len(names) and names == [f"talk_{n}.wav" for n in range(1, len(names) + 1)]
    assert written["seconds"] == 3.0 and len(written["confidence_by_second"]) == 3
    assert written["confidence_by_second"][0] is None
    assert 0 <= written["confidence_by_second"][2] <= 1 and 0 <= written["confidence"] <= 1
    assert len(written["enrolled"]["similarity"]) == len(names) and written["enrolled"]["found"]
    assert str(written["count"]["cluster_variances"][0])[:3] in written["count"]["why"]
    messages = capsys.readouterr().err
    assert f"talk.wav: {len(names)} people" in messages and "is that of the enrolled person" in messages
    lines = (out / "talk.rttm").read_text().splitlines()
    assert lines and all(line.startswith("SPEAKER talk 1 ") for line in lines)
    assert all(1.1 < float(line.split()[3]) < 3 for line in lines)
    assert [pair[0] for voice in written["voices"] for pair in voice["speaks"]]
    voices = sum(soundfile.read(out / name)[0] for name in names)
    np.testing.assert_allclose(voices, signal, atol=1e-4)  # both channels


@pytest.fixture
def calibrated_file(model_file, tiny_model):
    """Give a model a classifier that is unsure between two and three speakers."""
    CountClassifier(weights_checksum(tiny_model), ["coherence_next_bin"], [0.0], [1.0], [[0.0]] * 5,
                    [0.0, 1.0, 1.2, 0.0, -9.0], {}).write(model_file)
    return model_file


def test_probabilities_are_written_and_an_unsure_number_names_the_runner_up(calibrated_file, tmp_path, capsys):
    soundfile.write(tmp_path / "talk.wav", audio.read_mono(EXAMPLES[0], 10000)[:10000], 10000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(calibrated_file), "--out-dir", str(tmp_path), "--json"]
    assert separate.main(arguments) == 0
    assert capsys.readouterr().err == ("talk.wav: 3 people, unsure (2 is almost as likely): listen, or give "
                                       "--speakers 2.\n")
    count = json.loads((tmp_path / "talk.json").read_text())["count"]
    assert count["why"] == "3 people talk (probability 41%, unsure: 2 has 34%)"
    assert [*count["probabilities"]] == ["1", "2", "3", "4", "5"]
    assert sum(count["probabilities"].values()) == pytest.approx(1)
    assert separate.main([*arguments, "--force", "--speakers", "1-2"]) == 0
    assert ("talk.wav: 2 people, unsure (1 is possible): listen, or give --speakers 1."
            in capsys.readouterr().err)
    written = json.loads((tmp_path / "talk.json").read_text())
    assert written["speakers"] == 2 and [*written["count"]["probabilities"]] == ["1", "2"]
    assert separate.main([*arguments, "--force", "--speakers", "4-6"]) == 1
    assert "4 to 6 speakers cannot be counted; give a range within 1 to 5" in capsys.readouterr().err


def test_steady_noise_is_no_speech(calibrated_file, tmp_path, capsys):
    soundfile.write(tmp_path / "rain.wav", noise(6, 10000), 10000)
    arguments = [str(tmp_path / "rain.wav"), "--model", str(calibrated_file), "--out-dir", str(tmp_path), "--json",
                 "--rttm"]
    assert separate.main(arguments) == 0
    assert capsys.readouterr().err == "rain.wav: no speech was found: one voice is returned.\n"
    written = json.loads((tmp_path / "rain.json").read_text())
    assert written["count"] == {"why": "no speech was found: one voice is returned", "cluster_variances": [],
                                "probabilities": None}
    assert (tmp_path / "rain.rttm").read_text() == "" and (tmp_path / "rain_1.wav").exists()
    assert [voice["speaks"] for voice in written["voices"]] == [[]]


@pytest.mark.parametrize("wrong", ["0-2", "3-2", "2-", "-2", "1-2-3", "2-11", "a-b"])
def test_impossible_ranges_are_refused(calibrated_file, tmp_path, wrong, capsys):
    soundfile.write(tmp_path / "talk.wav", noise(1, 10000), 10000)
    assert separate.main([str(tmp_path / "talk.wav"), f"--speakers={wrong}"]) == 1
    assert (f"--speakers {wrong} is not possible; give auto or a number from 1 to 10, or a range such as 2-4."
            in capsys.readouterr().err)


def test_a_low_confidence_is_a_warning(calibrated_file, tiny_model, tmp_path, capsys, monkeypatch):
    """A confidence of 0.5 is low for two voices, and not for three."""
    monkeypatch.setattr(SpeakerActivity, "confidence", lambda self: 0.5)
    ConfidenceThresholds(weights_checksum(tiny_model), 5.0, {"2": 0.6, "3": 0.4}, {}).write(calibrated_file)
    soundfile.write(tmp_path / "talk.wav", audio.read_mono(EXAMPLES[0], 10000)[:10000], 10000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(calibrated_file), "--out-dir", str(tmp_path), "--json",
                 "--force"]
    warning = "these voices may each hold parts of the other"
    for number, expected in ((2, f"talk.wav: {warning}: listen to them.\n"), (3, "")):
        assert separate.main([*arguments, "--speakers", str(number)]) == 0
        assert capsys.readouterr().err == expected
        assert json.loads((tmp_path / "talk.json").read_text())["low_confidence"] == bool(expected)
    assert separate.main([*arguments, "--speakers", "1-2"]) == 0
    [line, _] = capsys.readouterr().err.splitlines()  # the other line names the third voice of the earlier call
    assert line == ("talk.wav: 2 people, unsure (1 is possible): listen, or give --speakers 1. "
                    f"{warning.capitalize()}.")


def call(path):
    """Write a call: the first channel talks from 2 to 6 s, the second from 0 to 2 and 6 to 8 s; both have an offset."""
    rng = np.random.default_rng(0)
    voices = np.stack([hum(pitch_hz, 8, 8000, rng) for pitch_hz in (110, 190)])
    voices *= (np.arange(64000) // 16000 % 3 > 0) == np.array([[True], [False]])
    soundfile.write(path, (voices + 0.1).T, 8000, "FLOAT")
    return voices


def test_each_channel_of_a_call_becomes_a_voice(tmp_path, capsys, monkeypatch):
    """The plain command offers the option; no model is needed; files are numbered by channel."""
    voices, out = call(tmp_path / "call.wav"), tmp_path / "out"
    assert any("--channels speakers" in note for note in Recording.open(tmp_path / "call.wav", "mix").notes)
    monkeypatch.setattr(separate, "load_separator", lambda *_: pytest.fail("a model was loaded"))
    arguments = [str(tmp_path / "call.wav"), "--channels", "speakers", "--out-dir", str(out)]
    assert separate.main([*arguments, "--json", "--rttm", "--plot"]) == 0
    assert capsys.readouterr().err == ""
    written = json.loads((out / "call.json").read_text())
    for number, (voice, times) in enumerate(zip(voices, [[(2, 6)], [(0, 2), (6, 8)]]), start=1):
        signal, rate_hz = soundfile.read(out / f"call_{number}.wav")
        assert rate_hz == 8000 and signal.shape == (64000,)
        np.testing.assert_allclose(signal, voice - voice.mean(), atol=1e-4)
        speaks = written["voices"][number - 1]["speaks"]
        assert len(speaks) == len(times)
        np.testing.assert_allclose(speaks, times, atol=0.5)
    assert written["speakers"] == 2 and written["confidence"] > 0.9 and "count" not in written
    assert len((out / "call.rttm").read_text().splitlines()) == 3
    assert (out / "call_voices.png").exists()


@pytest.mark.parametrize(("also", "expected"), [
    (["--speakers", "2"], "so --speakers has no effect; leave one of the two out"),
    (["--enroll", "alice.wav"], "so --enroll has no effect; leave one of the two out"),
    ([], "mono.wav has 1 channel, and --channels speakers needs 2 to 10, one for each person")])
def test_channels_of_speakers_are_refused(tmp_path, capsys, also, expected):
    soundfile.write(tmp_path / "mono.wav", noise(1, 8000), 8000)
    assert separate.main([str(tmp_path / "mono.wav"), "--channels", "speakers", *also]) == 1
    assert expected in capsys.readouterr().err


def test_an_absent_enrolled_person_is_reported(measured_file, tmp_path, capsys):
    model = keras.saving.load_model(measured_file)
    model.verification_threshold = 1.01  # more than any cosine
    model.save(tmp_path / "strict.keras")
    soundfile.write(tmp_path / "alone.wav", hum(150, 2, 10000, np.random.default_rng(0)), 10000)
    soundfile.write(tmp_path / "talk.wav", noise(1, 10000), 10000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(10000), 10000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(tmp_path / "strict.keras"), "--out-dir", str(tmp_path)]
    assert separate.main([*arguments, "--enroll", str(tmp_path / "alone.wav")]) == 0
    assert "none of the voices is that of the enrolled person" in capsys.readouterr().err
    assert separate.main([*arguments, "--force", "--enroll", str(tmp_path / "silence.wav")]) == 1
    assert "is silent" in capsys.readouterr().err
    assert separate.main([*arguments, "--force", "--enroll", str(tmp_path / "talk.wav")]) == 1
    assert f"error: {tmp_path / 'talk.wav'} contains no speech: its spectrum varies by " in capsys.readouterr().err


@pytest.mark.parametrize(("choice", "channels", "wanted"), [("mix", 1, 0.75), ("each", 2, [1.0, 0.5]), ("2", 1, 0.5)])
def test_channels_are_selected(model_file, tmp_path, choice, channels, wanted):
    left = noise(1, 16000)
    soundfile.write(tmp_path / "stereo.wav", np.hstack([left, 0.5 * left]), 16000, "FLOAT")
    assert separate.main([str(tmp_path / "stereo.wav"), "--model", str(model_file), "--speakers", "2", "--channels",
                          choice, "--out-dir", str(tmp_path)]) == 0
    voices = sum(soundfile.read(tmp_path / f"stereo_{n}.wav", always_2d=True)[0] for n in (1, 2))
    assert voices.shape[1] == channels
    np.testing.assert_allclose(voices, left * wanted, atol=1e-4)


def test_a_model_without_thresholds_neither_counts_nor_finds(model_file, tmp_path, capsys):
    soundfile.write(tmp_path / "talk.wav", noise(1, 16000), 16000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(model_file), "--out-dir", str(tmp_path)]
    assert separate.main(arguments) == 1 and "give the number of speakers" in capsys.readouterr().err
    assert separate.main([*arguments, "--speakers", "2", "--enroll", str(tmp_path / "talk.wav")]) == 1
    assert "cannot find a person" in capsys.readouterr().err


def test_a_folder_is_separated_file_by_file(model_file, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.wav", "b.FLAC", ".hidden.wav"):
        soundfile.write(tmp_path / "in" / name, noise(1, 16000), 16000)
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    assert separate.main([str(tmp_path / "in"), "--model", str(model_file), "--speakers", "2",
                          "--out-dir", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a_1.wav", "a_2.wav", "b_1.flac", "b_2.flac"]


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_an_interrupted_batch_continues(model_file, tmp_path, capsys, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in "abc":
        soundfile.write(tmp_path / "in" / f"{name}.wav", noise(1, 16000), 16000)
    out = tmp_path / "out"
    arguments = ["--model", str(model_file), "--speakers", "2", "--out-dir", str(out), "--json"]
    with monkeypatch.context() as patched:
        patched.setattr(voice_files, "write_extras", interrupt)  # after the voices, before the JSON file
        assert separate.main([str(tmp_path / "in"), *arguments]) == 130
    assert "interrupted: finished recordings are kept" in capsys.readouterr().err
    assert not out.exists()
    assert separate.main([str(tmp_path / "in" / "a.wav"), *arguments]) == 0
    before = (out / "a_1.wav").stat().st_mtime_ns
    assert separate.main([str(tmp_path / "in"), *arguments]) == 0
    printed = capsys.readouterr()
    assert "1 of 3 recordings" in printed.err and "a.wav" in printed.err and "c_2.wav" in printed.out
    assert (out / "a_1.wav").stat().st_mtime_ns == before and len(list(out.iterdir())) == 9
    assert separate.main([str(tmp_path / "in"), *arguments]) == 0 and "3 of 3" in capsys.readouterr().err
    assert separate.main([str(tmp_path / "in"), *arguments, "--force"]) == 0
    assert (out / "a_1.wav").stat().st_mtime_ns > before


def test_silence_gives_one_voice(measured_file, tmp_path, capsys):
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(16000), 16000)
    assert separate.main([str(silence), "--model", str(measured_file), "--out-dir", str(tmp_path)]) == 0
    assert "the recording is silent" in capsys.readouterr().err and not (tmp_path / "silence_2.wav").exists()


def test_a_voice_above_full_scale_is_reported(model_file, tmp_path, capsys):
    for suffix, wanted in ((".wav", "players may clip it"), (".flac", "is clipped; add --format wav")):
        soundfile.write(tmp_path / "loud.wav", 30 * noise(1, 16000), 16000, "FLOAT")
        loud = tmp_path / f"loud{suffix}"
        if suffix == ".flac":
            soundfile.write(loud, np.clip(30 * noise(1, 16000), -1, 1), 16000)
        arguments = [str(loud), "--model", str(model_file), "--speakers", "2", "--out-dir", str(tmp_path / suffix[1:])]
        assert separate.main(arguments) == 0 and wanted in capsys.readouterr().err


def test_files_of_an_earlier_call_are_kept_and_listed(model_file, tmp_path, capsys):
    soundfile.write(tmp_path / "talk.wav", noise(1, 16000), 16000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(model_file), "--out-dir", str(tmp_path), "--force"]
    assert separate.main([*arguments, "--speakers", "3", "--json"]) == 0 and "earlier" not in capsys.readouterr().err
    assert separate.main([*arguments, "--speakers", "2"]) == 0
    left = tmp_path / "talk_3.wav", tmp_path / "talk.json"
    assert f"may be from an earlier call: {left[0]}, {left[1]}" in capsys.readouterr().err
    assert all(map(Path.exists, left))


def test_voices_with_names_of_an_earlier_call_are_listed(measured_file, tmp_path, capsys):
    """Without the voices of another recording, whose name begins alike, and without files that are no voices."""
    out = tmp_path / "out"
    for name in ("talk", "talk_1", "talk_2 late"):
        soundfile.write(tmp_path / f"{name}.wav", hum(150, 1, 10000, np.random.default_rng(0)), 10000)
    arguments = ["--model", str(measured_file), "--speakers", "1", "--out-dir", str(out)]
    for name in ("talk", "talk_2 late"):
        given = [str(tmp_path / f"{name}.wav"), *arguments, "--enroll", f"Ann={tmp_path / 'talk_1.wav'}"]
        assert separate.main(given) == 0 and "earlier" not in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    soundfile.write(tmp_path / "other/talk_b.wav", noise(1, 10000), 10000)
    assert separate.main([str(tmp_path / "other/talk_b.wav"), *arguments]) == 0 and (out / "talk_b_1.wav").exists()
    capsys.readouterr()
    soundfile.write(out / "talk_notes.wav", noise(1, 10000), 10000)
    assert separate.main([str(tmp_path / "talk.wav"), *arguments]) == 0
    assert capsys.readouterr().err.endswith(f"may be from an earlier call: {out / 'talk_Ann.wav'}\n")


def test_recordings_are_checked_before_the_model_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Separator, "from_pretrained", lambda *_: pytest.fail("the model was loaded"))
    soundfile.write(tmp_path / "talk.wav", noise(1, 16000), 16000)
    assert separate.main([str(tmp_path / "talk.wav"), "--channels", "3", "--out-dir", str(tmp_path / "voices")]) == 1
    assert "no channel 3" in capsys.readouterr().err


def test_recordings_are_never_replaced(model_file, tmp_path, capsys):
    first, second = tmp_path / "talk.wav", tmp_path / "talk_1.wav"
    (tmp_path / "other").mkdir()
    for path in (first, second, tmp_path / "other" / "talk.wav"):
        soundfile.write(path, noise(1, 16000), 16000)
    before = second.read_bytes()
    model = ["--model", str(model_file), "--out-dir", str(tmp_path), "--force"]
    assert separate.main([str(first), str(second), *model]) == 1
    assert separate.main([str(first), str(tmp_path / "other" / "talk.wav"), *model]) == 1
    messages = capsys.readouterr().err
    assert "is one of the given recordings" in messages and "would be written twice" in messages
    assert second.read_bytes() == before and not (tmp_path / "talk_2.wav").exists()


def test_a_long_recording_is_separated(model_file, tmp_path):
    soundfile.write(tmp_path / "long.wav", noise(180, 8000), 8000)
    arguments = ["--model", str(model_file), "--speakers", "2", "--out-dir", str(tmp_path)]
    assert separate.main([str(tmp_path / "long.wav"), *arguments]) == 0
    voices = sum(soundfile.read(tmp_path / f"long_{number}.wav")[0] for number in (1, 2))
    np.testing.assert_allclose(voices, noise(180, 8000)[:, 0], atol=1e-3)


def test_bad_input_gives_one_sentence(model_file, tmp_path, capsys):
    text, empty, good = tmp_path / "text.wav", tmp_path / "empty.wav", tmp_path / "good.wav"
    text.write_text("I am not audio")
    (tmp_path / "folder").mkdir()
    empty.write_bytes(b"")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    soundfile.write(good, noise(1, 16000), 16000)
    broken = tmp_path / "broken.keras"
    broken.write_bytes(model_file.read_bytes()[:5000])
    for name, contents in (("other", "method: sce"), ("binary", "\0\1"), ("list", "- 1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(contents)
    lengthy = tmp_path / f"{'x' * 245}.wav"
    soundfile.write(lengthy, noise(1, 16000), 16000)
    model = ["--model", str(model_file), "--out-dir", str(tmp_path / "out")]
    for arguments, wanted in (
        ([str(text), *model], "text.wav is not audio"),
        ([str(empty), *model], "empty.wav is empty"),
        ([str(tmp_path / "none.wav"), *model], "contains no samples"),
        ([str(tmp_path / "folder"), *model], "contains no recording"),
        ([str(tmp_path / "absent.wav"), *model], "no such file"),
        ([str(good), "--model", str(tmp_path / "absent"), "--out-dir", str(tmp_path)], "there is no model"),
        ([str(good), "--model", str(good), "--out-dir", str(tmp_path)], "good.wav is no model"),
        ([str(good), "--model", str(broken), "--out-dir", str(tmp_path)], "cannot be loaded as a model"),
        *(([str(good), "--model", str(tmp_path / name), "--out-dir", str(tmp_path)], "there is no model")
          for name in ("other", "binary", "list")),
        (["", *model], "empty name"),
        ([str(lengthy), *model], "too long for the name of a file"),
        ([str(good), *model, "--speakers", "0"], "--speakers 0"),
        ([str(good), *model, "--speakers", "two"], "auto or a number"),
        ([str(good), *model, "--channels", "left"], "mix, each, speakers or a number"),
        ([str(good), *model, "--channels", "2"], "has 1 channel, so there is no channel 2"),
        ([str(good), *model, "--enroll", str(text)], "text.wav is not audio"),
        ([str(good), *model, "--speakers", "1000000"], "1 to 10"),
        ([str(good), "--model", str(model_file), "--out-dir", str(text)], "is a file"),
    ):
        assert separate.main(arguments) == 1
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ") and wanted in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_bad_file_does_not_stop_the_others(model_file, tmp_path, capsys):
    soundfile.write(tmp_path / "good.wav", noise(1, 16000), 16000)
    files = [str(tmp_path / "absent.wav"), str(tmp_path / "good.wav")]
    arguments = ["--model", str(model_file), "--speakers", "2", "--out-dir", str(tmp_path / "out")]
    assert separate.main([*files, *arguments]) == 1
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_circular_links_are_reported(tmp_path, capsys):
    (tmp_path / "sound.wav").symlink_to(tmp_path / "sound.wav")
    assert separate.main([str(tmp_path / "sound.wav"), "--out-dir", str(tmp_path)]) == 1
    assert "sound.wav" in capsys.readouterr().err and len([*tmp_path.iterdir()]) == 1


def separated(model_file, *arguments):
    return separate.main([*map(str, arguments), "--model", str(model_file), "--speakers", "2"])


@pytest.mark.parametrize("again", ["folder", "files"])  # `separate .`, and `separate *.wav`
def test_own_voices_are_not_separated_again(model_file, tmp_path, caplog, capsys, again):
    (tmp_path / "in").mkdir()
    for name in ("talk.wav", "second.mp3", "other.flac", "more.ogg"):
        soundfile.write(tmp_path / "in" / name, noise(1, 16000), 16000)
    assert separated(model_file, tmp_path / "in", "--out-dir", tmp_path / "in") == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "in").iterdir()}
    assert len(before) == 12
    capsys.readouterr()
    inputs = [tmp_path / "in"] if again == "folder" else sorted(before)
    assert separated(model_file, *inputs, "--out-dir", tmp_path / "in") == 0
    assert "skipped, because their voices exist: 4 of 4" in capsys.readouterr().err
    assert [record.getMessage().count("left out are 8 voices of") for record in caplog.records] == [1]
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "in").iterdir()}
    assert separated(model_file, *inputs, "--out-dir", tmp_path / "in", "--force") == 0
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "in").iterdir()}
    assert after.keys() == before.keys() and sum(after[path] != before[path] for path in after) == 8


def test_a_voice_that_is_given_alone_is_separated(model_file, tmp_path):
    soundfile.write(tmp_path / "talk.wav", noise(1, 16000), 16000)
    assert separated(model_file, tmp_path / "talk.wav", "--out-dir", tmp_path) == 0
    assert separated(model_file, tmp_path / "talk_1.wav", "--out-dir", tmp_path) == 0
    assert (tmp_path / "talk_1_2.wav").exists()


def test_files_of_a_folder_that_are_left_out_are_counted(model_file, tmp_path, caplog):
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    for name in ("talk.wav", ".hidden.wav"):
        soundfile.write(folder / name, noise(1, 16000), 16000)
    for name in ("notes.txt", "talk.json"):
        (folder / name).write_text("{}")
    assert separated(model_file, folder, "--out-dir", tmp_path / "out") == 0
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}: left out are 1 hidden, 3 without sound."]


def test_recordings_with_similar_names_keep_their_own_voices(model_file, tmp_path):
    """Talk_1.WAV is a recording, although its name differs from the first voice of Talk.WAV only in case."""
    signals = {name: (number + 1) * noise(1, 16000) for number, name in enumerate(("Talk.WAV", "Talk_1.WAV"))}
    (tmp_path / "in").mkdir()
    for name, signal in signals.items():
        soundfile.write(tmp_path / "in" / name, signal, 16000, "FLOAT")
    assert separated(model_file, tmp_path / "in", "--out-dir", tmp_path / "in") == 0
    for name, signal in signals.items():
        np.testing.assert_array_equal(soundfile.read(tmp_path / "in" / name, always_2d=True)[0], signal)
        voices = sum(soundfile.read(tmp_path / "in" / f"{name[:-4]}_{n}.wav")[0] for n in (1, 2))
        np.testing.assert_allclose(voices, signal[:, 0], atol=1e-4)


def test_recordings_with_the_same_outputs_block_only_each_other(model_file, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.mp3", "a.ogg", "b.wav", f"{'x' * 251}.wav"):
        soundfile.write(tmp_path / "in" / name, noise(1, 16000), 16000)
    (tmp_path / "in" / os.fsdecode(b"\xff.wav")).write_bytes((tmp_path / "in" / "b.wav").read_bytes())
    assert separated(model_file, tmp_path / "in", "y" * 300, "--out-dir", tmp_path / "out", "--json") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.json", "b_1.wav", "b_2.wav"]
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert [line.count("a_1.wav would be written twice") for line in errors] == [1, 1, 0, 0, 0]
    assert [line.count("too long for the name of a file") for line in errors] == [0, 0, 1, 1, 0]
    assert "\\udcff.wav" in errors[4]


@pytest.mark.parametrize(("letter", "n_bytes", "taken"), [
    ("x", 242, True), ("x", 243, False), ("x", 247, False), ("x", 248, False), ("x", 255, False), ("ö", 243, True),
    ("ö", 248, False), ("ö", 255, False)])
def test_names_of_every_length_are_taken_or_refused(model_file, tmp_path, capsys, letter, n_bytes, taken):
    name = (letter * n_bytes).encode()[: n_bytes - 4].decode(errors="ignore") + ".wav"
    soundfile.write(tmp_path / name, noise(0.1, 16000), 16000)
    status = separated(model_file, tmp_path / name, "--out-dir", tmp_path / "out")
    voices = [*(tmp_path / "out").glob("*")]
    assert (status, len(voices)) == ((0, 2) if taken else (1, 0))
    assert taken or "is too long for the name of a file" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out-dir", "--model", "--enroll"])
def test_options_that_are_too_long_for_a_path_are_refused(tmp_path, capsys, option):
    soundfile.write(tmp_path / "talk.wav", noise(0.1, 16000), 16000)
    arguments = [str(tmp_path / "talk.wav"), option, "y" * 300]
    assert separate.main(arguments if option == "--out-dir" else [*arguments, "--out-dir", str(tmp_path)]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and "too long" in errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["talk.wav"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, UserError])  # Ctrl-C or SIGTERM; a process was killed
def test_files_of_killed_processes_are_removed(tmp_path, monkeypatch, end):
    @contextlib.contextmanager
    def lost_workers(*_):
        yield lambda jobs: [*jobs]
        for name in "ab":
            staging = tmp_path / "out" / f"{PREFIX}{name}{SUFFIX}"
            staging.mkdir(parents=True)
            (staging / "half").touch()
        raise end("lost")

    options = separate.parse(["a.wav", "b.wav", "--out-dir", str(tmp_path / "out")])
    separate.check_choices(options)
    monkeypatch.setattr(process_pool, "workers", lost_workers)
    monkeypatch.setattr(separate, "report", lambda outcome: True)
    with pytest.raises(end):
        separate.separate_files(options.files, options, options.files)
    assert not [*(tmp_path / "out").iterdir()]


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such names")
def test_names_of_files_cannot_command_the_terminal(model_file, tmp_path, caplog, capsys):
    for name in ("a\x1b[31m.wav", "b.wav"):
        soundfile.write(tmp_path / name, noise(1, 16000), 16000)
    for _ in range(2):  # the second time, the recordings are skipped
        assert separated(model_file, tmp_path, "--out-dir", tmp_path) == 0
    error = capsys.readouterr().err
    assert "skipped, because their voices exist: 2 of 2" in error and "a\\x1b[31m.wav" in error
    files = sorted(tmp_path.glob("*.wav"))
    assert separated(model_file, *files, "--out-dir", tmp_path, "--force") == 0
    assert "left out are 4 voices" in caplog.text and "\x1b" not in caplog.text + error + capsys.readouterr().err
