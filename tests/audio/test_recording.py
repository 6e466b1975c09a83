"""A recording, in a file or in memory, is read in parts."""

import numpy as np
import pytest
import soundfile

from lab41_sce.audio import recording as module
from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError

RATE_HZ = 16000


def test_a_file_is_read_in_parts(tmp_path):
    signal = 0.1 * np.random.default_rng(0).standard_normal((48000, 2)).astype(np.float32)
    for suffix in (".wav", ".flac", ".ogg", ".mp3"):
        soundfile.write(tmp_path / f"talk{suffix}", signal, 16000)
        whole, _ = soundfile.read(tmp_path / f"talk{suffix}", dtype="float32", always_2d=True)
        recording = Recording.open(tmp_path / f"talk{suffix}")
        assert (recording.n_channels, recording.n_samples, recording.seconds) == (2, len(whole), len(whole) / 16000)
        for start, stop in ((0, 5000), (5000, 9000), (2000, 7000), (40000, len(whole))):
            np.testing.assert_allclose(recording.read(start, stop), whole[start:stop].T, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_integers_are_divided_by_their_full_scale(dtype):
    info, signal = np.iinfo(dtype), np.sin(0.1 * np.arange(RATE_HZ)).astype(np.float32) / 5
    half = (info.max - info.min + 1) / 2
    integers = np.round(signal * half + (info.max + info.min + 1) / 2).astype(dtype)
    np.testing.assert_allclose(Recording.of(integers, RATE_HZ).read(0, RATE_HZ)[0], signal, atol=1.1 / half)


@pytest.mark.parametrize(("channels", "expected"), [("each", [[1, 3], [3, 5]]), ("mix", [[2, 4]]), (2, [[3, 5]])])
def test_channels_are_selected(tmp_path, channels, expected):
    soundfile.write(tmp_path / "stereo.wav", np.array([[1, 3], [3, 5]]) / 8, RATE_HZ, "FLOAT")
    recording = Recording.open(tmp_path / "stereo.wav", channels)
    assert recording.n_channels == len(expected)
    np.testing.assert_allclose(8 * recording.read(0, 2), expected)


def test_a_missing_channel_is_refused(tmp_path):
    soundfile.write(tmp_path / "mono.wav", np.zeros(10), RATE_HZ)
    wanted = "mono.wav has 1 channel, so there is no channel 2; give 1, mix or each, like this: --channels mix"
    with pytest.raises(UserError, match=wanted):
        Recording.open(tmp_path / "mono.wav", 2)


@pytest.mark.parametrize("rate_hz", [True, 0, -8000, 16000.0, 2**31, "16000", None])
def test_impossible_sample_rates_are_refused(rate_hz):
    with pytest.raises(UserError, match="give whole Hz"):
        Recording.of(np.ones(1600, np.float32), rate_hz)


@pytest.mark.parametrize("block_samples", [1000, 2**18])
def test_the_constant_offset_of_each_channel_is_measured_block_by_block(tmp_path, monkeypatch, block_samples):
    monkeypatch.setattr(module, "BLOCK_SAMPLES", block_samples)
    signal = 0.1 * np.random.default_rng(0).standard_normal((48000, 3)) + [0.1, 0.0, -0.01]
    soundfile.write(tmp_path / "talk.wav", signal, RATE_HZ, "FLOAT")
    offset = Recording.open(tmp_path / "talk.wav").offset
    assert offset.shape == (3, 1) and offset.dtype == np.float32
    np.testing.assert_allclose(offset[:, 0], [0.1, 0.0, -0.01], atol=2e-3)
    assert offset[1, 0] == 0  # the mean of noise is no offset
    np.testing.assert_array_equal(Recording.of(np.full(RATE_HZ, 0.3, np.float32), RATE_HZ).offset, np.float32([[0.3]]))
