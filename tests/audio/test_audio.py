"""Reading, resampling and writing; files appear complete or not at all."""

import os
import resource
import signal as system_signals
import threading
import time

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


def test_load_audio_keeps_channels_and_resamples(tmp_path):
    audio.write(tmp_path / "mono.wav", tone(44100), 44100)
    audio.write(tmp_path / "stereo.wav", np.stack([tone(44100), -tone(44100)]), 44100)
    mono, rate_hz = audio.load_audio(tmp_path / "mono.wav")
    assert mono.shape == (44100,) and mono.dtype == np.float32 and rate_hz == 44100
    stereo, rate_hz = audio.load_audio(tmp_path / "stereo.wav", 10000)
    assert stereo.shape == (2, 10000) and rate_hz == 10000
    np.testing.assert_allclose(stereo[1, 200:-200], -tone(10000)[200:-200], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_minutes_of_a_lossy_format(tmp_path, suffix):
    """libvorbis copies the samples of one call to the stack, which can overflow."""
    path, part = tmp_path / f"long{suffix}", tone(44100, 60)
    audio.write(path, np.tile(part, 3), 44100)
    assert abs(audio.read(path)[0].shape[1] - 180 * 44100) < 0.1 * 44100
    with audio.open_writers([path], 44100, 2, 180 * 44100) as write:
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


def test_an_excerpt_equals_that_part_of_the_file(tmp_path):
    audio.write(tmp_path / "tone.flac", tone(16000, seconds=3), 16000)
    whole = audio.read_mono(tmp_path / "tone.flac", 16000)
    part = audio.read_excerpt(tmp_path / "tone.flac", 1.25, 0.5, 16000)
    np.testing.assert_array_equal(part, whole[20000:28000])
    assert len(audio.read_excerpt(tmp_path / "tone.flac", 2.75, 5, 16000)) == 4000
    assert len(audio.read_excerpt(tmp_path / "tone.flac", 9, 1, 16000)) == 0


def test_memory_does_not_follow_a_wrong_header(tmp_path):
    """A FLAC header can state 36 bits of samples: 250 GB."""
    soundfile.write(tmp_path / "a.flac", 0.1 * np.ones(30_000), 16000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21:26] = bytes([data[21] | 15]) + b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(data)
    assert soundfile.info(tmp_path / "a.flac").frames == 2**36 - 1
    decoder = audio.Decoder(tmp_path / "a.flac")
    assert 28_000 < decoder.n_samples <= 30_000 and "disagree" in decoder.notes[0]
    assert audio.read(tmp_path / "a.flac")[0].shape == (1, decoder.n_samples)


def test_samples_that_are_not_finite_are_refused(tmp_path):
    soundfile.write(tmp_path / "bad.wav", np.array([0.0, np.nan, 1.0]), 16000, subtype="FLOAT")
    with pytest.raises(UserError, match="NaN or infinite"):
        audio.read(tmp_path / "bad.wav")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a"])
def test_a_full_disk_leaves_no_incomplete_file(tmp_path, suffix):
    """libsndfile reports no error if the disk is full when it closes a file."""
    path, signal = tmp_path / f"voice{suffix}", np.random.default_rng(0).standard_normal(160000).astype(np.float32) / 5
    with audio.open_writers([path], 16000, 1, len(signal)) as write:
        write(signal[None, None])
    before = path.read_bytes()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    for missing in (200, len(before) // 2, len(before)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - missing, unlimited[1]))
        try:
            with pytest.raises(UserError, match=f"^voice{suffix} could not .* .File too large"), audio.open_writers(
                    [path], 16000, 1, len(signal)) as write:
                write(signal[None, None])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a"])
def test_a_single_file_is_complete_or_the_full_disk_is_named(tmp_path, suffix):
    path, signal = tmp_path / f"voice{suffix}", np.random.default_rng(0).standard_normal(160000).astype(np.float32) / 5
    audio.write(path, signal, 16000)
    before = path.read_bytes()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    for missing in (200, len(before) // 2, len(before)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - missing, unlimited[1]))
        try:
            with pytest.raises(UserError, match="File too large"):
                audio.write(path, signal, 16000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert path.read_bytes() == before


def test_files_without_a_length_are_refused(tmp_path):
    """An MP3 of variable bitrate without its Xing header, and a FLAC that was streamed."""
    loud = np.concatenate([np.random.default_rng(0).standard_normal(80000) / 5, np.zeros(160000)]).astype(np.float32)
    soundfile.write(tmp_path / "whole.mp3", loud, 16000, bitrate_mode="VARIABLE")
    data = (tmp_path / "whole.mp3").read_bytes()
    (tmp_path / "streamed.mp3").write_bytes(data[data.index(data[:2], 4):])
    soundfile.write(tmp_path / "whole.flac", loud, 16000)
    header = bytearray((tmp_path / "whole.flac").read_bytes())
    header[21] &= 0xF0
    header[22:26] = bytes(4)
    (tmp_path / "streamed.flac").write_bytes(header)
    for suffix in (".mp3", ".flac"):
        assert audio.Decoder(tmp_path / f"whole{suffix}").n_samples == len(loud)
        with pytest.raises(UserError, match="does not state its length"):
            audio.Decoder(tmp_path / f"streamed{suffix}")


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 20.0])
def test_the_length_of_mp3_files_is_right(tmp_path, rate_hz, seconds):
    """Also with a picture before the sound, whose bytes can look like frames."""
    path = tmp_path / "whole.mp3"
    soundfile.write(path, tone(rate_hz, seconds), rate_hz)
    picture = np.random.default_rng(0).bytes(300_000)
    header = b"ID3\4\0\0" + bytes(len(picture) >> shift & 127 for shift in (21, 14, 7, 0))
    for data in (path.read_bytes(), header + picture + path.read_bytes()):
        path.write_bytes(data)
        assert audio.Decoder(path).n_samples == soundfile.info(path).frames == len(tone(rate_hz, seconds))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a"])
def test_an_interrupted_write_leaves_no_file(tmp_path, suffix):
    """Python can run the handler of Ctrl-C at any moment, also in callbacks of libsndfile."""
    part, voice = tone(44100, 2)[None, None], tmp_path / f"voice{suffix}"
    usual = system_signals.signal(system_signals.SIGINT, system_signals.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), audio.open_writers([voice], 44100, 1, 44100 * 200) as write:
            threading.Timer(0.1, os.kill, (os.getpid(), system_signals.SIGINT)).start()
            end = time.monotonic() + 10
            while time.monotonic() < end:
                write(part)
    finally:
        system_signals.signal(system_signals.SIGINT, usual)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "voice.wav"
    audio.write(path, tone(8000), 8000)
    before = path.read_bytes()
    with pytest.raises(UserError, match="could not be written"):
        audio.write(path, tone(8000), 8000, subtype="NO_SUCH")
    with pytest.raises(UserError, match="could not be written"):
        audio.write(tmp_path / "voice.unknown", tone(8000), 8000)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_flac_has_high_rates_in_tens_of_hertz(tmp_path):
    for rate_hz in (65535, 88200):
        audio.write(tmp_path / "voice.flac", tone(8000), rate_hz)
        assert soundfile.info(tmp_path / "voice.flac").samplerate == rate_hz
    with pytest.raises(UserError, match="voice.flac cannot have .* of 88201 Hz.*at most 65535, or a multiple of 10 Hz"):
        audio.write(tmp_path / "voice.flac", tone(8000), 88201)


def test_inputs_at_which_encoders_would_crash(tmp_path):
    """libvorbis crashes at 768 kHz, LAME at very large samples, which the voices of a damaged file can have."""
    with pytest.raises(UserError, match="loud.ogg cannot have a sample rate of 768000 Hz.*OGG: at most 200000 Hz"), \
            audio.open_writers([tmp_path / "loud.ogg"], 768000, 1, 300):
        pass
    with audio.open_writers([tmp_path / "loud.mp3"], 48000, 2, 1) as write:
        write(np.full((1, 2, 1), 1e30, np.float32))
    assert [file.name for file in tmp_path.iterdir()] == ["loud.mp3"]
