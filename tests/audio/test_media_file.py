"""Files that only FFmpeg can decode: exact wherever reading begins, as long as FFmpeg makes them; damaged files."""

import av
import numpy as np
import pytest
import soundfile
from media_files import KINDS, decoded, example, lag, write_media

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError

INHERENT_LAG = {"wma.wma", "adts.aac", "amr.3gp", "amr.amr"}  # these files do not state the delay of their encoder
if av.library_versions["libavformat"] < (62, 12):  # FFmpeg before 8.1
    INHERENT_LAG.add("two_streams.mkv")  # it keeps the delay of AAC, 1,024 samples, at the start of a Matroska file


@pytest.mark.parametrize("name", KINDS)
def test_any_part_equals_that_part_of_what_ffmpeg_decodes(tmp_path, name):
    codec, rate_hz = KINDS[name]
    source = example(rate_hz)
    path = write_media(tmp_path / name, codec, rate_hz, [source] * (2 if name.startswith("two") else 1))
    expected, decoder = decoded(path), audio.Decoder(path)
    assert (decoder.sample_rate_hz, decoder.n_channels, decoder.n_samples) == (rate_hz, *expected.shape)
    assert abs(decoder.n_samples - len(source)) <= 2048
    whole = decoder.read(0, decoder.n_samples)
    np.testing.assert_allclose(whole, expected, atol=1e-7)
    for start in [20_000, 20_500, *np.random.default_rng(0).integers(0, whole.shape[1] - 2000, 3)]:
        np.testing.assert_array_equal(decoder.read(int(start), int(start) + 1500), whole[:, start : start + 1500])
    if name not in INHERENT_LAG:
        assert lag(whole[0], source) == 0
    assert len(decoder.notes) == name.startswith("two")


