"""Every format is decoded exactly, wherever reading begins; files that are cut, joined or mislabelled are noticed."""

import io
import os
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError

RATE_HZ, N_SAMPLES = 16000, 60_000
FORMATS = [("WAV", "PCM_16"), ("WAV", "GSM610"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "NMS_ADPCM_16"),
           ("WAV", "G721_32"), ("AIFF", "PCM_24"), ("AU", "G723_24"), ("CAF", "ALAC_16"),
           ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("VOC", "ULAW")]


def voice(n_samples=N_SAMPLES, seed=0):
    """Return a tone with noise, whose level changes."""
    time = np.arange(n_samples) / RATE_HZ
    noise = np.random.default_rng(seed).standard_normal(n_samples)
    return ((0.3 * np.sin(2 * np.pi * 300 * time) + 0.05 * noise) * np.sin(3 * time)).astype(np.float32)


def encoded(container, codec="PCM_16", signal=None):
    """Return the bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, voice() if signal is None else signal, RATE_HZ, codec, format=container)
    return file.getvalue()


def written(path, contents):
    path.write_bytes(contents)
    return path


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_any_part_equals_that_part_of_the_whole_file(tmp_path, container, codec):
    if codec not in soundfile.available_subtypes(container):
        pytest.skip(f"this libsndfile has no {codec} in {container}")
    path = written(tmp_path / "voice", encoded(container, codec))
    whole, rng = audio.read(path)[0], np.random.default_rng(0)
    np.testing.assert_allclose(whole, soundfile.read(path, dtype="float32", always_2d=True)[0].T, atol=1e-6)
    decoder = audio.Decoder(path)
    assert decoder.n_samples == whole.shape[1] >= N_SAMPLES - 1152 and not decoder.notes
    starts = [0, 20_000, 21_000, 20_500, 48_000, *rng.integers(0, whole.shape[1] - 2000, 5)]
    for start in map(int, starts):
        np.testing.assert_allclose(decoder.read(start, start + 1500), whole[:, start : start + 1500],
                                   atol=1e-6 if container == "MP3" else 0)  # libmpg123 rounds by the size of the call
    assert decoder.read(whole.shape[1] - 10, whole.shape[1] + 10).shape == (1, 10)


def test_windows_that_overlap_are_decoded_once(tmp_path, monkeypatch):
    path = written(tmp_path / "voice.ogg", encoded("OGG", "VORBIS"))
    opened = []
    decoder = audio.Decoder(path)
    monkeypatch.setattr(soundfile, "SoundFile", lambda path: opened.append(path))
    for start in range(0, 40_000, 10_000):
        assert decoder.read(start, start + 15_000).shape == (1, 15_000)
    assert not opened


@pytest.mark.parametrize(("container", "codec"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("FLAC", "PCM_16"),
                                                  ("MP3", "MPEG_LAYER_III")])
def test_joined_files_are_refused(tmp_path, container, codec):
    parts = encoded(container, codec) + encoded(container, codec, voice(seed=1))
    with pytest.raises(UserError, match="convert it to WAV"):
        audio.Decoder(written(tmp_path / "joined", parts))


@pytest.mark.parametrize(("container", "codec"), [*FORMATS, ("W64", "PCM_16"), ("RF64", "PCM_16")])
def test_of_half_a_file_the_half_is_used_with_a_sentence(tmp_path, container, codec):
    if codec not in soundfile.available_subtypes(container) or container == "CAF":  # half a CAF file cannot be opened
        pytest.skip("not in this libsndfile")
    signal = voice(4 * N_SAMPLES)
    contents = encoded(container, codec, signal)
    path = written(tmp_path / "half", contents[: len(contents) // 2])
    decoder = audio.Decoder(path)
    assert 0.4 < decoder.n_samples / len(signal) < 0.6
    assert len(decoder.notes) == 1 and "the header and the size of the file disagree" in decoder.notes[0]
    samples = decoder.read(0, decoder.n_samples)[0]
    assert len(samples) == decoder.n_samples
    whole = audio.read(written(tmp_path / "whole", contents))[0][0]
    np.testing.assert_allclose(samples[:N_SAMPLES], whole[:N_SAMPLES], atol=1e-6)


@pytest.mark.parametrize("codec", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize("stated", [1 / 3, 0, 2, None])
def test_all_data_of_a_wav_file_with_a_wrong_size_is_used(tmp_path, codec, stated):
    """A recorder that loses power leaves a size of 0, one that streams leaves the largest number."""
    contents = bytearray(encoded("WAV", codec))
    place = contents.index(b"data") + 4
    size = struct.unpack("<I", contents[place : place + 4])[0]
    contents[place : place + 4] = struct.pack("<I", 2**32 - 1 if stated is None else round(stated * size))
    decoder = audio.Decoder(written(tmp_path / "voice.wav", contents))
    assert decoder.n_samples == N_SAMPLES and len(decoder.notes) == 1 and "disagree" in decoder.notes[0]
    expected = audio.read(written(tmp_path / "whole.wav", encoded("WAV", codec)))[0]
    np.testing.assert_array_equal(decoder.read(30_000, 50_000), expected[:, 30_000:50_000])


def test_mp3_in_a_wav_file_lacks_only_what_encoders_add(tmp_path):
    """The header counts the padding of the encoder, which the decoder removes."""
    sound = encoded("MP3", "MPEG_LAYER_III")
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE_HZ, 8000, 1, 0, 12, 1, 2, 576, 1, 1393)
    chunks = b"".join(name + struct.pack("<I", len(data)) + data for name, data in (
        (b"fmt ", fmt), (b"fact", struct.pack("<I", N_SAMPLES + 1100)), (b"data", sound)))
    riff = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE"
    decoder = audio.Decoder(written(tmp_path / "voice.wav", riff + chunks))
    assert decoder.n_samples >= N_SAMPLES and not decoder.notes
    assert decoder.read(0, decoder.n_samples).shape == (1, decoder.n_samples)


def test_further_chunks_of_a_wav_file_are_no_sound(tmp_path):
    contents = encoded("WAV") + b"id3 " + struct.pack("<I", 4000) + bytes(4000)
    decoder = audio.Decoder(written(tmp_path / "voice.wav", contents))
    assert decoder.n_samples == N_SAMPLES and not decoder.notes


def test_a_wav_file_beyond_4_gb_is_read_to_its_end(tmp_path):
    """The size has 32 bits, and recorders write what is left of it. The file is sparse."""
    contents = bytearray(encoded("WAV"))
    place = contents.index(b"data") + 4
    n_bytes = 2**32 + 2 * N_SAMPLES
    contents[place : place + 4] = struct.pack("<I", n_bytes % 2**32)
    path = written(tmp_path / "long.wav", contents)
    with open(path, "r+b") as file:
        file.truncate(place + 4 + n_bytes)
        file.seek(-2 * N_SAMPLES, io.SEEK_END)
        file.write(contents[place + 4 :])
    decoder = audio.Decoder(path)
    assert decoder.n_samples == n_bytes // 2
    np.testing.assert_array_equal(decoder.read(n_bytes // 2 - N_SAMPLES, n_bytes // 2), audio.read(
        written(tmp_path / "voice.wav", encoded("WAV")))[0])


@pytest.mark.parametrize(("container", "growth"), [("AU", 2), ("CAF", 2)])
def test_bytes_that_the_header_does_not_state_are_mentioned(tmp_path, container, growth):
    decoder = audio.Decoder(written(tmp_path / "voice", growth * encoded(container)))
    assert decoder.n_samples == N_SAMPLES and "contains more, which is not read" in decoder.notes[0]


@pytest.mark.parametrize("rate_hz", [1, 999, 1_000_001])
def test_other_sample_rates_than_those_of_sound_are_refused(tmp_path, rate_hz):
    soundfile.write(tmp_path / "voice.wav", voice(2000), rate_hz)
    with pytest.raises(UserError, match="give a file with 1000 to 1000000 Hz"):
        audio.Decoder(tmp_path / "voice.wav")


def test_many_channels_are_mixed_block_by_block(tmp_path):
    soundfile.write(tmp_path / "many.wav", np.tile(voice(3000)[:, None], 65), RATE_HZ)
    with pytest.raises(UserError, match="has 65 channels, more than 64"):
        audio.Decoder(tmp_path / "many.wav")
    mixed = audio.Decoder(tmp_path / "many.wav", "mix").read(0, 3000)
    np.testing.assert_allclose(mixed[0], voice(3000), atol=1e-4)


def test_an_offset_of_both_channels_does_not_hide_that_they_cancel_each_other(tmp_path):
    signal = 0.1 * np.random.default_rng(0).standard_normal(16000)
    soundfile.write(tmp_path / "talk.wav", np.stack([signal, -0.9 * signal], axis=1) + 0.1, 16000, "FLOAT")
    with audio.Decoder(tmp_path / "talk.wav", "mix") as decoder:
        np.testing.assert_allclose(decoder.read(0, 16000)[0], signal + 0.1, atol=1e-6)


def test_channels_that_cancel_each_other(tmp_path, caplog):
    """Some devices record one microphone on two channels with opposite signs."""
    path, signal = tmp_path / "opposite.wav", voice()
    soundfile.write(path, np.stack([signal / 2, -signal], axis=1), RATE_HZ, "FLOAT")
    soundfile.write(tmp_path / "exact.wav", np.stack([signal, -signal], axis=1), RATE_HZ, "FLOAT")
    np.testing.assert_allclose(audio.read_mono(path, RATE_HZ), -signal / 4, atol=1e-6)  # 12 dB quieter: still a mean
    np.testing.assert_array_equal(audio.read_mono(tmp_path / "exact.wav", RATE_HZ), signal)
    assert "the channels cancel each other; channel 1, the loudest, is used" in caplog.text
    recording = Recording.open(tmp_path / "exact.wav", "mix")
    np.testing.assert_array_equal(recording.read(1000, 3000)[0], signal[1000:3000])
    assert "the channels cancel each other" in recording.notes[0]
    np.testing.assert_array_equal(audio.read_excerpt(tmp_path / "exact.wav", 1, 0.5, RATE_HZ), signal[16000:24000])


@pytest.mark.parametrize("sample", [np.inf, 3e38])
def test_samples_that_are_refused_later_raise_no_warning_of_numpy(sample, tmp_path):
    signal = 0.1 * np.random.default_rng(0).standard_normal((8000, 2)).astype(np.float32)
    signal[100] = sample
    soundfile.write(tmp_path / "huge.wav", signal, 8000, "FLOAT")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = Recording.open(tmp_path / "huge.wav", "mix")
        with pytest.raises(UserError, match="NaN, infinite or beyond"):
            recording.read(0, 8000)


def test_a_flac_that_states_no_length_is_refused_by_its_header(tmp_path):
    """As of a stream: the header has 0 samples."""
    path = tmp_path / "stream.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8000), 8000)
    header = bytearray(path.read_bytes())
    header[21] &= 0xF0
    header[22:26] = bytes(4)
    path.write_bytes(header)
    for whole in (True, False):
        with pytest.raises(UserError, match="stream.flac does not state its length"):
            audio.Decoder(path, whole=whole)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf_8_is_reported_as_such(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path / "caf") + b"\xe9.wav"))
    soundfile.write(tmp_path / "plain.wav", np.zeros(8000), 8000)
    (tmp_path / "plain.wav").rename(path)
    with pytest.raises(UserError, match="is not valid UTF-8, so the file cannot be opened; rename it"):
        audio.Decoder(path)


def id3_tag(picture=b"My talk"):
    """Return an ID3v2 tag that holds some bytes."""
    return b"ID3\4\0\0" + bytes(len(picture) >> shift & 127 for shift in (21, 14, 7, 0)) + picture


def ape_tag(picture):
    """Return an APEv2 tag, with header and footer."""
    item = struct.pack("<II", len(picture), 2) + b"Cover Art (Front)\0" + picture
    ends = [b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, flags) + bytes(8)
            for flags in (0xA0000000, 0x80000000)]
    return ends[0] + item + ends[1]


def test_a_tag_before_a_flac_file_is_skipped(tmp_path):
    data = encoded("FLAC")
    path = written(tmp_path / "tagged.flac", id3_tag() + data)
    np.testing.assert_array_equal(audio.read(path)[0], audio.read(written(tmp_path / "plain.flac", data))[0])
    with pytest.raises(UserError, match="contains several recordings"):
        audio.Decoder(written(tmp_path / "joined.flac", id3_tag() + data + data))


def test_the_bytes_of_a_picture_are_no_frames_of_an_mp3_file(tmp_path):
    """Wherever its tag stands. Random bytes look like frames now and then."""
    data, picture = encoded("MP3", "MPEG_LAYER_III"), np.random.default_rng(1).bytes(300_000)
    wanted = audio.Decoder(written(tmp_path / "plain.mp3", data)).n_samples
    for tagged in (data + ape_tag(picture), data + id3_tag(picture), id3_tag() + id3_tag(picture) + data,
                   id3_tag() + data + ape_tag(picture) + b"TAG".ljust(128, b"\0")):
        assert audio.Decoder(written(tmp_path / "tagged.mp3", tagged)).n_samples == wanted


@pytest.mark.parametrize(("signal", "codec", "end"), [
    (voice(48000), "PCM_16", b"TAG" + b"My song".ljust(125, b"\0")),
    (voice(48000), "PCM_16", ape_tag(b"My cover")),
    (voice(47999), "PCM_U8", b"LIST" + struct.pack("<I", 18) + b"INFOINAM" + struct.pack("<I", 6) + b"hello\0")])
def test_tags_and_chunks_after_the_samples_of_a_wav_file_are_no_sound(tmp_path, signal, codec, end):
    """Of an odd number of bytes, the padding is missing, as some programs write it."""
    data = encoded("WAV", codec, signal)
    data = data[: data.index(b"data") + 8 + len(signal) * (2 if codec == "PCM_16" else 1)]
    decoder = audio.Decoder(written(tmp_path / "tagged.wav", data + end))
    assert (decoder.n_samples, decoder.notes) == (len(signal), [])


def test_samples_after_the_stated_ones_are_read(tmp_path):
    """As after an interrupted recording: the header states half of the samples."""
    data = bytearray(encoded("WAV", "PCM_16", voice(48000)))
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 48000)
    decoder = audio.Decoder(written(tmp_path / "recorder.wav", data))
    assert decoder.n_samples == 48000 and "disagree" in decoder.notes[0]


@pytest.mark.parametrize("rate_hz", [0, -8000, float("nan"), float("inf"), "8000"])
def test_an_impossible_sample_rate_is_refused(tmp_path, rate_hz):
    with pytest.raises(UserError, match="is not possible; give a number of Hz"):
        audio.load_audio(written(tmp_path / "voice.wav", encoded("WAV")), rate_hz)
