"""A window of a recording becomes signals and spectrograms at the model's rate.

    samples [C, n] -> resampled [C, N] -> spectrograms [C, T, F], magnitudes of the mixed channels [T, F]

Separation needs a window up to three times. The windows of short recordings are kept; those of long ones are read
again, so that memory does not grow with the length of a recording.
"""

from threading import RLock
from typing import NamedTuple

import numpy as np

from lab41_sce import audio
from lab41_sce.audio.mixing import mix, mixing_weights
from lab41_sce.audio.recording import Recording
from lab41_sce.audio.windows import Window
from lab41_sce.models.numpy_front_end import NumpyFrontEnd

MAX_KEPT_BYTES = 64_000_000  # about 3 minutes of one channel
MAX_CLUSTERING_WINDOWS = 24


class WindowSignals(NamedTuple):
    """Hold the signals of a window and its context.

    Attributes:
        samples: at the recording's rate, float32 `[C, n]`.
        resampled: at the model's rate, float32 `[C, N]`.
        spectrograms: complex64 `[C, T, F]`.
        magnitudes: of the mean of the channels, or of the loudest where they cancel each other, float32 `[T, F]`.
    """

    samples: np.ndarray
    resampled: np.ndarray
    spectrograms: np.ndarray
    magnitudes: np.ndarray


class WindowReader:
    """Read, resample and transform the windows of a recording for the front end of a model.

    Several threads can read different windows at once. The recording itself is read by one thread at a time.
    """

    def __init__(self, recording: Recording, front_end: NumpyFrontEnd):
        self.recording, self.front_end = recording, front_end
        self._lock = RLock()
        self._keeps = self._size() <= MAX_KEPT_BYTES
        self._kept: dict[Window, WindowSignals] = {}

    def read(self, window: Window) -> WindowSignals:
        """Return the signals of a window, and keep them if the recording is short."""
        if window in self._kept:
            return self._kept[window]
        samples = self.samples(window.context_start, window.context_stop)
        resampled = np.stack([self._resample(channel) for channel in samples])
        spectrograms = self.front_end.spectrogram(resampled)
        magnitudes = np.abs(spectrograms[0]) if len(samples) == 1 else self._mixed_magnitudes(samples)
        signals = WindowSignals(samples, resampled, spectrograms, magnitudes)
        if self._keeps:
            self._kept[window] = signals
        return signals

    def samples(self, start: int, stop: int) -> np.ndarray:
        """Read samples of the recording without the constant offset of each channel, float32 `[C, stop - start]`."""
        with self._lock:
            return self.recording.read(start, stop) - self.recording.offset

    def magnitudes(self, window: Window) -> np.ndarray:
        """Return the magnitudes of the mixed channels, float32 `[T, F]`."""
        if self._keeps:
            return self.read(window).magnitudes
        return self._mixed_magnitudes(self.samples(window.context_start, window.context_stop))

    def mixed_spectrogram(self, signals: WindowSignals) -> np.ndarray:
        """Return the spectrogram of the mixed channels of a window, complex64 `[T, F]`."""
        if len(signals.samples) == 1:
            return signals.spectrograms[0]
        return np.tensordot(mixing_weights([signals.samples.T]), signals.spectrograms, 1).astype(np.complex64)

    def own_frames(self, window: Window) -> slice:
        """Return the slice of a window's frames that excludes the frames of its context."""
        return own_frames(window, self.front_end, self.recording.sample_rate_hz)

    def forget(self, window: Window) -> None:
        """Free the memory of a window that is not needed again."""
        self._kept.pop(window, None)

    def _mixed_magnitudes(self, samples: np.ndarray) -> np.ndarray:
        """Mix the channels, `[C, n]`, and return the magnitudes; note once that channels cancel each other."""
        weights = mixing_weights([samples.T])
        note = "the channels cancel each other; the masks come from the loudest instead of their mean"
        with self._lock:
            if len(weights) > 1 and weights.max() == 1 and note not in self.recording.notes:
                self.recording.notes.append(note)
        return np.abs(self.front_end.spectrogram(self._resample(mix(samples, weights))))

    def _resample(self, signal: np.ndarray) -> np.ndarray:
        return audio.resample(signal, self.recording.sample_rate_hz, self.front_end.sample_rate_hz)

    def _size(self) -> float:
        """Estimate the bytes of the signals of all windows."""
        n_samples = self.recording.n_samples
        n_resampled = n_samples * self.front_end.sample_rate_hz / self.recording.sample_rate_hz
        n_bins = n_resampled / self.front_end.hop_length * self.front_end.n_bins
        return 4 * (self.recording.n_channels * (n_samples + n_resampled + 2 * n_bins) + n_bins)


def frame_seconds(front_end: NumpyFrontEnd) -> float:
    """Return the time between frames, in seconds."""
    return front_end.hop_length / front_end.sample_rate_hz


def first_frame_seconds(front_end: NumpyFrontEnd) -> float:
    """Return the centre of the first frame, in seconds: negative if frames overlap by more than half."""
    return (front_end.hop_length - front_end.frame_length / 2) / front_end.sample_rate_hz


def own_frames(window: Window, front_end: NumpyFrontEnd, sample_rate_hz: int) -> slice:
    """Return the slice of a window's frames that excludes the frames of its context.

    Args:
        window: the window.
        front_end: defines the frames.
        sample_rate_hz: of the recording.
    """
    samples_per_frame = frame_seconds(front_end) * sample_rate_hz
    first = round((window.start - window.context_start) / samples_per_frame)
    if window.stop == window.context_stop:
        return slice(first, None)
    return slice(first, first + round((window.stop - window.start) / samples_per_frame))


def choose_windows(loudness: np.ndarray, most: int = MAX_CLUSTERING_WINDOWS) -> list[int]:
    """Choose the windows whose embeddings determine the centroids.

    Args:
        loudness: of each window, see `RunningScaling.loudness`, `[n]`.
        most: largest number of windows, even.

    Returns:
        Ascending indices of all windows with active frames. If there are more than `most`, one half of those chosen
        have the most speech, and the other half are evenly spaced among the rest. The first window, if all are silent.
    """
    active = np.flatnonzero(loudness)
    if len(active) <= most:
        return active.tolist() or [0]
    ranked = active[np.argsort(-loudness[active], kind="stable")]
    rest = np.sort(ranked[most // 2 :])
    spaced = rest[np.linspace(0, len(rest) - 1, most // 2).round().astype(int)]
    return sorted({*ranked[: most // 2].tolist(), *spaced.tolist()})
