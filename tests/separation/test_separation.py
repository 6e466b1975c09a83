"""The Separator and its command line: any rate, length and channels in; voices that sum to the recording out."""

import json
import zipfile
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from conftest import blstm, hum

from lab41_sce import separate
from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError
from lab41_sce.models.attractor_model import AttractorModel
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.mask_model import MaskModel
from lab41_sce.separation import streaming
from lab41_sce.separation.separator import Separator


@pytest.fixture
def model_file(tiny_model, tmp_path):
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    tiny_model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.fixture
def measured_file(tiny_model, tmp_path):
    """A model whose thresholds somebody has measured: it counts speakers and finds a person."""
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    tiny_model.cluster_variance, tiny_model.verification_threshold = 1e-6, -1.0  # counts three, finds anybody
    tiny_model.save(tmp_path / "measured.keras")
    return tmp_path / "measured.keras"


def noise(seconds, rate_hz, channels=1):
    return 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate_hz), channels)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8000, 10000, 16000, 44100])
@pytest.mark.parametrize("n_speakers", [1, 2, 3])
def test_voices_sum_to_the_input(tiny_model, rate_hz, n_speakers):
    signal = noise(3, rate_hz)[:, 0]
    voices = Separator(tiny_model).separate(signal, rate_hz, n_speakers)
    assert voices.shape == (n_speakers, len(signal)) and voices.dtype == np.float32
    np.testing.assert_allclose(voices.sum(axis=0), signal, atol=1e-4)  # what the model cannot hear included


def test_channels_get_the_masks_of_their_mean(tiny_model):
    left = noise(2, 16000)[:, 0]
    voices = Separator(tiny_model).separate(np.stack([left, 0.5 * left]), 16000)
    assert voices.shape == (2, 2, 32000)
    np.testing.assert_allclose(voices[:, 1], 0.5 * voices[:, 0], atol=1e-5)
    np.testing.assert_allclose(voices[:, 0], Separator(tiny_model).separate(0.75 * left, 16000) / 0.75, atol=1e-4)


@pytest.mark.parametrize("rate_hz", [10000, 16000, 44100])
@pytest.mark.parametrize(("compression", "scaling"), [("log", "standard"), ("sqrt", "min_max")])
def test_windows_give_what_the_whole_gives(rate_hz, compression, scaling, monkeypatch):
    """A long recording in windows, against the same at once: 60 dB below the voices, at the borders, too.

    With the same centres: k-means over what an untrained network says falls either way with the last digit.
    """
    front_end = FrontEnd(compression=compression, scaling=scaling)
    keras.utils.set_random_seed(1)
    model = EmbeddingModel(front_end, blstm(front_end.n_bins, 3, n_layers=1, units=4), True, soft_scale=2.0)
    rng = np.random.default_rng(0)
    signal = sum(hum(pitch_hz, 20.0, rate_hz, rng) for pitch_hz in (110, 210))
    centroids = Separator(model).open(Recording.of(signal, rate_hz), 2).centroids
    monkeypatch.setattr(model, "centroids", lambda *_: centroids)
    whole = Separator(model).separate(signal, rate_hz)
    monkeypatch.setattr(streaming, "plan", partial(streaming.plan, window_seconds=3.0))
    assert len(streaming.plan(Recording.of(signal, rate_hz), front_end, model.grid_frames)) >= 5
    parts = Separator(model).separate(signal, rate_hz)
    assert parts.shape == whole.shape
    assert 10 * np.log10(np.square(parts - whole).mean() / np.square(whole).mean()) < -60
    np.testing.assert_allclose(parts.sum(axis=0), signal, atol=1e-4)


@pytest.mark.parametrize("rate_hz", [8000, 10000, 22050, 44100, 44101])
@pytest.mark.parametrize("seconds", [0.1, 79.9, 80.1, 140.0, 181.0])
def test_windows_follow_each_other_and_start_where_frames_do(rate_hz, seconds):
    recording = Recording.of(np.zeros(round(seconds * rate_hz)), rate_hz)
    windows = streaming.plan(recording, FrontEnd(), 125)
    assert windows[0].start == windows[0].outer_start == 0
    assert windows[-1].stop == windows[-1].outer_stop == recording.n_samples
    for before, after in zip(windows, windows[1:], strict=False):
        assert before.stop == after.start and before.outer_stop > after.start > after.outer_start
    for window in windows:
        assert window.start * 10000 % (256 * rate_hz) == window.outer_start * 10000 % (256 * rate_hz) == 0


