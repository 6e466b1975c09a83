"""Audio files of any rate and channel count become float32 signals, and signals become files.

Conventions: a signal is float32 of shape `[N]` (one channel) or `[C, N]` (several); full scale is 1.0.
soundfile (libsndfile) decodes and encodes, soxr resamples.
"""

import contextlib
import io
import signal as system_signals
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from lab41_sce.atomic_write import temporary_name, write_whole
from lab41_sce.errors import UserError

OGG_MAX_HZ = 200_000  # libvorbis crashes at 768 kHz
MAX_LOSSY_LEVEL = 100.0  # full scales, in MP3 and OGG: LAME aborts at larger numbers
BLOCK = 2**16  # samples of all channels that are decoded or encoded at once
FULL_SCALE = 32767  # of 16-bit samples that are kept
MP3_PADDING = 6 * 1152  # samples that encoders add, and libsndfile takes off again


def open_file(path: str | Path) -> soundfile.SoundFile:
    """Open an audio file to read from.

    Args:
        path: a file that libsndfile can decode (WAV, FLAC, OGG, MP3, ...).

    Raises:
        UserError: the file is missing, a directory, a pipe, not audio or empty, or does not tell how long it is.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; give the path of an audio file.")
    if path.is_dir():
        raise UserError(f"{path} is a directory; give the path of one audio file.")
    if not path.is_file():
        raise UserError(f"{path} is a pipe or a device; save the audio to a file, and give its path.")
    if not path.stat().st_size:
        raise UserError(f"{path} is empty; give a file with some audio.")
    with decodable(path):
        file = soundfile.SoundFile(path)
    if not file.frames:
        raise UserError(f"{path} holds no samples; give a file with some audio.")
    if file.frames > 2**48 or file.format == "MP3" and file.frames + MP3_PADDING < _mp3_samples(path.read_bytes()):
        raise UserError(f"{path} does not tell how long it is, as files of a broken-off recording or a stream; "
                        "convert it to WAV or export it again.")
    return file


@contextlib.contextmanager
def decodable(path):
    """Make one sentence of what libsndfile cannot decode."""
    try:
        yield
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise UserError(f"{path} is not audio that can be decoded ({reason}); "
                        "give a WAV, FLAC, OGG or MP3 file.") from None


def count_samples(file: soundfile.SoundFile) -> int:
    """Count the samples of an open file, by decoding all of one whose header may say more than there are (MP3)."""
    if file.format != "MP3":
        return file.frames
    file.seek(0)
    n_samples, block = 0, np.empty((BLOCK, file.channels), np.float32)
    while read := len(file.read(out=block)):
        n_samples += read
    file.seek(0)
    return n_samples


def decode(file: soundfile.SoundFile, n_samples: float = float("inf")) -> np.ndarray:
    """Decode so many samples from where an open file stands, or those that there are: float32 `[N, C]`.

    Memory is for what is there, whatever the header promises.

    Raises:
        soundfile.LibsndfileError: it is damaged.
    """
    blocks = [np.empty((0, file.channels), np.float32)]
    while n_samples > 0 and len(block := file.read(int(min(n_samples, BLOCK)), dtype="float32", always_2d=True)):
        blocks.append(block)
        n_samples -= len(block)
    return np.concatenate(blocks)


def _mp3_samples(data: bytes) -> int:
    """Add up the samples of MPEG layer III frames: without a Xing header, libsndfile guesses from the first of them."""
    kbit = {True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),  # MPEG 1
            False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)}  # MPEG 2, 2.5
    place = total = 0
    if data[:3] == b"ID3":  # cover art and words may look like frames
        place = 10 + sum((byte & 127) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        second, third = data[place + 1], data[place + 2]
        version, bitrate, rate = second >> 3 & 3, kbit[second >> 3 & 3 == 3][third >> 4], third >> 2 & 3
        if second >> 5 != 7 or second >> 1 & 3 != 1 or version == 1 or rate == 3 or not bitrate:
            place += 1  # no frame begins here
            continue
        samples, rate_hz = 1152 if version == 3 else 576, (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
        place += samples // 8 * 1000 * bitrate // rate_hz + (third >> 1 & 1)
        total += samples
    return total


def read(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a whole audio file.

    Args:
        path: see `open_file`.

    Returns:
        The channels, float32 `[C, N]`, and the sample rate in Hz.

    Raises:
        UserError: as in `open_file`, or it holds NaN or infinite samples.
    """
    with open_file(path) as file:
        with decodable(path):
            signal = decode(file)
        if len(signal) == 0:
            raise UserError(f"{path} holds no samples; give a file with some audio.")
        if not np.isfinite(signal).all():
            raise UserError(f"{path} holds NaN or infinite samples; repair or export it again.")
        return np.ascontiguousarray(signal.T), file.samplerate


def read_mono(path: str | Path, sample_rate_hz: float) -> np.ndarray:
    """Read a file as one channel (the mean of all) at a given rate.

    Args:
        path: as in `read`.
        sample_rate_hz: the wanted rate, in Hz.

    Returns:
        The signal, float32 `[N]`.

    Raises:
        UserError: as in `read`.
    """
    channels, original_hz = read(path)
    return resample(channels.mean(axis=0), original_hz, sample_rate_hz)


def read_excerpt(path: str | Path, start_seconds: float, seconds: float, sample_rate_hz: float) -> np.ndarray:
    """Decode a part of a file, as one channel at a given rate, without reading the rest.

    Args:
        path: as in `read`.
        start_seconds: where the part begins.
        seconds: how long it is; less comes back where the file ends earlier.
        sample_rate_hz: the wanted rate, in Hz.

    Returns:
        The signal, float32 `[N]`, `N = round(seconds * sample_rate_hz)` or less.

    Raises:
        UserError: as in `open_file`.
    """
    with open_file(path) as file:
        with decodable(path):
            file.seek(min(round(start_seconds * file.samplerate), file.frames))
            channels = decode(file, round(seconds * file.samplerate))
        signal = resample(channels.mean(axis=1), file.samplerate, sample_rate_hz)
    return signal[: round(seconds * sample_rate_hz)]


