"""Decisions and levels of frames, `[S, T]`, become smoother over time.

The functions compute the same as `binary_closing`, `binary_opening` and `gaussian_filter1d` of `scipy.ndimage`, whose
import takes longer than the separation of a short recording.
"""

import numpy as np

TRUNCATE = 4.0  # the Gaussian ends at so many standard deviations, as in scipy.ndimage


def bridge_gaps(active: np.ndarray, min_frames: int) -> np.ndarray:
    """Fill the gaps of fewer than `min_frames` frames between active frames: bool `[S, T]`."""
    bridged = active.copy()
    for row in bridged:
        starts, stops = _runs(row)
        for start, stop in zip(stops[:-1], starts[1:], strict=True):
            row[start:stop] |= stop - start < min_frames
    return bridged


def remove_short(active: np.ndarray, min_frames: int) -> np.ndarray:
    """Remove the runs of fewer than `min_frames` active frames: bool `[S, T]`."""
    kept = active.copy()
    for row in kept:
        for start, stop in zip(*_runs(row), strict=True):
            row[start:stop] &= stop - start >= min_frames
    return kept


def gaussian_mean(values: np.ndarray, deviation_frames: float) -> np.ndarray:
    """Compute the mean over neighbouring frames, weighted by a Gaussian: `[S, T]`; the borders reflect."""
    radius = int(TRUNCATE * deviation_frames + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation_frames) ** 2)
    padded = np.pad(values, [(0, 0), (radius, radius)], mode="symmetric")
    return np.stack([np.convolve(row, weights / weights.sum(), mode="valid") for row in padded])


def _runs(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first frames of the active runs, and the first frames after them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]])))
    return edges[::2], edges[1::2]
