"""Any input gives a right answer or one clear sentence; never a traceback, a hang, or a partly written file.

`make test` tries some dozens of cases in each test; FUZZ_CASES=2000 tries 2000, and others in every run.
`tests/reliability/test_inputs.py` counts how they end.
"""

import io
import os
import struct
from unittest import mock

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab41_sce.audio.recording import Recording
from lab41_sce.commands import separate
from lab41_sce.errors import UserError
from lab41_sce.evaluation import metrics
from lab41_sce.models.clustering import fit_centroids, masks_from_centroids
from lab41_sce.plain_data import flatten
from lab41_sce.runs.config_schema import Settings, check, compose_config
from lab41_sce.separation.separator import Separator
from lab41_sce.setting import defaults

CASES = int(os.environ.get("FUZZ_CASES", 40))
RATES = (1, 7, 100, 4000, 8000, 10000, 11025, 16000, 44100, 48000, 192000, 384000, 768000)
SECONDS = 20  # at most, of all channels together: hours may take longer than a minute
# Known to all cases alike; 60 s is the longest that anything may take.
fuzz = settings(max_examples=CASES, deadline=60_000, derandomize="FUZZ_CASES" not in os.environ, database=None,
                suppress_health_check=[*HealthCheck])
fuzz_slow = settings(fuzz, max_examples=max(CASES // 4, 10))  # each takes a second


class Lost(AssertionError):
    """A file is missing, changed or partly written."""


SETTINGS = [*flatten(defaults(Settings)), "network.units", "method.build.loss_frame_stride", "method.name", "nothing"]
NO_FILES = {
    "pipe": lambda path: os.mkfifo(path), "circle": lambda path: path.symlink_to(path),
    "device": lambda path: path.symlink_to("/dev/zero"), "dangling": lambda path: path.symlink_to("missing"),
    "empty folder": lambda path: path.mkdir(),
}


@st.composite
def signals(draw, most_channels=64):
    """Draw a signal `[C, N]` of a kind that breaks programs."""
    n_channels = draw(st.integers(0, most_channels))
    length = draw(st.sampled_from([0, 1, 2, 3, 255, 256, 257, 512, 3000, 20000]))
    length = min(length, 40000 // max(n_channels, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "silence", "constant", "clipped", "impulse", "tiny", "huge", "nan",
                                 "infinite", "one channel silent", "same channels", "half silent"]))
    signal = 0.1 * rng.standard_normal((n_channels, length)).astype(np.float32)
    if kind == "silence":
        signal[:] = 0
    elif kind == "constant":
        signal[:] = 0.5
    elif kind == "clipped":
        signal = np.clip(100 * signal, -1, 1)
    elif kind == "impulse":
        signal[:, 1:] = 0
    elif kind == "tiny":
        signal *= np.float32(1e-38)
    elif kind == "huge":
        signal *= np.float32(1e30)
    elif kind in ("nan", "infinite"):
        signal[:1, length // 2 :] = np.nan if kind == "nan" else np.inf
    elif kind == "one channel silent":
        signal[:1] = 0
    elif kind == "same channels":
        signal[1:] = signal[:1]
    elif kind == "half silent":
        signal[:, : length // 2] = 0
    return signal


def untrained():
    """Make an untrained separator with thresholds, so that it counts speakers."""
    import keras
    from conftest import blstm

    from lab41_sce.models.embedding_model import EmbeddingModel
    from lab41_sce.models.front_end import FrontEnd

    keras.utils.set_random_seed(1)
    front_end = FrontEnd()
    network = blstm(front_end.n_bins, n_outputs=3, n_layers=1, units=4)
    return Separator(EmbeddingModel(front_end, network, unit_norm=True, soft_scale=5.0, cluster_variance=0.3,
                                    verification_threshold=0.5))


@pytest.fixture(scope="module")
def separator():
    return untrained()


def voices_of(separator, signal, rate_hz, n_speakers):
    """Separate, and look at the voices; None where that was refused in a sentence."""
    try:
        voices = separator.separate(signal, rate_hz, n_speakers).voices
    except UserError as error:
        is_clear(error)
        return None
    assert voices.shape[1:] == signal.shape and np.isfinite(voices).all()
    return voices


@pytest.mark.slow
@fuzz
@given(signal=signals(), rate_hz=st.sampled_from(RATES), n_speakers=st.sampled_from([1, 2, 3, 10, "auto"]),
       dtype=st.sampled_from(["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "bool",
                              "complex64"]))
def test_any_signal(separator, signal, rate_hz, n_speakers, dtype):
    signal = signal[:, : SECONDS * rate_hz // max(len(signal), 1) + 1]
    with np.errstate(all="ignore"):
        signal = (signal if dtype.startswith("float") else np.nan_to_num(signal) * 100).astype(dtype)
    voices = voices_of(separator, signal, rate_hz, n_speakers)
    if voices is None:
        return
    recording = Recording.of(signal, rate_hz)
    expected = recording.read(0, recording.n_samples) - recording.offset
    scale = max(float(np.abs(expected).max()), 1e-30)
    np.testing.assert_allclose(voices.sum(axis=0) / scale, expected / scale, atol=1e-3)


odd = st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=3), st.integers(-10, 0),
                st.sampled_from([1000, 1001, 8000, 2.0, 10**6 + 3, 10**9, 10**15, 2**64, np.int64(16000)]))


@fuzz_slow
@given(rate_hz=odd, n_speakers=st.one_of(odd, st.integers(1, 20), st.just("auto")),
       shape=st.sampled_from([(3000,), (1, 3000), (2, 3000), (3000, 2), (), (1, 1, 3000), (0,), (1,)]))
def test_any_argument(separator, rate_hz, n_speakers, shape):
    signal = np.random.default_rng(0).standard_normal(shape) / 10
    voices_of(separator, signal, rate_hz, n_speakers)


@fuzz
@given(data=st.data())
def test_any_file(separator, tmp_path_factory, data):
    """A file of some format, perhaps damaged, under some name, and some options."""
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / data.draw(names())
    path.write_bytes(data.draw(files()))
    out = folder / data.draw(st.sampled_from(["out", "o ut/deeper", "."]))
    options = data.draw(st.sampled_from([[], ["--speakers", "2"], ["--channels", "each"], ["--channels", "2"],
                                         ["--json", "--rttm"], ["--speakers", "0"], ["--channels", "left"],
                                         ["--speakers", "³"], ["--enroll", str(path)]]))
    before, content = {*folder.rglob("*")}, path.read_bytes()
    code, message = run_separate(separator, [str(path), "--out-dir", str(out), *options])
    written = {file for file in folder.rglob("*") if file.is_file()} - before
    if [file for file in written if ".part" in file.name] or path.read_bytes() != content:
        raise Lost("a file is half-written, or the recording is another one now")
    if code:
        assert code == 1 and not written
        is_clear(message)
        return
    length, rate_hz = soundfile.info(path).frames, soundfile.info(path).samplerate
    voices = [file for file in written if file.suffix not in (".json", ".rttm")]
    assert voices
    for voice in voices:
        signal, voice_rate_hz = soundfile.read(voice)
        assert voice_rate_hz == rate_hz and np.isfinite(signal).all()
        # Where the header of a damaged file disagrees with its contents, a sentence reports what is read instead.
        assert len(signal) == length or voice.suffix == ".mp3" or "that can be read are used" in message


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file(separator, tmp_path, make):
    make(tmp_path / "sound.wav")
    code, message = run_separate(separator, [str(tmp_path / "sound.wav"), "--out-dir", str(tmp_path)])
    assert code == 1 and len([*tmp_path.iterdir()]) == 1
    is_clear(message)


def test_a_link_to_a_recording_is_a_recording(separator, tmp_path):
    soundfile.write(tmp_path / "sound.wav", np.random.default_rng(0).standard_normal(8000) / 10, 8000)
    (tmp_path / "link.wav").symlink_to("sound.wav")
    out = tmp_path / "out"
    code, _ = run_separate(separator, [str(tmp_path / "link.wav"), "--out-dir", str(out), "--speakers", "2"])
    assert code == 0 and sorted(file.name for file in out.iterdir()) == ["link_1.wav", "link_2.wav"]


@pytest.mark.slow
@fuzz
@given(name=st.sampled_from(SETTINGS),
       value=st.one_of(st.integers(-10**12, 10**12), st.floats(), st.booleans(), st.none(), st.text(max_size=8),
                       st.lists(st.one_of(st.integers(), st.text(max_size=4)), max_size=3).map(str)))
def test_any_setting(name, value):
    try:
        check(compose_config(["+exp=smoke", f"{name}={value}"]))
    except UserError as error:
        is_clear(error)


@fuzz_slow
@given(references=signals(3), estimates=signals(3))
def test_any_scores(references, estimates):
    """Scores of whatever: numbers (NaN where a score is undefined), or a ValueError."""
    mixture = references.sum(axis=0)
    try:
        rows = metrics.score_mixture(references, mixture, {"system": estimates})
    except ValueError as error:
        assert str(error)
        return
    assert references.shape == estimates.shape
    assert {row[0] for row in rows} == {"system"}


@fuzz
@given(n=st.integers(0, 50), size=st.integers(1, 5), n_speakers=st.integers(1, 4), same=st.booleans(),
       scale=st.sampled_from([0.0, 1e-30, 1.0, 1e15]), soft_scale=st.sampled_from([None, 0.0, 5.0, 1e6]))
def test_any_vectors(n, size, n_speakers, same, scale, soft_scale):
    rng = np.random.default_rng(n)
    vectors = np.float32(scale) * rng.standard_normal((n, size)).astype(np.float32)
    if same:
        vectors[:] = vectors[:1]
    centroids = fit_centroids(vectors, np.ones(n, np.float32), n_speakers)
    assert centroids.shape == (n_speakers, size) and np.isfinite(centroids).all()
    masks = masks_from_centroids(vectors[None], centroids, soft_scale)
    assert masks.shape == (n_speakers, 1, n)
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-5)