def to_int16(signal: np.ndarray) -> np.ndarray:
    """Round a signal to 16-bit samples of the same shape; what is beyond full scale is clipped."""
    return np.round(np.clip(signal, -1, 1) * FULL_SCALE).astype(np.int16)


def resample(signal: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Resample a signal `[N]` from one rate to another (soxr, high quality); float32 `[N']`."""
    signal = np.asarray(signal, np.float32)
    return signal if from_hz == to_hz else soxr.resample(signal, from_hz, to_hz, quality="HQ")


@contextlib.contextmanager
def writers(paths: Sequence[Path], sample_rate_hz: int, n_channels: int, n_samples: int):
    """Open files to write part by part; each appears whole, and none of them before all are written.

    Args:
        paths: of the files to make; `.wav`, `.flac`, `.ogg` or `.mp3`, in folders that exist.
        sample_rate_hz: in Hz.
        n_channels: C.
        n_samples: how long the files will be.

    Yields:
        A function that takes the next part of all files, `[len(paths), C, n]`.

    Raises:
        UserError: a file cannot be written.
    """
    temporary = [temporary_name(path) for path in paths]

    def write_part(signals):
        with _told(paths[0], raws), _undisturbed():
            for file, signal in zip(files, signals, strict=True):
                _write_blocks(file, signal)

    raws, files = [], []
    try:
        try:
            with _told(paths[0], raws), _undisturbed():
                for part in temporary:
                    raws.append(_Raw(part))
                    files.append(_create(raws[-1], sample_rate_hz, n_channels, n_samples))
            yield write_part
        finally:
            with _told(paths[0], raws), _undisturbed():  # the encoders' last words may find no space
                for file in [*files, *raws]:
                    file.close()
        with _told(paths[0]):
            for part, path in reversed([*zip(temporary, paths, strict=True)]):  # the first is there when all are
                part.replace(path)
    finally:
        for part in temporary:
            part.unlink(missing_ok=True)


class _Raw(io.FileIO):
    """A new file that remembers what goes wrong: libsndfile says nothing of a write that fails while it closes."""

    def __init__(self, path):
        super().__init__(path, "wb+")
        self.error = None

    def write(self, data):
        written = 0
        try:
            while written < len(data):  # the last bytes that fit are written without an error
                written += super().write(data[written:])
        except OSError as error:
            self.error = error
        return written


@contextlib.contextmanager
def _undisturbed():
    """Put an interruption off for a moment: in a function that libsndfile calls it would be lost."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    interruptions, usual = [], system_signals.getsignal(system_signals.SIGINT)
    system_signals.signal(system_signals.SIGINT, lambda *given: interruptions.append(given))
    try:
        yield
    finally:
        system_signals.signal(system_signals.SIGINT, usual)
    if interruptions and callable(usual):
        usual(*interruptions[0])


def _create(raw, sample_rate_hz, n_channels, n_samples):
    """Open a file to write to: WAV as floats, since a voice may peak above the mixture, FLAC with 24 bits."""
    suffix = raw.name.suffix.lower()
    if suffix == ".ogg" and sample_rate_hz > OGG_MAX_HZ:
        raise ValueError(f"OGG has no more than {OGG_MAX_HZ} Hz")
    large = 4 * n_samples * n_channels > 2**32 - 2**12  # more than a WAV header can tell
    return soundfile.SoundFile(raw, "w", sample_rate_hz, n_channels, {".wav": "FLOAT", ".flac": "PCM_24"}.get(suffix),
                               format="RF64" if large and suffix == ".wav" else suffix[1:].upper())


def _write_blocks(file, signal):
    """Write a signal `[C, n]` in blocks: libvorbis puts what it gets at once on the stack."""
    for start in range(0, signal.shape[1], BLOCK):
        block = signal[:, start : start + BLOCK].T
        file.write(np.clip(block, -MAX_LOSSY_LEVEL, MAX_LOSSY_LEVEL) if file.format in ("MP3", "OGG") else block)


@contextlib.contextmanager
def _told(path, raws=()):
    """Make one sentence of what goes wrong when writing; what went wrong in a raw file is the better reason."""
    try:
        try:
            yield
        finally:
            for raw in raws:
                if raw.error:
                    raise raw.error
    except (soundfile.LibsndfileError, OSError, ValueError, TypeError, AssertionError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UserError(f"{path} could not be written ({reason}); check the folder, "
                        "the free space and the suffix (.wav, .flac, .ogg or .mp3).") from None


def write(path: str | Path, signal: np.ndarray, sample_rate_hz: int, subtype: str | None = None) -> None:
    """Write a signal to a file whose suffix tells the format; the file appears whole or not at all.

    Args:
        path: the file to make; `.wav`, `.flac` or `.ogg`.
        signal: float32 `[N]` or `[C, N]`.
        sample_rate_hz: in Hz.
        subtype: libsndfile's encoding, such as "PCM_16" or "FLOAT"; the format's default when None.

    Raises:
        UserError: the file cannot be written.
    """
    path, channels = Path(path), np.atleast_2d(signal)

    def encode(whole):
        with soundfile.SoundFile(whole, "w", sample_rate_hz, len(channels), subtype) as file:
            _write_blocks(file, channels)

    try:
        write_whole(path, encode)
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise UserError(f"{path} could not be written ({str(error).rstrip('.')}); check the folder, "
                        "the free space and the suffix (.wav, .flac or .ogg).") from None
