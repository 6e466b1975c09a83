"""The channels of a recorded call become voices: each channel holds one person, and no network is needed.

    samples [C, n] -> voices [C, 1, n], without the constant offset of each channel
    magnitudes [C, T, F] -> share of each channel in every bin -> activity and confidence

The shares take the place of the masks of a separation. So the confidence is near 1 where one channel at a time is loud,
and 0 where all channels hold the same sound.
"""

from collections.abc import Callable, Iterator

import numpy as np

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.audio.windows import Window, plan_windows
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.result import FoundSpeakers, Separation
from lab41_sce.separation.window_signals import first_frame_seconds, frame_seconds, own_frames

CONTEXT_FRAMES = 125  # before and after a window, at least as long as a frame


class ChannelStream:
    """Copy the channels of a recording part by part, as `VoiceStream` separates voices.

    Args:
        recording: C channels, each with the voice of one person.
        progress: called with the share of the work done since the last call; all shares sum to one.
    """

    def __init__(self, recording: Recording, progress: Callable[[float], object]):
        self._recording, self._progress, self._front_end = recording, progress, NumpyFrontEnd()
        self._windows = plan_windows(recording, self._front_end.sample_rate_hz, self._front_end.hop_length,
                                     CONTEXT_FRAMES, CONTEXT_FRAMES)
        self._activity: list[SpeakerActivity] = []
        self.speakers = FoundSpeakers(recording.n_channels)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the next samples of each channel, float32 `[C, 1, n]`."""
        self._activity = []
        for window in self._windows:
            samples = self._recording.read(window.context_start, window.context_stop) - self._recording.offset
            self._activity.append(self._measure(window, samples))
            self._progress((window.stop - window.start) / self._recording.n_samples)
            first = window.start - window.context_start
            yield samples[:, None, first : first + window.stop - window.start]

    def result(self) -> Separation:
        """Return the separation, without the voices. Only after the iteration."""
        activity = SpeakerActivity.concatenate(self._activity, self._recording.seconds)
        return Separation(self._recording.sample_rate_hz, None, **vars(self.speakers), activity=activity,
                          confidence=activity.confidence(), details=None)

    def _measure(self, window: Window, samples: np.ndarray) -> SpeakerActivity:
        """Measure the activity of each channel, `[C, n]`, in the frames of a window."""
        front_end, rate_hz = self._front_end, self._recording.sample_rate_hz
        resampled = np.stack([audio.resample(channel, rate_hz, front_end.sample_rate_hz) for channel in samples])
        magnitudes = np.abs(front_end.spectrogram(resampled))[:, own_frames(window, front_end, rate_hz)]
        total = magnitudes.sum(axis=0)
        return SpeakerActivity.from_masks(magnitudes / np.maximum(total, 1e-12), total, frame_seconds(front_end),
                                          first_frame_seconds(front_end))