def test_high_efficiency_aac_has_the_rate_of_its_extension(tmp_path):
    """The header states 22050 Hz, and a decoder with spectral band replication returns 44100 Hz."""
    path, rate_hz = tmp_path / "he.m4a", 22050
    write_media(path, "aac", rate_hz)
    with av.open(str(path)) as source, av.open(str(tmp_path / "sbr.m4a"), "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        # AudioSpecificConfig: AAC-LC, 22050 Hz, mono; then SBR with 44100 Hz (ISO/IEC 14496-3, 1.6.5)
        stream.codec_context.extradata = bytes([0b00010_011, 0b1_0001_000, 0x2B7 >> 3, (0x2B7 & 7) << 5 | 5,
                                                0b1_0100_000])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    recording = Recording.open(tmp_path / "sbr.m4a")
    assert recording.sample_rate_hz == 44100 and abs(recording.n_samples - 2 * len(example(rate_hz))) < 4096
    assert recording.n_samples == decoded(tmp_path / "sbr.m4a").shape[1]


def test_eight_channels_are_decoded(tmp_path):
    """PyAV 18.1 would read beyond the last plane of such a frame."""
    signal = example(16000)[:16000]
    path = write_media(tmp_path / "surround.m4a", "alac", 16000, [signal], n_channels=8)
    decoder = audio.Decoder(path)
    assert (decoder.n_channels, decoder.n_samples) == (8, 16000)
    np.testing.assert_allclose(decoder.read(0, 16000), np.tile(signal, (8, 1)), atol=1e-4)
    np.testing.assert_allclose(audio.Decoder(path, 8).read(3000, 4000)[0], signal[3000:4000], atol=1e-4)


def test_a_stream_is_chosen_by_its_number(tmp_path):
    rate_hz = 16000
    signals = [example(rate_hz), example(rate_hz, 1)]
    path = write_media(tmp_path / "two.mkv", "flac", rate_hz, signals)
    for number, signal in enumerate(signals, start=1):
        recording = Recording.open(path, stream=number)
        np.testing.assert_allclose(recording.read(0, recording.n_samples)[0], signal, atol=1e-4)
        assert recording.notes == [f"the file has 2 streams of sound, and stream {number} is used; choose another with "
                                   "--stream N"]
    with pytest.raises(UserError, match="has 2 streams of sound and no stream 3; choose --stream 1 to 2"):
        Recording.open(path, stream=3)
    soundfile.write(tmp_path / "one.flac", signals[0], rate_hz)
    write_media(tmp_path / "one.mkv", "flac", rate_hz, signals[:1])
    for name in ("one.flac", "one.mkv"):
        with pytest.raises(UserError, match=f"{name} has one stream of sound; leave out --stream"):
            Recording.open(tmp_path / name, stream=2)


def test_damaged_files_give_what_can_be_decoded_or_one_sentence(tmp_path, capfd):
    contents = write_media(tmp_path / "whole.m4a", "aac", 16000).read_bytes()
    (tmp_path / "cut.m4a").write_bytes(contents[: len(contents) // 2])  # the index is at the end
    noise = np.random.default_rng(0).bytes(len(contents))
    start, stop = contents.index(b"mdat") + 8, contents.index(b"moov") - 4
    (tmp_path / "noise.m4a").write_bytes(contents[:start] + noise[start:stop] + contents[stop:])
    place = (start + stop) // 2
    (tmp_path / "damaged.m4a").write_bytes(contents[:place] + noise[:2000] + contents[place + 2000 :])
    (tmp_path / "random.m4a").write_bytes(noise)
    for name, wanted in (("cut", "lacks its index"), ("noise", "cannot be decoded"), ("random", "is not audio")):
        with pytest.raises(UserError, match=f"{name}.m4a.* {wanted}"):
            audio.Decoder(tmp_path / f"{name}.m4a")
    damaged = audio.Decoder(tmp_path / "damaged.m4a")
    assert "packets cannot be decoded and are left out" in damaged.notes[0]
    assert damaged.n_samples == damaged.read(0, 10**6).shape[1] > 0.7 * len(example(16000))
    half = write_media(tmp_path / "half.webm", "libopus", 48000)
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    decoder = audio.Decoder(half)
    assert 0.4 < decoder.n_samples / len(example(48000)) < 0.6 and "disagree" in decoder.notes[0]
    assert capfd.readouterr().err == ""  # FFmpeg logs nothing


def test_files_without_usable_sound_are_refused(tmp_path):
    encrypted = write_media(tmp_path / "encrypted.mp4", "aac", 16000, encryption_scheme="cenc-aes-ctr",
                            encryption_key="0" * 32, encryption_kid="1" * 32)
    bought = tmp_path / "bought.m4p"
    bought.write_bytes(write_media(tmp_path / "own.m4a", "aac", 16000).read_bytes().replace(b"mp4a", b"drms"))
    silent = write_media(tmp_path / "video.mp4", "aac", 16000, [])
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:5,\nown.m4a\n")
    for path, wanted in ((encrypted, "is encrypted"), (bought, "is encrypted"), (silent, "has no sound"),
                         (tmp_path / "list.m3u8", "is not audio"),  # a playlist could name any file
                         ("https://example.org/talk.mp3", "curl -LO https://example.org/talk.mp3")):
        with pytest.raises(UserError, match=wanted):
            audio.Decoder(path)


def test_the_header_suffices_for_an_excerpt(tmp_path):
    path = write_media(tmp_path / "aac.m4a", "aac", 44100)
    assert abs(audio.Decoder(path, whole=False).n_samples - len(example(44100))) < 1024
    whole = audio.read_mono(path, 44100)
    np.testing.assert_allclose(audio.read_excerpt(path, 2.0, 0.5, 44100), whole[88200 : 88200 + 22050], atol=1e-6)


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 96000])
def test_written_m4a_files_are_read_back(tmp_path, n_channels, rate_hz):
    signal, path = example(rate_hz), tmp_path / "voice.m4a"
    with audio.open_writers([path], rate_hz, n_channels, len(signal), "a comment") as write:
        for start in range(0, len(signal), 5001):
            write(np.tile(signal[start : start + 5001], (1, n_channels, 1)))
    channels, read_hz = audio.read(path)
    assert read_hz == rate_hz and len(channels) == n_channels and 0 <= channels.shape[1] - len(signal) < 1024
    assert lag(channels[0], signal) == 0
    error = channels[0, : len(signal)] - signal
    assert np.square(error).sum() < 10**-2.5 * np.square(signal).sum()  # 25 dB
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == "a comment"


@pytest.mark.parametrize("to_hz", [8000, 16000, 44100])
def test_parts_are_resampled_as_the_whole_is(to_hz):
    signals = np.stack([[example(16000)], [example(16000)[::-1]]])
    cuts = [0, 700, 703, 40_000, signals.shape[2]]
    parts = [signals[..., start:stop] for start, stop in zip(cuts, cuts[1:], strict=False)]
    result = np.concatenate([*audio.resample_parts(parts, 16000, to_hz)], axis=2)
    whole = np.stack([[audio.resample(channel, 16000, to_hz) for channel in signal] for signal in signals])
    assert result.shape == whole.shape and result.shape[2] == round(signals.shape[2] * to_hz / 16000)
    np.testing.assert_allclose(result, whole, atol=1e-5)
