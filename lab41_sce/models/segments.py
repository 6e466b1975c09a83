"""A recording of any length becomes segments of a fixed number of frames, and their masks become one mask.

The network may order the speakers differently in each segment. Segments therefore overlap by half, and each is put in
the order that agrees best with the segment before.
"""

import math

import numpy as np


def evenly_spaced_starts(n_frames: int, segment_frames: int) -> np.ndarray:
    """Return the first frames of the fewest, evenly spaced segments that cover all frames: integers `[n]`."""
    n_segments = math.ceil(n_frames / segment_frames)
    return np.linspace(0, max(n_frames - segment_frames, 0), n_segments).round().astype(int)


def overlapping_starts(n_frames: int, segment_frames: int) -> np.ndarray:
    """Return the first frames of segments that overlap by half, the last one by more: integers `[n]`."""
    last = max(n_frames - segment_frames, 0)
    return np.append(np.arange(0, last, max(segment_frames // 2, 1)), last)


def segment_indices(n_frames: int, starts: np.ndarray, segment_frames: int) -> np.ndarray:
    """Return the frames of each segment, `[n, segment_frames]`; the last frame is repeated if there are too few."""
    return np.minimum(starts[:, None] + np.arange(segment_frames), n_frames - 1)


def join(masks: np.ndarray, starts: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Join the masks of overlapping segments: each is put in the order of the one before, then they are cross-faded.

    Args:
        masks: `[n, S, segment_frames, F]`; they sum to one over S.
        starts: integers `[n]`, see `overlapping_starts`.
        mixture: magnitudes `[T, F]`. The agreement of two orders is the correlation of their masks in the common
            frames, with bins weighted by magnitude.

    Returns:
        Masks, float32 `[S, T, F]`, that sum to one over S.
    """
    from scipy.optimize import linear_sum_assignment  # takes half a second; embedding models do not need it

    segment_frames, n_frames = masks.shape[2], len(mixture)
    ordered = [masks[0]]
    for segment, start, start_before in zip(masks[1:], starts[1:], starts[:-1], strict=True):
        common = mixture[start : start_before + segment_frames]
        before = ordered[-1][:, start - start_before :]
        agreement = np.einsum("stf,rtf->sr", before * common, segment[:, : len(common)])
        ordered.append(segment[linear_sum_assignment(agreement, maximize=True)[1]])

    window = np.bartlett(segment_frames + 2)[1:-1, None]  # a triangle, nowhere zero
    total, weights = np.zeros((masks.shape[1], *mixture.shape)), np.zeros((n_frames, 1))
    for segment, start in zip(ordered, starts, strict=True):
        place = slice(start, start + segment_frames)
        total[:, place] += (window * segment)[:, : n_frames - start]
        weights[place] += window[: n_frames - start]
    return (total / weights).astype(np.float32)
