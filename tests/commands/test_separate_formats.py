"""`lab41-sce separate`: recordings of many kinds, a pipe, an address; format, rate and order of the voices."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from media_files import KINDS, example, lag, write_media

from lab41_sce import audio
from lab41_sce.audio import pipe
from lab41_sce.commands import separate
from lab41_sce.separation.result import Separation
from lab41_sce.separation.separator import Separator

RATE_HZ, SECONDS = 16000, 2


@pytest.fixture(autouse=True)
def untrained(tiny_model, monkeypatch):
    """Separate with an untrained model, whose voices add up to the recording, too."""
    separator = Separator(tiny_model)
    monkeypatch.setattr(separate, "load_separator", lambda *_: separator)


@pytest.fixture
def talk(tmp_path):
    """Write two seconds of an example as WAV."""
    soundfile.write(tmp_path / "talk.wav", example(RATE_HZ)[: SECONDS * RATE_HZ], RATE_HZ, "FLOAT")
    return tmp_path / "talk.wav"


def separated(*arguments):
    return separate.main([*map(str, arguments), "--speakers", "2"])


def voices_of(folder, stem, suffix=".wav"):
    return [audio.read(folder / f"{stem}_{number}{suffix}") for number in (1, 2)]


@pytest.mark.parametrize("name", KINDS)
def test_the_voices_of_any_kind_add_up_to_the_recording(tmp_path, capsys, name):
    codec, rate_hz = KINDS[name]
    signal = example(rate_hz)[: SECONDS * rate_hz]
    path = write_media(tmp_path / name, codec, rate_hz, [signal] * (2 if name.startswith("two") else 1))
    assert separated(path, "--out-dir", tmp_path / "out") == 0
    voices = voices_of(tmp_path / "out", path.stem)
    expected = audio.read(path)[0]
    assert {voice_hz for _, voice_hz in voices} == {rate_hz}
    total = sum(voice for voice, _ in voices)
    assert total.shape == expected.shape and lag(total[0], expected[0]) == 0
    np.testing.assert_allclose(total, expected, atol=1e-4)
    assert ("streams of sound" in capsys.readouterr().err) == name.startswith("two")


def test_a_stream_is_separated(tmp_path):
    signals = [np.zeros(8000, np.float32), example(8000)[:8000]]
    path = write_media(tmp_path / "two.mkv", "flac", 8000, signals)
    assert separated(path, "--stream", "2", "--out-dir", tmp_path) == 0
    np.testing.assert_allclose(sum(voice for voice, _ in voices_of(tmp_path, "two"))[0], signals[1], atol=1e-4)


@pytest.mark.parametrize(("format", "subtype"), [("wav", "FLOAT"), ("flac", "PCM_24"), ("mp3", "MPEG_LAYER_III"),
                                                 ("ogg", "VORBIS"), ("m4a", None)])
def test_format_and_rate_are_chosen(talk, tmp_path, format, subtype):
    assert separated(talk, "--format", format, "--rate", "22050", "--out-dir", tmp_path / "out", "--plot") == 0
    voices = voices_of(tmp_path / "out", "talk", f".{format}")
    expected = audio.resample(audio.read(talk)[0][0], RATE_HZ, 22050)
    for voice, rate_hz in voices:
        assert rate_hz == 22050 and 0 <= voice.shape[1] - SECONDS * 22050 < (1024 if format == "m4a" else 1)
    total = sum(voice for voice, _ in voices)[0, : len(expected)]
    assert lag(total, expected) == 0
    assert np.square(total - expected).sum() < 0.03 * np.square(expected).sum()
    if subtype:
        assert soundfile.info(tmp_path / "out" / f"talk_1.{format}").subtype == subtype
    assert (tmp_path / "out" / "talk_spectrograms.png").exists()
    again = separated(tmp_path / "out", "--out-dir", tmp_path / "again")  # the voices are recognised
    assert again == 1 and not (tmp_path / "again").exists()


@pytest.mark.parametrize(("suffix", "wanted"), [(".wav", ".wav"), (".flac", ".flac"), (".mp3", ".wav"),
                                                (".ogg", ".wav"), (".aiff", ".wav")])
def test_lossy_recordings_give_wav_files(talk, tmp_path, suffix, wanted):
    recording = tmp_path / f"other{suffix}"
    soundfile.write(recording, audio.read(talk)[0][0], RATE_HZ)
    assert separated(recording, "--out-dir", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"other_1{wanted}", f"other_2{wanted}"]


def test_impossible_choices_are_refused(talk, tmp_path, capsys):
    write_media(tmp_path / "one.m4a", "aac", RATE_HZ)
    for arguments, wanted in (
        ([talk, "--format", "mp3", "--rate", "96000"], "talk_1.mp3 cannot have a sample rate of 96000 Hz"),
        ([talk, "--format", "m4a", "--rate", "9000"], "M4A: 7350, 8000"),
        ([talk, "--rate", "10"], "--rate 10 is not possible"),
        ([talk, "--stream", "0"], "--stream 0 is not possible"),
        ([tmp_path / "one.m4a", "--stream", "2"], "one.m4a has one stream of sound; leave out --stream"),
        (["https://example.org/a.mp3"], "'curl -LO https://example.org/a.mp3'"),
        ([talk, "--enroll", "https://example.org/a.mp3"], "is an address"),
    ):
        assert separated(*arguments, "--out-dir", tmp_path / "out") == 1
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ") and wanted in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_voices_are_numbered_in_the_order_of_speech(talk, tmp_path, monkeypatch, order):
    expected = separate.load_separator().separate(str(talk), n_speakers=2)
    segments = [expected.activity.segments()[index] for index in order]
    monkeypatch.setattr(Separation, "order_of_speech", lambda self: order)
    assert separated(talk, "--out-dir", tmp_path / "out", "--json") == 0
    for index, (voice, _) in zip(order, voices_of(tmp_path / "out", "talk"), strict=True):
        np.testing.assert_allclose(voice[0], expected.voices[index], atol=1e-6)
    described = json.loads((tmp_path / "out" / "talk.json").read_text())["voices"]
    assert [voice["file"] for voice in described] == ["talk_1.wav", "talk_2.wav"]
    for voice, pairs in zip(described, segments, strict=True):
        np.testing.assert_allclose(voice["speaks"], pairs, atol=1e-3)


def send(monkeypatch, contents, terminal=False):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(contents), isatty=lambda: terminal))


@pytest.mark.parametrize("kind", ["wav", "m4a"])
def test_a_pipe_is_separated(talk, tmp_path, monkeypatch, kind):
    path = talk if kind == "wav" else write_media(tmp_path / "aac.m4a", "aac", RATE_HZ)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(pipe.tempfile, "tempdir", None)
    send(monkeypatch, path.read_bytes())
    assert separated("-", "--out-dir", tmp_path / "out") == 0
    total = sum(voice for voice, _ in voices_of(tmp_path / "out", "stdin"))
    np.testing.assert_allclose(total, audio.read(path)[0], atol=1e-4)
    assert not [*(tmp_path / "temporary").iterdir()]


def test_a_pipe_without_a_recording_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipe, "MAX_BYTES", 1000)
    for contents, terminal, wanted in ((b"text", False, "standard input (-) is not audio"),
                                       (b"", False, "standard input (-) is empty"),
                                       (bytes(1001), False, "has more than"), (b"", True, "is a terminal")):
        send(monkeypatch, contents, terminal)
        assert separated("-", "--out-dir", tmp_path / "out") == 1
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and wanted in lines[0]
    assert not (tmp_path / "out").exists()


def test_progress_writes_nothing_into_a_log(talk, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(separate, "MIN_BAR_SECONDS", 0)
    (tmp_path / "other.wav").write_bytes(talk.read_bytes())
    assert separated(talk, tmp_path / "other.wav", "--out-dir", tmp_path / "out") == 0
    assert separated(talk, "--out-dir", tmp_path / "alone") == 0
    assert capsys.readouterr().err == ""