def test_a_file_is_read_in_parts(tmp_path):
    signal = noise(3, 16000, channels=2)
    for suffix in (".wav", ".flac", ".ogg", ".mp3"):
        soundfile.write(tmp_path / f"talk{suffix}", signal, 16000)
        whole, _ = soundfile.read(tmp_path / f"talk{suffix}", dtype="float32", always_2d=True)
        recording = Recording.open(tmp_path / f"talk{suffix}")
        assert (recording.n_channels, recording.n_samples) == (2, len(whole))
        for start, stop in ((0, 5000), (5000, 9000), (2000, 7000), (40000, len(whole))):
            np.testing.assert_allclose(recording.read(start, stop), whole[start:stop].T, atol=1e-3)


@pytest.mark.parametrize("kind", ["masks", "kmeans", "fixed"])
def test_other_models_separate_as_they_are_saved(kind, tmp_path):
    """Masks without vectors, attractors by k-means, fixed ones: in windows, and told what they cannot."""
    front_end, network = FrontEnd(), blstm(257, 2 if kind == "masks" else 4, n_layers=1, units=4)
    if kind == "masks":
        model = MaskModel(front_end, network, 2)
    else:
        model = AttractorModel(front_end, network, 2, attractors=kind)
    model(np.zeros((1, 1000), np.float32))
    model.save(tmp_path / "model.keras")
    separator, signal = Separator.load(tmp_path / "model.keras"), noise(90, 8000)[:, 0]
    voices = separator.separate(signal, 8000)
    assert voices.shape == (2, len(signal))
    np.testing.assert_allclose(voices.sum(axis=0), signal, atol=1e-4)
    with pytest.raises(UserError, match="cannot count voices"):
        separator.separate(signal, 8000, "auto")
    with pytest.raises(UserError, match="cannot find a person"):
        separator.speaker_embedding(Recording.of(signal, 8000))
    if kind == "kmeans":
        assert len(separator.separate(signal, 8000, 3)) == 3
    else:
        with pytest.raises(UserError, match="cannot separate 3|3 speakers cannot be separated"):
            separator.separate(signal, 8000, 3)


def test_same_input_same_voices(tiny_model):
    signal = noise(2, 10000)[:, 0]
    separator = Separator(tiny_model)
    np.testing.assert_array_equal(separator.separate(signal, 10000), separator.separate(signal, 10000))


def test_silence_and_a_single_sample(tiny_model):
    separator = Separator(tiny_model)
    assert not separator.separate(np.zeros(5000), 10000).any()
    assert np.isfinite(separator.separate(np.ones(1), 16000)).all()


def test_impossible_signals_are_told(tiny_model):
    separator = Separator(tiny_model)
    for bad in (np.zeros(0), np.array([np.nan, 0]), np.zeros((2, 2, 2))):
        with pytest.raises(UserError, match="finite samples"):
            separator.separate(bad, 10000)
    with pytest.raises(UserError, match="more channels than samples"):  # as soundfile reads it
        separator.separate(np.zeros((100, 2)), 10000)
    with pytest.raises(UserError, match="0 speakers"):
        separator.separate(np.zeros(100), 10000, 0)


def test_a_single_voice_has_no_confidence(model_file, tmp_path):
    soundfile.write(tmp_path / "talk.wav", noise(2, 16000), 16000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(model_file), "--speakers", "1", "--out-dir", str(tmp_path)]
    assert separate.main([*arguments, "--json", "--plot"]) == 0
    told = json.loads((tmp_path / "talk.json").read_text())
    assert told["confidence"] is None and told["confidence_by_second"] == [None, None]
    assert (tmp_path / "talk_voices.png").exists()


