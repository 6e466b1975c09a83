"""A recording is divided into windows, each with overlapping context before and after it.

The context of a window starts where a sample of the recording, a sample at the model's rate and a frame of the model
coincide.
"""

import math
from typing import NamedTuple

from lab41_sce.audio.recording import Recording

WINDOW_SECONDS = 60.0
MAX_WINDOW_SAMPLES = 2**27  # of all channels together, so that memory does not grow with their number


class Window(NamedTuple):
    """Give the samples of a recording that a window covers, and those that the model receives for it.

    Attributes:
        start: the first sample that the window covers.
        stop: the sample after the last one that it covers.
        context_start: the first sample that the model receives, at most `start`.
        context_stop: the sample after the last one that the model receives, at least `stop`.
    """

    start: int
    stop: int
    context_start: int
    context_stop: int


def plan_windows(recording: Recording, model_rate_hz: int, hop_length: int, grid_frames: int, context_frames: int,
                 edge_frames: int = 0, window_seconds: float = WINDOW_SECONDS) -> list[Window]:
    """Divide a recording into windows.

    Args:
        recording: the recording to divide.
        model_rate_hz: sample rate of the model.
        hop_length: samples of the model between frames.
        grid_frames: every window but the first starts `context_frames` after a multiple of this number of frames.
        context_frames: length of the context before and after a window.
        edge_frames: the context is longer by at least this number of frames, for frames that are incomplete.
        window_seconds: approximate length of a window; shorter with many channels.

    Returns:
        The windows in order; one window for a short recording.
    """
    window_seconds = min(window_seconds, MAX_WINDOW_SAMPLES / (recording.n_channels * recording.sample_rate_hz))
    common_hz = math.gcd(recording.sample_rate_hz, model_rate_hz)
    step = model_rate_hz // common_hz, recording.sample_rate_hz // common_hz  # samples in the same time

    def aligned(n_frames: int) -> int:
        """Return the samples of the recording after which both rates and `n_frames` frames coincide."""
        return math.lcm(n_frames * hop_length, step[0]) // step[0] * step[1]

    unit = aligned(grid_frames)
    length = max(round(window_seconds * recording.sample_rate_hz / unit), 1) * unit
    before = round(context_frames * hop_length / model_rate_hz * recording.sample_rate_hz)
    edge = aligned(1) * math.ceil(edge_frames * hop_length * step[1] / step[0] / aligned(1))
    starts = [0, *range(length + before, recording.n_samples - before - edge, length)]
    stops = [*starts[1:], recording.n_samples]
    return [Window(start, stop, max(start - before - edge, 0), min(stop + before + edge, recording.n_samples))
            for start, stop in zip(starts, stops, strict=True)]