def is_clear(error):
    """Check that a message is a sentence, not a traceback or a repr of Python."""
    text = str(error).strip()
    assert 10 < len(text) < 2000 and "Traceback" not in text and "object at 0x" not in text, text


def run_separate(separator, arguments):
    """Run the command line in this process; return its code and its messages."""
    errors = io.StringIO()
    with mock.patch.object(Separator, "from_pretrained", lambda *_: separator), mock.patch("sys.stderr", errors), \
            mock.patch("sys.stdout", io.StringIO()):
        code = separate.main(arguments)
    return code, errors.getvalue()


def names():
    """Draw names of files, of bytes that are no UTF-8 among them."""
    stems = st.one_of(st.sampled_from(["a b", "it's", 'say "hi"', "two\nlines", "-x", "ü", "日本", "a" * 200, "*",
                                       "$HOME", "100%", "{x}", os.fsdecode(b"\xff\xfe"), ".hidden", "a.b.c", "<b>x"]),
                      st.text(min_size=1, max_size=20).filter(lambda text: not {"/", "\0"} & {*text}))
    suffixes = st.sampled_from([".wav", ".flac", ".ogg", ".mp3", ".WAV", "", ".txt"])
    # What no file can be called is none of ours to test.
    return st.builds(lambda stem, suffix: stem + suffix, stems, suffixes).filter(possible)