def test_command_line_writes_one_file_for_each_speaker(model_file, tmp_path, capsys):
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


def test_what_is_known_of_the_voices_is_written(measured_file, tmp_path, capsys):
    """Counted, one person looked for, every channel kept: the JSON and the RTTM say so, and of the right times."""
    recording, alone, out = tmp_path / "talk.wav", tmp_path / "alone.wav", tmp_path / "out"
    signal = noise(3, 16000, channels=2)
    signal[:19200] = 0  # nobody speaks in the first 1.2 seconds
    soundfile.write(recording, signal, 16000, "FLOAT")
    soundfile.write(alone, noise(2, 22050), 22050)
    arguments = [str(recording), "--model", str(measured_file), "--out-dir", str(out)]
    assert separate.main([*arguments, "--enroll", str(alone), "--channels", "each", "--json", "--rttm"]) == 0
    told = json.loads((out / "talk.json").read_text())
    names = [voice["file"] for voice in told["voices"]]
    assert told["speakers"] == len(names) and names == [f"talk_{n}.wav" for n in range(1, len(names) + 1)]
    assert told["seconds"] == 3.0 and len(told["confidence_by_second"]) == 3
    assert told["confidence_by_second"][0] is None
    assert 0 <= told["confidence_by_second"][2] <= 1 and 0 <= told["confidence"] <= 1
    assert len(told["enrolled"]["similarity"]) == len(names) and told["enrolled"]["found"]
    assert str(told["count"]["cluster_variances"][0])[:3] in told["count"]["why"]
    said = capsys.readouterr().err
    assert told["count"]["why"] in said and "is that of the enrolled person" in said
    lines = (out / "talk.rttm").read_text().splitlines()
    assert lines and all(line.startswith("SPEAKER talk 1 ") for line in lines)
    assert all(1.1 < float(line.split()[3]) < 3 for line in lines)
    assert [pair[0] for voice in told["voices"] for pair in voice["speaks"]]
    voices = sum(soundfile.read(out / name)[0] for name in names)
    np.testing.assert_allclose(voices, signal, atol=1e-4)  # both channels


def test_nobody_like_the_enrolled_person_is_told(measured_file, tmp_path, capsys):
    model = keras.saving.load_model(measured_file)
    model.verification_threshold = 1.01  # more than a cosine can be
    model.save(tmp_path / "strict.keras")
    for name in ("talk", "alone"):
        soundfile.write(tmp_path / f"{name}.wav", noise(1, 10000), 10000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(10000), 10000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(tmp_path / "strict.keras"), "--out-dir", str(tmp_path)]
    assert separate.main([*arguments, "--enroll", str(tmp_path / "alone.wav")]) == 0
    assert "none of the voices is that of the enrolled person" in capsys.readouterr().err
    assert separate.main([*arguments, "--force", "--enroll", str(tmp_path / "silence.wav")]) == 1
    assert "is silent" in capsys.readouterr().err


@pytest.mark.parametrize(("choice", "channels", "wanted"), [("mix", 1, 0.75), ("each", 2, [1.0, 0.5]), ("2", 1, 0.5)])
def test_channels_are_chosen(model_file, tmp_path, choice, channels, wanted):
    left = noise(1, 16000)
    soundfile.write(tmp_path / "stereo.wav", np.hstack([left, 0.5 * left]), 16000, "FLOAT")
    assert separate.main([str(tmp_path / "stereo.wav"), "--model", str(model_file), "--speakers", "2", "--channels",
                          choice, "--out-dir", str(tmp_path)]) == 0
    voices = sum(soundfile.read(tmp_path / f"stereo_{n}.wav", always_2d=True)[0] for n in (1, 2))
    assert voices.shape[1] == channels
    np.testing.assert_allclose(voices, left * wanted, atol=1e-4)


def test_what_nobody_measured_is_not_guessed(model_file, tmp_path, capsys):
    """A model without thresholds neither counts speakers nor finds a person."""
    soundfile.write(tmp_path / "talk.wav", noise(1, 16000), 16000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(model_file), "--out-dir", str(tmp_path)]
    assert separate.main(arguments) == 1 and "say how many people talk" in capsys.readouterr().err
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


