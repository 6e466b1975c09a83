"""A recording is divided into windows, each with overlapping context before and after it.

A window starts where a sample of the recording, a sample at the model's rate and a frame of the model coincide.
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


def plan_windows(recording: Recording, model_rate_hz: int, hop_length: int, grid_frames: int,
                 window_seconds: float = WINDOW_SECONDS) -> list[Window]:
    """Divide a recording into windows.

    Args:
        recording: the recording to divide.
        model_rate_hz: sample rate of the model.
        hop_length: samples of the model between frames.
        grid_frames: windows start at multiples of this number of frames; the context has at least as many frames.
        window_seconds: approximate length of a window; shorter with many channels.

    Returns:
        The windows in order; one window for a short recording.
    """
    window_seconds = min(window_seconds, MAX_WINDOW_SAMPLES / (recording.n_channels * recording.sample_rate_hz))
    common_hz = math.gcd(recording.sample_rate_hz, model_rate_hz)
    model_unit = math.lcm(grid_frames * hop_length, model_rate_hz // common_hz)  # samples at the model's rate
    unit = model_unit // (model_rate_hz // common_hz) * (recording.sample_rate_hz // common_hz)  # of the recording
    length = max(round(window_seconds / (model_unit / model_rate_hz)), 1) * unit
    if recording.n_samples <= length + unit:
        return [Window(0, recording.n_samples, 0, recording.n_samples)]
    starts = range(0, recording.n_samples - unit, length)
    stops = [*starts[1:], recording.n_samples]
    return [Window(start, stop, max(start - unit, 0), min(stop + unit, recording.n_samples))
            for start, stop in zip(starts, stops, strict=True)]
