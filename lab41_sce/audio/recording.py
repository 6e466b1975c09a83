"""A recording, in a file or in memory, is read in parts: float32 `[C, n]` between any two samples.

    recording = Recording.open("meeting.flac")
    first_second = recording.read(0, recording.sample_rate_hz)

A file is decoded only where it is read, so memory does not grow with its length.
"""

from pathlib import Path

import numpy as np
import soundfile

from lab41_sce import audio
from lab41_sce.audio.samples import as_floats
from lab41_sce.errors import UserError

MAX_RATE_HZ = 2**31 - 1  # the largest rate that a file can have; soxr does not return at 1e15 Hz
MAX_SAMPLE = 1e9  # times full scale; the squares of larger samples are not finite in float32


class Recording:
    """Give access to the samples of a recording.

    Args:
        source: samples, float32 `[C, N]`, or an open `soundfile.SoundFile`.
        sample_rate_hz: of the samples.
        name: name of the recording in messages; for a file, its path.
        channels: "each" for all channels, "mix" for their mean, or the number of one channel, from 1.
        n_samples: length in samples; None for the length that the source states.

    Raises:
        UserError: there is no such channel.
    """

    def __init__(self, source: np.ndarray | soundfile.SoundFile, sample_rate_hz: int, name: str = "the signal",
                 channels: str | int = "each", n_samples: int | None = None):
        self._source, self.sample_rate_hz, self.name, self._selection = source, sample_rate_hz, name, channels
        self.n_channels, stated_samples = (source.shape if isinstance(source, np.ndarray)
                                           else (source.channels, source.frames))
        self.n_samples = n_samples or stated_samples
        if channels != "each":
            if channels != "mix" and not 1 <= int(channels) <= self.n_channels:
                raise UserError(f"{name} has {self.n_channels} channels and no channel {channels}; choose 1 to "
                                f"{self.n_channels}, mix or each.")
            self.n_channels = 1

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
    def open(cls, path: str | Path, channels: str | int = "each") -> "Recording":
        """Open an audio file (see `audio.open_file`); `channels` and errors as in `Recording`."""
        file = audio.open_file(path)
        return cls(file, file.samplerate, str(path), channels, audio.count_samples(file))

    @property
    def seconds(self) -> float:
        """Return the length in seconds."""
        return self.n_samples / self.sample_rate_hz

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
        samples = self._read_all_channels(start, stop)
        if self._selection == "mix":
            samples = samples.mean(axis=0, keepdims=True)
        elif self._selection != "each":
            samples = samples[[int(self._selection) - 1]]
        if not (np.abs(samples) <= MAX_SAMPLE).all():
            raise UserError(f"{self.name} contains samples that are NaN, infinite or beyond {MAX_SAMPLE:g} times full "
                            "scale; repair or export it again.")
        return samples

    def _read_all_channels(self, start: int, stop: int) -> np.ndarray:
        """Read a part of all channels, float32 `[C, n]`."""
        if isinstance(self._source, np.ndarray):
            return self._source[:, start:stop]
        try:
            self._source.seek(start)
            samples = audio.decode(self._source, stop - start).T
        except soundfile.LibsndfileError as error:
            reason = str(error).rstrip(".")
            raise UserError(f"{self.name} cannot be decoded to its end ({reason}); export it again.") from None
        if samples.shape[1] != stop - start:
            raise UserError(f"{self.name} ends at sample {start + samples.shape[1]}, but its header states "
                            f"{self.n_samples}; export it again.")
        return np.ascontiguousarray(samples)
