"""A recording, in a file or in memory, is read in parts: float32 `[C, N]` from any place to any other.

    recording = Recording.open("meeting.flac")
    part = recording.read(0, 16000)  # the first second

Nothing but the parts that are read is kept, so that an hour takes no more memory than a minute. Windows (`plan`) say
which parts those are: they overlap, so that a model hears some of what comes before and after.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from lab41_sce.errors import UserError

WINDOW_SECONDS, CONTEXT_SECONDS = 30.0, 4.0


class Recording:
    """Give access to the samples of a recording.

    Args:
        channels: `[C, N]` or an open `soundfile.SoundFile`.
        sample_rate_hz: its rate.
        name: of the recording, for messages.
        take: "each" channel, the "mix" of all, or the number of one, from 1.

    Raises:
        UserError: there is no such channel.
    """

    def __init__(self, channels, sample_rate_hz: int, name: str = "the signal", take: str | int = "each"):
        self._channels, self.sample_rate_hz, self.name, self._take = channels, sample_rate_hz, name, take
        in_memory = isinstance(channels, np.ndarray)
        self.n_channels, self.n_samples = channels.shape if in_memory else (channels.channels, channels.frames)
        self._place = 0  # of a file's reader; seeking is slow in some formats
        if take != "each":
            if take != "mix" and not 1 <= take <= self.n_channels:
                raise UserError(f"{name} has {self.n_channels} channels and no number {take}; choose 1 to "
                                f"{self.n_channels}, mix or each.")
            self.n_channels = 1

    @classmethod
    def of(cls, signal: np.ndarray, sample_rate_hz: int) -> "Recording":
        """Wrap a signal `[N]` or `[C, N]`.

        Raises:
            UserError: it has another shape, no samples, or some that are not finite.
        """
        signal = np.asarray(signal, np.float32)
        channels = signal[None] if signal.ndim == 1 else signal
        if channels.ndim != 2 or not channels.size or not np.isfinite(channels).all():
            raise UserError(f"a signal of shape {signal.shape} cannot be separated; "
                            "give finite samples, [N] or [C, N].")
        return cls(channels, sample_rate_hz)

    @classmethod
    def open(cls, path: str | Path, take: str | int = "each") -> "Recording":
        """Open a file that libsndfile can decode (WAV, FLAC, OGG, MP3, ...); `take` as above.

        Raises:
            UserError: the file is missing, a directory, no audio or empty, or has no such channel.
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
        return cls(file, file.samplerate, str(path), take)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read the samples from `start` to before `stop`, which must lie within the recording: float32 `[C, n]`.

        Raises:
            UserError: a file ends too early, or a sample is not finite.
        """
        channels = self._read(start, stop)
        if self._take == "each":
            return channels
        return channels.mean(axis=0, keepdims=True) if self._take == "mix" else channels[[self._take - 1]]

    def _read(self, start, stop):
        """Read all channels."""
        if isinstance(self._channels, np.ndarray):
            return self._channels[:, start:stop]
        try:
            if self._place != start:
                self._channels.seek(start)
            part = self._channels.read(stop - start, dtype="float32", always_2d=True).T
        except soundfile.LibsndfileError as error:
            reason = str(error).rstrip(".")
            raise UserError(f"{self.name} cannot be decoded to its end ({reason}); export it again.") from None
        self._place = start + part.shape[1]
        if part.shape[1] != stop - start:
            raise UserError(f"{self.name} ends at sample {self._place}, but its header promises {self.n_samples}; "
                            "export it again.")
        if not np.isfinite(part).all():
            raise UserError(f"{self.name} holds NaN or infinite samples; repair or export it again.")
        return np.ascontiguousarray(part)


class Window(NamedTuple):
    """Say which samples of a recording a window is for, and which the model gets to hear for it."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int


def plan(recording: Recording, front_end, window_seconds: float = WINDOW_SECONDS,
         context_seconds: float = CONTEXT_SECONDS) -> list[Window]:
    """Cut a recording into windows that start where a frame, a sample of the model and one of the recording coincide.

    Args:
        recording: what to cut.
        front_end: a `FrontEnd`.
        window_seconds: about how long they are.
        context_seconds: about how much more the model hears on both sides.

    Returns:
        The windows, in order; one if the recording is short.
    """
    common = math.gcd(recording.sample_rate_hz, front_end.sample_rate_hz)
    unit = math.lcm(front_end.hop_length, front_end.sample_rate_hz // common)  # samples of the model
    seconds = unit / front_end.sample_rate_hz
    unit = unit // (front_end.sample_rate_hz // common) * (recording.sample_rate_hz // common)  # of the recording
    length = max(round(window_seconds / seconds), 1) * unit
    context = math.ceil(context_seconds / seconds) * unit
    if recording.n_samples <= length + context:
        return [Window(0, recording.n_samples, 0, recording.n_samples)]
    starts = range(0, recording.n_samples - context, length)
    stops = [*starts[1:], recording.n_samples]
    return [Window(start, stop, max(start - context, 0), min(stop + context, recording.n_samples))
            for start, stop in zip(starts, stops, strict=True)]