def interrupt(*given):
    raise KeyboardInterrupt


def test_an_interrupted_batch_goes_on(model_file, tmp_path, capsys, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in "abc":
        soundfile.write(tmp_path / "in" / f"{name}.wav", noise(1, 16000), 16000)
    out = tmp_path / "out"
    arguments = ["--model", str(model_file), "--speakers", "2", "--out-dir", str(out), "--json"]
    with monkeypatch.context() as patched:
        patched.setattr(separate, "describe", interrupt)  # after the voices, before the rest
        with pytest.raises(KeyboardInterrupt):
            separate.main([str(tmp_path / "in"), *arguments])
    assert not list(out.iterdir())
    assert separate.main([str(tmp_path / "in" / "a.wav"), *arguments]) == 0
    before = (out / "a_1.wav").stat().st_mtime_ns
    assert separate.main([str(tmp_path / "in"), *arguments]) == 0
    told = capsys.readouterr()
    assert "1 of 3 recordings" in told.err and "a.wav" in told.err and "c_2.wav" in told.out
    assert (out / "a_1.wav").stat().st_mtime_ns == before and len(list(out.iterdir())) == 9
    assert separate.main([str(tmp_path / "in"), *arguments]) == 0 and "3 of 3" in capsys.readouterr().err
    assert separate.main([str(tmp_path / "in"), *arguments, "--force"]) == 0
    assert (out / "a_1.wav").stat().st_mtime_ns > before


def test_silence_is_nobody(measured_file, tmp_path, capsys):
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(16000), 16000)
    assert separate.main([str(silence), "--model", str(measured_file), "--out-dir", str(tmp_path)]) == 0
    assert "nobody is heard" in capsys.readouterr().err and not (tmp_path / "silence_2.wav").exists()


def test_a_voice_louder_than_full_scale_is_told(model_file, tmp_path, capsys):
    for suffix, wanted in ((".wav", "players may clip it"), (".flac", "was clipped; give a WAV")):
        soundfile.write(tmp_path / "loud.wav", 30 * noise(1, 16000), 16000, "FLOAT")
        loud = tmp_path / f"loud{suffix}"
        if suffix == ".flac":
            soundfile.write(loud, np.clip(30 * noise(1, 16000), -1, 1), 16000)
        arguments = [str(loud), "--model", str(model_file), "--speakers", "2", "--out-dir", str(tmp_path / suffix[1:])]
        assert separate.main(arguments) == 0 and wanted in capsys.readouterr().err


def test_progress_adds_up(tiny_model):
    """Of models of vectors, in one window or more, and of models of masks."""
    masks = MaskModel(FrontEnd(), blstm(257, 2, n_layers=1, units=4), 2)
    for model, seconds, steps in ((tiny_model, 40, 3), (tiny_model, 90, 6), (masks, 40, 1)):
        told = []
        list(Separator(model).open(Recording.of(noise(seconds, 8000)[:, 0], 8000), 2, progress=told.append))
        assert len(told) == steps and min(told) > 0 and sum(told) == pytest.approx(1)


def test_files_of_an_earlier_call_are_left_and_told(model_file, tmp_path, capsys):
    soundfile.write(tmp_path / "talk.wav", noise(1, 16000), 16000)
    arguments = [str(tmp_path / "talk.wav"), "--model", str(model_file), "--out-dir", str(tmp_path), "--force"]
    assert separate.main([*arguments, "--speakers", "3", "--json"]) == 0 and "earlier" not in capsys.readouterr().err
    assert separate.main([*arguments, "--speakers", "2"]) == 0
    left = tmp_path / "talk_3.wav", tmp_path / "talk.json"
    assert f"not of these voices: {left[0]}, {left[1]}" in capsys.readouterr().err and all(map(Path.exists, left))


def test_a_recording_that_cannot_be_read_is_told_before_the_model_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Separator, "from_pretrained", lambda: pytest.fail("the model was loaded"))
    soundfile.write(tmp_path / "talk.wav", noise(1, 16000), 16000)
    assert separate.main([str(tmp_path / "talk.wav"), "--channels", "3", "--out-dir", str(tmp_path / "voices")]) == 1
    assert "no number 3" in capsys.readouterr().err


