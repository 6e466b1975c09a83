"""A recording is cut into windows that overlap, so that a model has context before and after each."""

import math
from typing import NamedTuple

from lab41_sce.audio.recording import Recording

WINDOW_SECONDS = 60.0


class Window(NamedTuple):
    """Say which samples of a recording a window is for, and which the model gets to hear for it."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int


def plan(recording: Recording, front_end, grid_frames: int, window_seconds: float = WINDOW_SECONDS) -> list[Window]:
    """Cut a recording into windows that start where a frame, a sample of the model and one of the recording coincide.

    Args:
        recording: what to cut.
        front_end: a `FrontEnd`.
        grid_frames: they begin at multiples of so many frames, and the model hears at least as many more on both sides.
        window_seconds: about how long they are.

    Returns:
        The windows, in order; one if the recording is short.
    """
    common = math.gcd(recording.sample_rate_hz, front_end.sample_rate_hz)
    unit = math.lcm(grid_frames * front_end.hop_length, front_end.sample_rate_hz // common)  # samples of the model
    seconds = unit / front_end.sample_rate_hz
    unit = unit // (front_end.sample_rate_hz // common) * (recording.sample_rate_hz // common)  # of the recording
    length = max(round(window_seconds / seconds), 1) * unit
    if recording.n_samples <= length + unit:
        return [Window(0, recording.n_samples, 0, recording.n_samples)]
    starts = range(0, recording.n_samples - unit, length)
    stops = [*starts[1:], recording.n_samples]
    return [Window(start, stop, max(start - unit, 0), min(stop + unit, recording.n_samples))
            for start, stop in zip(starts, stops, strict=True)]
