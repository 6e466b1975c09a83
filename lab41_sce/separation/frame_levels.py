"""The levels of all frames of a recording, `[T]`, become the level of its speech, whatever its length.

A percentile over all frames depends on how much of a recording is silent. A level that is reached for a part of two
seconds does not, and a click or a slamming door is too short to reach it.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

STRETCH_SECONDS, EVENT_SECONDS = 2.0, 0.5


def sustained_level(levels: np.ndarray, frame_seconds: float) -> float:
    """Find the largest level that is sustained for longer than an event.

    Args:
        levels: level or power of each frame, at least 0, `[T]`.
        frame_seconds: time between frames.

    Returns:
        The largest level that frames of more than `EVENT_SECONDS` reach within `STRETCH_SECONDS`; 0 if there is none.
    """
    n_frames, n_event = round(STRETCH_SECONDS / frame_seconds), round(EVENT_SECONDS / frame_seconds)
    padded = np.pad(levels, (0, n_frames))
    stretches = sliding_window_view(padded, n_frames)[:: max(n_event, 1)]  # they overlap
    return float(np.partition(stretches, -1 - n_event, axis=1)[:, -1 - n_event].max())
