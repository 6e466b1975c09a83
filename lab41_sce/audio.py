"""Audio files of any rate and channel count become float32 signals, and signals become files.

Conventions: a signal is float32 of shape `[N]` (one channel) or `[C, N]` (several); full scale is 1.0.
soundfile (libsndfile) decodes and encodes, soxr resamples.
"""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from lab41_sce.errors import UserError
from lab41_sce.files import write_whole


def open_file(path: str | Path) -> soundfile.SoundFile:
    """Open an audio file to read from.

    Args:
        path: a file that libsndfile can decode (WAV, FLAC, OGG, MP3, ...).

    Raises:
        UserError: the file is missing, a directory, not audio or empty.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; give the path of an audio file.")
    if path.is_dir():
        raise UserError(f"{path} is a directory; give the path of one audio file.")
    if path.is_file() and not path.stat().st_size:
        raise UserError(f"{path} is empty; give a file with some audio.")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise UserError(f"{path} is not audio that can be decoded ({reason}); "
                        "give a WAV, FLAC, OGG or MP3 file.") from None
    if not file.frames:
        raise UserError(f"{path} holds no samples; give a file with some audio.")
    return file


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
        try:
            signal = file.read(dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            reason = str(error).rstrip(".")
            raise UserError(f"{path} is not audio that can be decoded ({reason}); "
                            "give a WAV, FLAC, OGG or MP3 file.") from None
        if len(signal) == 0:
            raise UserError(f"{path} holds no samples; give a file with some audio.")
        if not np.isfinite(signal).all():
            raise UserError(f"{path} holds NaN or infinite samples; repair or export it again.")
        return np.ascontiguousarray(signal.T), file.samplerate


def read_mono(path: str | Path, sample_rate_hz: int) -> np.ndarray:
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


def read_excerpt(path: str | Path, start_seconds: float, seconds: float, sample_rate_hz: int) -> np.ndarray:
    """Decode a part of a file, as one channel at a given rate, without reading the rest.

    Args:
        path: as in `read`.
        start_seconds: where the part begins.
        seconds: how long it is; less comes back where the file ends earlier.
        sample_rate_hz: the wanted rate, in Hz.

    Returns:
        The signal, float32 `[N]`, `N = round(seconds * sample_rate_hz)` or less.
    """
    with soundfile.SoundFile(path) as file:
        file.seek(min(round(start_seconds * file.samplerate), file.frames))
        channels = file.read(round(seconds * file.samplerate), dtype="float32", always_2d=True)
        signal = resample(channels.mean(axis=1), file.samplerate, sample_rate_hz)
    return signal[: round(seconds * sample_rate_hz)]


def resample(signal: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Resample a signal `[N]` from one rate to another (soxr, high quality); float32 `[N']`."""
    signal = np.asarray(signal, np.float32)
    return signal if from_hz == to_hz else soxr.resample(signal, from_hz, to_hz, quality="HQ")


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
    path = Path(path)
    try:
        write_whole(path, lambda file: soundfile.write(file, np.asarray(signal).T, sample_rate_hz, subtype=subtype))
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise UserError(f"{path} could not be written ({str(error).rstrip('.')}); check the folder, "
                        "the free space and the suffix (.wav, .flac or .ogg).") from None