def possible(name):
    try:
        return name not in (".", "..") and len(os.fsencode(name)) < 230
    except UnicodeEncodeError:
        return False


@st.composite
def files(draw):
    """Draw the bytes of an audio file, perhaps damaged."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    format, subtype = draw(st.sampled_from([
        ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
        ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"), ("FLAC", "PCM_S8"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("CAF", "ALAC_16"),
        ("RF64", "PCM_16"), ("W64", "FLOAT"), ("AU", "PCM_16")]))
    signal, rate_hz = draw(signals()), draw(st.sampled_from(RATES))
    signal = signal[:, : SECONDS * rate_hz // max(len(signal), 1) + 1]
    if subtype not in ("FLOAT", "DOUBLE"):  # encoders crash at NaN, and libvorbis at 768 kHz
        signal, rate_hz = np.clip(np.nan_to_num(signal), -1, 1), min(rate_hz, 192000)
    file = io.BytesIO()
    try:
        with soundfile.SoundFile(file, "w", rate_hz, len(signal), subtype, format=format) as sound:
            sound.write(signal.T)
    except (soundfile.LibsndfileError, ValueError, AssertionError):
        return b"RIFF"  # such a file cannot be
    data = bytearray(file.getvalue())
    damage = draw(st.sampled_from(["none", "none", "truncated", "header", "anywhere", "size", "longer"]))
    if damage == "truncated":
        del data[draw(st.integers(0, max(len(data) - 1, 0))) :]
    elif damage in ("header", "anywhere") and data:
        for _ in range(draw(st.integers(1, 8))):
            data[draw(st.integers(0, min(len(data), 64 if damage == "header" else len(data)) - 1))] = draw(
                st.integers(0, 255))
    elif damage == "size" and (place := data.find(b"data")) >= 0:
        data[place + 4 : place + 8] = struct.pack("<I", 2**32 - 1 - draw(st.integers(0, 100)))
    elif damage == "longer":
        data += bytes(1600)
    return bytes(data)
