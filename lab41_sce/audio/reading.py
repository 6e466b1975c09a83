"""Audio files of any rate and channel count become float32 signals.

Conventions: a signal is float32 of shape `[N]` (one channel) or `[C, N]` (several); full scale is 1.0.
libsndfile or FFmpeg decodes (`decoder.py`), soxr resamples.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from numbers import Real
from pathlib import Path

import numpy as np
import soxr

from lab41_sce.audio.decoder import Decoder
from lab41_sce.audio.mixing import mix
from lab41_sce.errors import UserError

logger = logging.getLogger(__name__)


def read(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a whole audio file.

    Args:
        path: see `Decoder`.

    Returns:
        The channels, float32 `[C, N]`, and the sample rate in Hz.

    Raises:
        UserError: as in `Decoder`, or the file contains NaN or infinite samples.
    """
    return _read_all(path, "each")


def _read_all(path: str | Path, channels: str) -> tuple[np.ndarray, int]:
    """Read all samples of a file, float32 `[C, N]`, and log what is unusual about it."""
    with Decoder(path, channels) as decoder:
        signal = decoder.read(0, decoder.n_samples)
        for note in decoder.notes:
            logger.warning("%s: %s", path, note)
        if not np.isfinite(signal).all():
            raise UserError(f"{path} contains NaN or infinite samples; repair or export it again.")
        return np.ascontiguousarray(signal), decoder.sample_rate_hz


def load_audio(path: str | Path, sample_rate_hz: int | None = None) -> tuple[np.ndarray, int]:
    """Load an audio file.

    Args:
        path: see `read`.
        sample_rate_hz: the rate to resample to, in Hz; None keeps the rate of the file.

    Returns:
        The signal, float32 `[N]` of a file with one channel, else `[C, N]`, and its sample rate in Hz.

    Raises:
        UserError: as in `read`; or the rate is no number above 0.

    Example:
        >>> import lab41_sce as sce
        >>> signal, rate_hz = sce.load_audio("talk.wav")  # doctest: +SKIP
    """
    if sample_rate_hz is not None and not (isinstance(sample_rate_hz, Real) and 0 < sample_rate_hz < math.inf):
        raise UserError(f"The sample rate {sample_rate_hz!r} is not possible; give a number of Hz, such as 16000.")
    channels, rate_hz = read(path)
    if sample_rate_hz is not None:
        channels = np.stack([resample(channel, rate_hz, sample_rate_hz) for channel in channels])
        rate_hz = sample_rate_hz
    return (channels[0] if len(channels) == 1 else channels), rate_hz


def read_mono(path: str | Path, sample_rate_hz: float) -> np.ndarray:
    """Read a file as one channel (`mixing.py`), resampled to a rate in Hz: float32 `[N]`; errors as in `read`."""
    channels, original_hz = _read_all(path, "mix")
    return resample(channels[0], original_hz, sample_rate_hz)


def read_excerpt(path: str | Path, start_seconds: float, seconds: float, sample_rate_hz: float) -> np.ndarray:
    """Decode a part of a file as one channel, without reading the rest.

    Args:
        path: see `read`.
        start_seconds: start of the part.
        seconds: length of the part; less is returned at the end of the file.
        sample_rate_hz: the rate to resample to, in Hz.

    Returns:
        The signal, float32 `[N]`, `N = round(seconds * sample_rate_hz)` or less.

    Raises:
        UserError: as in `Decoder`.
    """
    with Decoder(path, whole=False) as decoder:
        start = round(start_seconds * decoder.sample_rate_hz)
        channels = decoder.read(start, start + round(seconds * decoder.sample_rate_hz))
        signal = resample(mix(channels), decoder.sample_rate_hz, sample_rate_hz)
    return signal[: round(seconds * sample_rate_hz)]


def resample(signal: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Resample a signal `[N]` from one rate in Hz to another, with soxr in high quality: float32 `[N']`."""
    signal = np.asarray(signal, np.float32)
    return signal if from_hz == to_hz else soxr.resample(signal, from_hz, to_hz, quality="HQ")


def resample_parts(parts: Iterable[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """Resample consecutive parts of several signals, as `resample` does with the whole signals.

    Args:
        parts: float32 `[S, C, n]`; at least one.
        from_hz: rate of the parts.
        to_hz: rate of the result.

    Yields:
        Consecutive parts of the result, float32 `[S, C, n']`. All together have `N * to_hz / from_hz` samples, rounded.
    """
    if from_hz == to_hz:
        yield from parts
        return
    stream: soxr.ResampleStream | None = None
    for part in parts:
        shape, signals = part.shape[:2], np.ascontiguousarray(part.reshape(-1, part.shape[2]).T)  # [n, S * C]
        stream = stream or soxr.ResampleStream(from_hz, to_hz, signals.shape[1], "float32", "HQ")
        yield stream.resample_chunk(signals).T.reshape(*shape, -1)
    assert stream is not None
    yield stream.resample_chunk(signals[:0], last=True).T.reshape(*shape, -1)
