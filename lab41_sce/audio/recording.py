"""A recording, in a file or in memory, is read in parts: float32 `[C, n]` between any two samples.

    recording = Recording.open("meeting.flac")
    first_second = recording.read(0, recording.sample_rate_hz)

A file is decoded only where it is read, so memory does not grow with its length.
"""

from functools import cached_property
from pathlib import Path

import numpy as np

from lab41_sce.audio.decoder import Decoder
from lab41_sce.audio.samples import as_floats
from lab41_sce.errors import UserError

MAX_RATE_HZ = 2**31 - 1  # the largest rate that a file can have; soxr does not return at 1e15 Hz
BLOCK_SAMPLES = 2**18  # read at once to measure the offset
MIN_OFFSET = 0.02  # of the standard deviation: -34 dB
MAX_SAMPLE = 1e9  # times full scale; the squares of larger samples are not finite in float32


class Recording:
    """Give access to the samples of a recording.

    Args:
        source: samples, float32 `[C, N]`, or a `Decoder`.
        sample_rate_hz: of the samples.
        name: name of the recording in messages; for a file, its path.

    Attributes:
        n_channels: C.
        n_samples: N.
        notes: sentences about what is unusual in a file (`Decoder.notes`).
    """

    def __init__(self, source: np.ndarray | Decoder, sample_rate_hz: int, name: str = "the signal"):
        self._source, self.sample_rate_hz, self.name = source, sample_rate_hz, name
        self.n_channels, self.n_samples = (source.shape if isinstance(source, np.ndarray)
                                           else (source.n_channels, source.n_samples))
        self.notes = [] if isinstance(source, np.ndarray) else source.notes

    @classmethod
    def of(cls, signal: np.ndarray, sample_rate_hz: int) -> "Recording":
        """Wrap a signal in memory.

        Args:
            signal: `[N]` or `[C, N]`; see `as_floats`.
            sample_rate_hz: of the signal.

        Raises:
            UserError: the signal has another shape, no samples or samples that are not finite, or the rate is not
                a whole number of Hz.
        """
        whole = isinstance(sample_rate_hz, (int, np.integer)) and not isinstance(sample_rate_hz, bool)
        if not whole or not 1 <= sample_rate_hz <= MAX_RATE_HZ:
            raise UserError(f"a sample rate of {sample_rate_hz!r} is not possible; give whole Hz, such as 16000.")
        signal = as_floats(signal).astype(np.float32)
        channels = signal[None] if signal.ndim == 1 else signal
        if channels.ndim == 2 and channels.shape[0] > channels.shape[1] > 0:
            raise UserError(f"a signal of shape {signal.shape} has more channels than samples; give [C, N].")
        if channels.ndim != 2 or not channels.size or not (np.abs(channels) <= MAX_SAMPLE).all():
            raise UserError(f"a signal of shape {signal.shape} cannot be separated; "
                            "give finite samples, [N] or [C, N].")
        return cls(channels, int(sample_rate_hz))

    @classmethod
    def open(cls, path: str | Path, channels: str | int = "each", stream: int = 1) -> "Recording":
        """Open an audio file; arguments and errors as in `Decoder`."""
        decoder = Decoder(path, channels, stream=stream)
        return cls(decoder, decoder.sample_rate_hz, str(path))

    @property
    def seconds(self) -> float:
        """Return the length in seconds."""
        return self.n_samples / self.sample_rate_hz

    @cached_property
    def offset(self) -> np.ndarray:
        """Measure the constant offset (DC) that a sound card has added to each channel.

        The whole recording is read.

        Returns:
            float32 `[C, 1]`: the mean of the channel, or 0 where the mean is below `MIN_OFFSET` times the standard
            deviation. Such an offset costs less than 0.1 dB, and sound without an offset has a mean as large.

        Raises:
            UserError: as in `read`.
        """
        sums, squares = np.zeros((2, self.n_channels, 1))
        for start in range(0, self.n_samples, BLOCK_SAMPLES):
            part = self.read(start, min(start + BLOCK_SAMPLES, self.n_samples)).astype(np.float64)
            sums += part.sum(axis=1, keepdims=True)
            squares += np.square(part).sum(axis=1, keepdims=True)
        means = sums / self.n_samples
        deviations = np.sqrt(np.maximum(squares / self.n_samples - means**2, 0))
        return np.where(np.abs(means) > MIN_OFFSET * deviations, means, 0).astype(np.float32)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read a part of the recording.

        Args:
            start: the first sample.
            stop: the sample after the last one, at most `n_samples`.

        Returns:
            float32 `[C, stop - start]`.

        Raises:
            UserError: the file ends before `stop`, or a sample is not finite.
        """
        if isinstance(self._source, np.ndarray):
            samples = self._source[:, start:stop]
        else:
            samples = self._source.read(start, stop)
        if samples.shape[1] != stop - start:
            raise UserError(f"{self.name} ends at sample {start + samples.shape[1]} of {self.n_samples}; "
                            "export it again.")
        if not (np.abs(samples) <= MAX_SAMPLE).all():
            raise UserError(f"{self.name} contains samples that are NaN, infinite or beyond {MAX_SAMPLE:g} times full "
                            "scale; repair or export it again.")
        return np.ascontiguousarray(samples)
