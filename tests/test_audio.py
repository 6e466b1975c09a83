"""Reading, resampling and writing; files that appear whole or not at all."""

import numpy as np
import pytest
import soundfile

from lab41_sce import audio
from lab41_sce.errors import UserError


def tone(rate_hz, seconds=1.0, hz=440.0):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_written_signals_are_read_back(tmp_path, suffix):
    path = tmp_path / f"tone{suffix}"
    audio.write(path, tone(16000), 16000)
    channels, rate_hz = audio.read(path)
    assert rate_hz == 16000 and channels.shape == (1, 16000) and channels.dtype == np.float32
    np.testing.assert_allclose(channels[0, 100:-100], tone(16000)[100:-100], atol=0.02 if suffix == ".ogg" else 1e-4)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_minutes_of_a_lossy_format(tmp_path, suffix):
    """libvorbis puts what it is given at once on the stack, which is soon full."""
    path, part = tmp_path / f"long{suffix}", tone(44100, 60)
    audio.write(path, np.tile(part, 3), 44100)
    assert abs(audio.read(path)[0].shape[1] - 180 * 44100) < 0.1 * 44100
    with audio.writers([path], 44100, 2, 180 * 44100) as write:
        for _ in range(3):
            write(np.stack([[part, part]]))
    channels, _ = audio.read(path)
    assert channels.shape[0] == 2 and abs(channels.shape[1] - 180 * 44100) < 0.1 * 44100


def test_channels_are_averaged_and_rates_converted(tmp_path):
    stereo = np.stack([2 * tone(44100), np.zeros(44100)])
    audio.write(tmp_path / "stereo.wav", np.clip(stereo, -1, 1), 44100)
    mono = audio.read_mono(tmp_path / "stereo.wav", 10000)
    assert len(mono) == 10000
    np.testing.assert_allclose(mono[200:-200], tone(10000)[200:-200], atol=1e-3)


def test_an_excerpt_is_a_part_of_the_whole(tmp_path):
    audio.write(tmp_path / "tone.flac", tone(16000, seconds=3), 16000)
    whole = audio.read_mono(tmp_path / "tone.flac", 16000)
    part = audio.read_excerpt(tmp_path / "tone.flac", 1.25, 0.5, 16000)
    np.testing.assert_array_equal(part, whole[20000:28000])
    assert len(audio.read_excerpt(tmp_path / "tone.flac", 2.75, 5, 16000)) == 4000
    assert len(audio.read_excerpt(tmp_path / "tone.flac", 9, 1, 16000)) == 0


def test_samples_that_are_no_numbers_are_told(tmp_path):
    soundfile.write(tmp_path / "bad.wav", np.array([0.0, np.nan, 1.0]), 16000, subtype="FLOAT")
    with pytest.raises(UserError, match="NaN or infinite"):
        audio.read(tmp_path / "bad.wav")


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "voice.wav"
    audio.write(path, tone(8000), 8000)
    before = path.read_bytes()
    with pytest.raises(UserError, match="could not be written"):
        audio.write(path, tone(8000), 8000, subtype="NO_SUCH")
    with pytest.raises(UserError, match="could not be written"):
        audio.write(tmp_path / "voice.unknown", tone(8000), 8000)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
