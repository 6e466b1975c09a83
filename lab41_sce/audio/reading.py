"""Audio files of any rate and channel count become float32 signals.

Conventions: a signal is float32 of shape `[N]` (one channel) or `[C, N]` (several); full scale is 1.0.
soundfile (libsndfile) decodes, soxr resamples.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from lab41_sce.audio.mp3_length import ENCODER_PADDING, count_mp3_samples
from lab41_sce.errors import UserError

BLOCK_SAMPLES = 2**16  # decoded at once
MAX_HEADER_SAMPLES = 2**48  # libsndfile reports more than this if the header states no length


def open_file(path: str | Path) -> soundfile.SoundFile:
    """Open an audio file for reading.

    Args:
        path: a file that libsndfile can decode (WAV, FLAC, OGG, MP3, ...).

    Returns:
        The open file.

    Raises:
        UserError: the file is missing, a directory, a pipe, not audio or empty, or its header states no length.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; give the path of an audio file.")
    if path.is_dir():
        raise UserError(f"{path} is a directory; give the path of one audio file.")
    if not path.is_file():
        raise UserError(f"{path} is a pipe or a device; save the audio to a file and give the path of that file.")
    if not path.stat().st_size:
        raise UserError(f"{path} is empty; give a file that contains audio.")
    with decodable(path):
        file = soundfile.SoundFile(path)
    if not file.frames:
        raise UserError(f"{path} contains no samples; give a file that contains audio.")
    too_short = file.format == "MP3" and file.frames + ENCODER_PADDING < count_mp3_samples(path.read_bytes())
    if file.frames > MAX_HEADER_SAMPLES or too_short:
        raise UserError(f"{path} does not state its length, as happens with streams and interrupted recordings; "
                        "convert it to WAV or export it again.")
    return file


@contextlib.contextmanager
def decodable(path: str | Path) -> Iterator[None]:
    """Turn the errors of libsndfile while it decodes a file into one UserError that names the file."""
    try:
        yield
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise UserError(f"{path} is not audio that can be decoded ({reason}); "
                        "give a WAV, FLAC, OGG or MP3 file.") from None


def count_samples(file: soundfile.SoundFile) -> int:
    """Count the samples of one channel of an open file.

    An MP3 file is decoded to its end, because its header can state more samples than the file contains.
    """
    if file.format != "MP3":
        return file.frames
    file.seek(0)
    n_samples, block = 0, np.empty((BLOCK_SAMPLES, file.channels), np.float32)
    while read := len(file.read(out=block)):
        n_samples += read
    file.seek(0)
    return n_samples


def decode(file: soundfile.SoundFile, n_samples: float = float("inf")) -> np.ndarray:
    """Decode samples from the current position of an open file.

    Args:
        file: the open file. Memory is allocated as blocks are decoded, since a header can state any length.
        n_samples: samples of one channel to decode; fewer are returned at the end of the file.

    Returns:
        float32 `[N, C]`.

    Raises:
        soundfile.LibsndfileError: the file is damaged.
    """
    blocks = [np.empty((0, file.channels), np.float32)]
    while n_samples > 0 and len(
            block := file.read(int(min(n_samples, BLOCK_SAMPLES)), dtype="float32", always_2d=True)):
        blocks.append(block)
        n_samples -= len(block)
    return np.concatenate(blocks)


def read(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a whole audio file.

    Args:
        path: see `open_file`.

    Returns:
        The channels, float32 `[C, N]`, and the sample rate in Hz.

    Raises:
        UserError: as in `open_file`, or the file contains NaN or infinite samples.
    """
    with open_file(path) as file:
        with decodable(path):
            signal = decode(file)
        if len(signal) == 0:
            raise UserError(f"{path} contains no samples; give a file that contains audio.")
        if not np.isfinite(signal).all():
            raise UserError(f"{path} contains NaN or infinite samples; repair or export it again.")
        return np.ascontiguousarray(signal.T), file.samplerate


def load_audio(path: str | Path, sample_rate_hz: int | None = None) -> tuple[np.ndarray, int]:
    """Load an audio file.

    Args:
        path: see `open_file`.
        sample_rate_hz: the rate to resample to, in Hz; None keeps the rate of the file.

    Returns:
        The signal, float32 `[N]` of a file with one channel, else `[C, N]`, and its sample rate in Hz.

    Raises:
        UserError: as in `read`.

    Example:
        >>> import lab41_sce as sce
        >>> signal, rate_hz = sce.load_audio("talk.wav")  # doctest: +SKIP
    """
    channels, rate_hz = read(path)
    if sample_rate_hz is not None:
        channels = np.stack([resample(channel, rate_hz, sample_rate_hz) for channel in channels])
        rate_hz = sample_rate_hz
    return (channels[0] if len(channels) == 1 else channels), rate_hz


def read_mono(path: str | Path, sample_rate_hz: float) -> np.ndarray:
    """Read the mean of a file's channels, resampled to a rate in Hz: float32 `[N]`; errors as in `read`."""
    channels, original_hz = read(path)
    return resample(channels.mean(axis=0), original_hz, sample_rate_hz)


def read_excerpt(path: str | Path, start_seconds: float, seconds: float, sample_rate_hz: float) -> np.ndarray:
    """Decode a part of the mean of a file's channels, without reading the rest.

    Args:
        path: see `open_file`.
        start_seconds: start of the part.
        seconds: length of the part; less is returned at the end of the file.
        sample_rate_hz: the rate to resample to, in Hz.

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


def resample(signal: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Resample a signal `[N]` from one rate in Hz to another, with soxr in high quality: float32 `[N']`."""
    signal = np.asarray(signal, np.float32)
    return signal if from_hz == to_hz else soxr.resample(signal, from_hz, to_hz, quality="HQ")
