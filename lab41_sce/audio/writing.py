"""Signals become audio files, whole or part by part; a file appears complete or not at all.

Conventions: a signal is float32 of shape `[N]` (one channel) or `[C, N]` (several); full scale is 1.0.
"""

import contextlib
import io
import signal as system_signals
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from lab41_sce.atomic_write import temporary_name, write_whole
from lab41_sce.audio.m4a_encoder import M4A_RATES_HZ, M4AEncoder
from lab41_sce.command_line import INTERRUPTING_SIGNALS
from lab41_sce.errors import UserError

FULL_SCALE = 32767  # of 16-bit samples
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a")  # of the formats that are written
MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MAX_RATES_HZ = {".ogg": 200_000, ".flac": 655_350}  # libvorbis crashes at 768 kHz
MAX_FINE_FLAC_RATE_HZ = 65_535  # FLAC states higher rates in tens of Hz
MAX_CHANNELS = {".mp3": 2, ".m4a": 2, ".flac": 8}
MAX_LOSSY_LEVEL = 100.0  # times full scale, in MP3, OGG and M4A: LAME aborts at larger samples
MAX_WAV_BYTES = 2**32 - 2**12  # a WAV header cannot state more
BLOCK_SAMPLES = 2**16  # encoded at once
VOICE_SUBTYPES = {".wav": "FLOAT", ".flac": "PCM_24"}  # a voice can exceed the mixture's peak


def to_int16(signal: np.ndarray) -> np.ndarray:
    """Round a signal to 16-bit samples of the same shape and clip it at full scale."""
    return np.round(np.clip(signal, -1, 1) * FULL_SCALE).astype(np.int16)


def write(path: str | Path, signal: np.ndarray, sample_rate_hz: int, subtype: str | None = None) -> None:
    """Write a signal to a file in the format of its suffix; the file appears complete or not at all.

    Args:
        path: the file to make; `.wav`, `.flac`, `.ogg`, `.mp3` or `.m4a`.
        signal: float32 `[N]` or `[C, N]`.
        sample_rate_hz: in Hz.
        subtype: encoding by its libsndfile name, such as "PCM_16" or "FLOAT"; None for the default of the format. M4A
            files are always AAC.

    Raises:
        UserError: the file cannot be written.
    """
    path, channels = Path(path), np.atleast_2d(signal)

    def encode(temporary: Path) -> None:
        with _RawFile(temporary) as raw_file, _delayed_interrupt():
            try:
                encoder = _open_encoder(raw_file, sample_rate_hz, len(channels), channels.shape[1], subtype)
                with contextlib.closing(encoder):
                    _write_blocks(encoder, channels)
            finally:  # closing writes the last samples
                if raw_file.error:
                    raise raw_file.error

    check_format(path, sample_rate_hz, len(channels))

    with _user_errors(path):
        write_whole(path, encode)


@contextlib.contextmanager
def open_writers(paths: Sequence[Path], sample_rate_hz: int, n_channels: int, n_samples: int,
                 comment: str = "") -> Iterator[Callable[[np.ndarray], None]]:
    """Open several files to write part by part; all of them appear at the end, complete, or none does.

    Args:
        paths: files to make; `.wav`, `.flac`, `.ogg`, `.mp3` or `.m4a`, in folders that exist.
        sample_rate_hz: in Hz.
        n_channels: C.
        n_samples: length of the files in samples.
        comment: stored in the header of each file, unless it is empty.

    Yields:
        A function that writes the next part of all files, float32 `[len(paths), C, n]`.

    Raises:
        UserError: a file cannot be written.
    """
    check_format(paths[0], sample_rate_hz, n_channels)
    temporary_files = [temporary_name(path) for path in paths]
    name = Path(paths[0].name)  # for messages: the folder may be a temporary one

    def write_part(signals: np.ndarray) -> None:
        with _user_errors(name, raw_files), _delayed_interrupt():
            for encoder, signal in zip(encoders, signals, strict=True):
                _write_blocks(encoder, signal)

    raw_files: list[_RawFile] = []
    encoders: list[soundfile.SoundFile | M4AEncoder] = []
    try:
        try:
            with _user_errors(name, raw_files), _delayed_interrupt():
                for temporary in temporary_files:
                    raw_files.append(_RawFile(temporary))
                    encoders.append(_open_encoder(raw_files[-1], sample_rate_hz, n_channels, n_samples,
                                                  VOICE_SUBTYPES.get(temporary.suffix.lower())))
                    if comment:  # libsndfile refuses an empty one in OGG
                        encoders[-1].comment = comment
            yield write_part
        finally:
            with _user_errors(name, raw_files), _delayed_interrupt():  # closing writes the last samples
                for file in [*encoders, *raw_files]:
                    file.close()
        with _user_errors(name):
            for temporary, path in reversed([*zip(temporary_files, paths, strict=True)]):  # the first file comes last
                temporary.replace(path)
    finally:
        for temporary in temporary_files:
            temporary.unlink(missing_ok=True)


