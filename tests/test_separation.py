"""The Separator and its command line: any rate, length and channels in; voices that sum to the recording out."""

import numpy as np
import pytest
import soundfile
import soxr

from lab41_sce import separate
from lab41_sce.errors import UserError
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
def test_voices_sum_to_the_resampled_input(tiny_model, rate_hz, n_speakers):
    signal = noise(3, rate_hz)[:, 0]
    voices = Separator(tiny_model).separate(signal, rate_hz, n_speakers)
    assert voices.shape == (n_speakers, len(signal)) and voices.dtype == np.float32
    there = soxr.resample(signal, rate_hz, 10000, quality="HQ")
    back = soxr.resample(there, 10000, rate_hz, quality="HQ")[: len(signal)]
    np.testing.assert_allclose(voices.sum(axis=0)[: len(back)], back, atol=1e-4)


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
        "two people_1.wav", "two people_2.wav", "two people_spectrograms.png"]
    assert "two people_1.wav" in capsys.readouterr().out
    for number in (1, 2):
        info = soundfile.info(out / f"two people_{number}.wav")
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
    assert capsys.readouterr().err.count("written twice or replace a recording") == 2
    assert second.read_bytes() == before and not (tmp_path / "talk_2.wav").exists()


def test_three_minutes(model_file, tmp_path):
    soundfile.write(tmp_path / "long.wav", noise(180, 8000), 8000)
    assert separate.main([str(tmp_path / "long.wav"), "--model", str(model_file), "--out-dir", str(tmp_path)]) == 0
    voices = sum(soundfile.read(tmp_path / f"long_{number}.wav")[0] for number in (1, 2))
    there = soxr.resample(noise(180, 8000)[:, 0], 8000, 10000, quality="HQ")
    np.testing.assert_allclose(voices, soxr.resample(there, 10000, 8000, quality="HQ")[: len(voices)], atol=1e-4)


def test_bad_input_gets_one_sentence(model_file, tmp_path, capsys):
    text, empty, good = tmp_path / "text.wav", tmp_path / "empty.wav", tmp_path / "good.wav"
    text.write_text("I am not audio")
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
        ([str(tmp_path), *model], "is a directory"),
        ([str(tmp_path / "absent.wav"), *model], "no such file"),
        ([str(good), "--model", str(tmp_path / "absent"), "--out-dir", str(tmp_path)], "there is no model"),
        ([str(good), "--model", str(good), "--out-dir", str(tmp_path)], "good.wav is no model"),
        ([str(good), "--model", str(broken), "--out-dir", str(tmp_path)], "cannot be loaded as a model"),
        ([str(good), *model, "--speakers", "0"], "--speakers 0"),
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
    assert separate.main([*files, "--model", str(model_file), "--out-dir", str(tmp_path / "out")]) == 1
    assert len(list((tmp_path / "out").iterdir())) == 2