def test_a_saved_model_says_the_same(measured_file, tmp_path):
    separator = Separator.load(measured_file)
    separator.to_saved_model(tmp_path / "exported")
    waveforms = noise(1, 10000)[:, 0].reshape(2, 5000)
    exported = tf.saved_model.load(tmp_path / "exported")
    served = exported.serve(waveforms)
    np.testing.assert_allclose(served, separator.model.predict_on_batch(waveforms), atol=1e-5)


def test_recordings_are_never_replaced(model_file, tmp_path, capsys):
    first, second = tmp_path / "talk.wav", tmp_path / "talk_1.wav"
    (tmp_path / "other").mkdir()
    for path in (first, second, tmp_path / "other" / "talk.wav"):
        soundfile.write(path, noise(1, 16000), 16000)
    before = second.read_bytes()
    model = ["--model", str(model_file), "--out-dir", str(tmp_path), "--force"]
    assert separate.main([str(first), str(second), *model]) == 1
    assert separate.main([str(first), str(tmp_path / "other" / "talk.wav"), *model]) == 1
    told = capsys.readouterr().err
    assert "is a recording that was given" in told and "would be written twice" in told
    assert second.read_bytes() == before and not (tmp_path / "talk_2.wav").exists()


def test_three_minutes(model_file, tmp_path):
    soundfile.write(tmp_path / "long.wav", noise(180, 8000), 8000)
    arguments = ["--model", str(model_file), "--speakers", "2", "--out-dir", str(tmp_path)]
    assert separate.main([str(tmp_path / "long.wav"), *arguments]) == 0
    voices = sum(soundfile.read(tmp_path / f"long_{number}.wav")[0] for number in (1, 2))
    np.testing.assert_allclose(voices, noise(180, 8000)[:, 0], atol=1e-3)


def test_bad_input_gets_one_sentence(model_file, tmp_path, capsys):
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
        ([str(tmp_path / "none.wav"), *model], "holds no samples"),
        ([str(tmp_path / "folder"), *model], "holds no .wav"),
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
        ([str(good), *model, "--channels", "left"], "mix, each or a number"),
        ([str(good), *model, "--channels", "2"], "has 1 channels and no number 2"),
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


def test_a_strangers_model_runs_no_code(tmp_path):
    """A Lambda layer holds code; Keras's safe mode refuses it, before anything of it runs."""
    trap = f"__import__('pathlib').Path({str(tmp_path / 'run')!r}).touch()"
    layer = keras.layers.Lambda(eval(f"lambda x: ({trap}, x)[1]"), output_shape=(3,))
    model = keras.Sequential([keras.Input((3,)), layer])
    (tmp_path / "run").unlink(missing_ok=True)  # building the model may have run it
    model.save(tmp_path / "strange.keras")
    with pytest.raises(UserError, match=r"strange.keras cannot be loaded as a model \(.*Lambda"):
        Separator.load(tmp_path / "strange.keras")
    assert not (tmp_path / "run").exists()
    keras.saving.load_model(tmp_path / "strange.keras", safe_mode=False)(np.ones((1, 3)))
    assert (tmp_path / "run").exists()  # the trap was sharp


@pytest.mark.parametrize("config", [b"null", b"5", b"[" * 100_000, b"{}", b'{"class_name": "EmbeddingModel"}'])
def test_a_model_that_is_none_is_told(tmp_path, config):
    with zipfile.ZipFile(tmp_path / "strange.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", b"{}")
    with pytest.raises(UserError, match="strange.keras (cannot be loaded as a|holds a Keras) model"):
        Separator.load(tmp_path / "strange.keras")


def test_links_in_a_circle_are_told(tmp_path, capsys):
    (tmp_path / "sound.wav").symlink_to(tmp_path / "sound.wav")
    assert separate.main([str(tmp_path / "sound.wav"), "--out-dir", str(tmp_path)]) == 1
    assert "sound.wav" in capsys.readouterr().err and len([*tmp_path.iterdir()]) == 1
