"""The Separator and its command line: any rate, length and channels in; voices that sum to the recording out."""

from functools import partial

import keras
import numpy as np
import pytest
import soundfile
from conftest import hum

from lab41_sce import separate, separation
from lab41_sce.errors import UserError
from lab41_sce.features import FrontEnd
from lab41_sce.methods.embedding import EmbeddingModel
from lab41_sce.networks import blstm
from lab41_sce.recordings import Recording
from lab41_sce.separation import Separator


@pytest.fixture
def model_file(tiny_model, tmp_path):
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    tiny_model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


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
    """A long recording in windows, against the same at once: 40 dB below the voices, at the borders, too."""
    front_end = FrontEnd(compression=compression, scaling=scaling)
    keras.utils.set_random_seed(1)
    model = EmbeddingModel(front_end, blstm(front_end.n_bins, 3, n_layers=1, units=4), True, soft_scale=2.0)
    rng = np.random.default_rng(0)
    signal = sum(hum(pitch_hz, 20.0, rate_hz, rng) for pitch_hz in (110, 210))
    whole = Separator(model).separate(signal, rate_hz)
    monkeypatch.setattr(separation, "plan", partial(separation.plan, window_seconds=3.0, context_seconds=1.5))
    assert len(separation.plan(Recording.of(signal, rate_hz), front_end)) >= 5
    parts = Separator(model).separate(signal, rate_hz)
    assert parts.shape == whole.shape
    error = min(np.square(parts - whole[order]).mean() for order in ([0, 1], [1, 0]))
    assert 10 * np.log10(error / np.square(whole).mean()) < -40
    np.testing.assert_allclose(parts.sum(axis=0), signal, atol=1e-4)


@pytest.mark.parametrize("rate_hz", [8000, 10000, 22050, 44100, 44101])
@pytest.mark.parametrize("seconds", [0.1, 33.9, 34.1, 61.0, 100.0])
def test_windows_follow_each_other_and_start_where_frames_do(rate_hz, seconds):
    recording = Recording.of(np.zeros(round(seconds * rate_hz)), rate_hz)
    windows = separation.plan(recording, FrontEnd())
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