class _RawFile(io.FileIO):
    """A new file that keeps its write error: libsndfile reports none for a write that fails while it closes."""

    def __init__(self, path: Path):
        super().__init__(path, "wb+")
        self.path = path
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        written = 0
        try:
            while written < len(data):  # on a full disk, a partial write raises no error
                written += super().write(data[written:])
        except OSError as error:
            self.error = error
        return written


@contextlib.contextmanager
def _delayed_interrupt() -> Iterator[None]:
    """Delay signals with a handler until the block ends: libsndfile discards an exception in one of its callbacks."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield
        return
    received: list[tuple] = []
    handlers = {number: handler for number in INTERRUPTING_SIGNALS
                if callable(handler := system_signals.getsignal(number))}
    for number in handlers:
        system_signals.signal(number, lambda *arguments: received.append(arguments))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            system_signals.signal(number, handler)
    if received:
        handlers[received[0][0]](*received[0])


def check_format(path: Path, sample_rate_hz: int, n_channels: int) -> None:
    """Check that the format of a file, by its suffix, can have a sample rate and a number of channels.

    Raises:
        UserError: the format does not have this rate or so many channels.
    """
    suffix = path.suffix.lower()
    rates_hz = {".mp3": MP3_RATES_HZ, ".m4a": M4A_RATES_HZ}.get(suffix, ())
    possible = ", ".join(map(str, rates_hz))
    if sample_rate_hz > MAX_RATES_HZ.get(suffix, sample_rate_hz):
        possible = f"at most {MAX_RATES_HZ[suffix]}"
    elif suffix == ".flac" and sample_rate_hz > MAX_FINE_FLAC_RATE_HZ and sample_rate_hz % 10:
        possible = f"at most {MAX_FINE_FLAC_RATE_HZ}, or a multiple of 10"
    if possible and sample_rate_hz not in rates_hz:
        raise UserError(f"{path.name} cannot have a sample rate of {sample_rate_hz} Hz; choose another with --rate "
                        f"({suffix[1:].upper()}: {possible} Hz), or another format with --format.")
    if n_channels > (most := MAX_CHANNELS.get(suffix, n_channels)):
        raise UserError(f"{path.name} cannot have {n_channels} channels; choose WAV (--format wav) for more than "
                        f"{most}, or mix them (--channels mix).")


def _open_encoder(raw_file: _RawFile, sample_rate_hz: int, n_channels: int, n_samples: int,
                  subtype: str | None) -> soundfile.SoundFile | M4AEncoder:
    """Open the encoder of a file by its suffix; arguments as in `write`."""
    suffix = raw_file.path.suffix.lower()
    if suffix == ".m4a":
        return M4AEncoder(raw_file, sample_rate_hz, n_channels)
    large = 4 * n_samples * n_channels > MAX_WAV_BYTES
    return soundfile.SoundFile(raw_file, "w", sample_rate_hz, n_channels, subtype,
                               format="RF64" if large and suffix == ".wav" else suffix[1:].upper())


def _write_blocks(encoder: soundfile.SoundFile | M4AEncoder, signal: np.ndarray) -> None:
    """Write a signal `[C, n]` in blocks: libvorbis copies each call's samples to the stack."""
    for start in range(0, signal.shape[1], BLOCK_SAMPLES):
        block = signal[:, start : start + BLOCK_SAMPLES].T
        lossy = encoder.format in ("MP3", "OGG", "M4A")
        encoder.write(np.clip(block, -MAX_LOSSY_LEVEL, MAX_LOSSY_LEVEL) if lossy else block)


@contextlib.contextmanager
def _user_errors(path: Path, raw_files: Sequence[_RawFile] = ()) -> Iterator[None]:
    """Turn errors while writing into one UserError; the error of a raw file is the more precise reason."""
    try:
        try:
            yield
        finally:
            for raw_file in raw_files:
                if raw_file.error:
                    raise raw_file.error
    except (soundfile.LibsndfileError, OSError, ValueError, TypeError, AssertionError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UserError(f"{path} could not be written ({reason}); check the folder, "
                        f"the free space and the suffix ({', '.join(SUFFIXES)}).") from None
