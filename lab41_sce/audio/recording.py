"""A recording, in a file or in memory, is read in parts: float32 `[C, N]` from any place to any other.

    recording = Recording.open("meeting.flac")
    part = recording.read(0, 16000)  # the first second

Nothing but the parts that are read is kept, so that an hour takes no more memory than a minute. Windows (`plan`) say
which parts those are: they overlap, so that a model hears some of what comes before and after.
"""

from pathlib import Path

import numpy as np
import soundfile

from lab41_sce import audio
from lab41_sce.errors import UserError

MAX_HZ = 2**31 - 1  # that a file can have; soxr does not come back from 1e15
MAX_SAMPLE = 1e9  # full scales: what is larger has no finite square


class Recording:
    """Give access to the samples of a recording.

    Args:
        channels: `[C, N]` or an open `soundfile.SoundFile`.
        sample_rate_hz: its rate.
        name: of the recording, for messages.
        take: "each" channel, the "mix" of all, or the number of one, from 1.
        n_samples: its length, where a file's header may be wrong about it.

    Raises:
        UserError: there is no such channel.
    """

    def __init__(self, channels, sample_rate_hz: int, name: str = "the signal", take: str | int = "each",
                 n_samples: int | None = None):
        self._channels, self.sample_rate_hz, self.name, self._take = channels, sample_rate_hz, name, take
        in_memory = isinstance(channels, np.ndarray)
        self.n_channels, self.n_samples = channels.shape if in_memory else (channels.channels, channels.frames)
        self.n_samples = n_samples or self.n_samples
        if take != "each":
            if take != "mix" and not 1 <= int(take) <= self.n_channels:
                raise UserError(f"{name} has {self.n_channels} channels and no number {take}; choose 1 to "
                                f"{self.n_channels}, mix or each.")
            self.n_channels = 1

    @classmethod
    def of(cls, signal: np.ndarray, sample_rate_hz: int) -> "Recording":
        """Wrap a signal `[N]` or `[C, N]`: floats, or integers of which the largest are full scale.

        Raises:
            UserError: it has another shape, no samples, or some that are not finite, or the rate is none.
        """
        whole = isinstance(sample_rate_hz, (int, np.integer)) and not isinstance(sample_rate_hz, bool)
        if not whole or not 1 <= sample_rate_hz <= MAX_HZ:
            raise UserError(f"a sample rate of {sample_rate_hz!r} is not possible; give whole Hz, such as 16000.")
        signal = np.asarray(signal)
        if np.issubdtype(signal.dtype, np.integer):
            low, high = np.iinfo(signal.dtype).min, np.iinfo(signal.dtype).max
            signal = (signal - (low + high + 1) / 2) / ((high - low + 1) / 2)
        elif not np.issubdtype(signal.dtype, np.floating):
            raise UserError(f"a signal of {signal.dtype} cannot be separated; give floats or integers.")
        signal = signal.astype(np.float32)
        channels = signal[None] if signal.ndim == 1 else signal
        if channels.ndim == 2 and channels.shape[0] > channels.shape[1] > 0:
            raise UserError(f"a signal of shape {signal.shape} has more channels than samples; give [C, N].")
        if channels.ndim != 2 or not channels.size or not (np.abs(channels) <= MAX_SAMPLE).all():
            raise UserError(f"a signal of shape {signal.shape} cannot be separated; "
                            "give finite samples, [N] or [C, N].")
        return cls(channels, int(sample_rate_hz))

    @classmethod
    def open(cls, path: str | Path, take: str | int = "each") -> "Recording":
        """Open a file that libsndfile can decode (WAV, FLAC, OGG, MP3, ...); `take` as above.

        Raises:
            UserError: the file is missing, a directory, no audio or empty, or has no such channel.
        """
        file = audio.open_file(path)
        return cls(file, file.samplerate, str(path), take, audio.count_samples(file))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read the samples from `start` to before `stop`, which must lie within the recording: float32 `[C, n]`.

        Raises:
            UserError: a file ends too early, or a sample is not finite.
        """
        channels = self._read(start, stop)
        if self._take == "mix":
            channels = channels.mean(axis=0, keepdims=True)
        elif self._take != "each":
            channels = channels[[int(self._take) - 1]]
        if not (np.abs(channels) <= MAX_SAMPLE).all():
            raise UserError(f"{self.name} holds NaN or infinite samples, or some beyond {MAX_SAMPLE:g} times full scale; "
                            "repair or export it again.")
        return channels

    def _read(self, start, stop):
        """Read all channels."""
        if isinstance(self._channels, np.ndarray):
            return self._channels[:, start:stop]
        try:
            self._channels.seek(start)
            part = audio.decode(self._channels, stop - start).T
        except soundfile.LibsndfileError as error:
            reason = str(error).rstrip(".")
            raise UserError(f"{self.name} cannot be decoded to its end ({reason}); export it again.") from None
        if part.shape[1] != stop - start:
            raise UserError(f"{self.name} ends at sample {start + part.shape[1]}, but its header promises "
                            f"{self.n_samples}; export it again.")
        return np.ascontiguousarray(part)
