"""Magnitudes of the parts of a recording become the network's input, scaled by the statistics of the whole."""

from functools import cached_property

import numpy as np

from lab41_sce.models.clustering import active_bins
from lab41_sce.models.complex_masks import ACTIVE_FRACTION, COMPRESSION
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.frame_levels import sustained_level


class RunningScaling:
    """Compress and scale the parts of a recording by the statistics of the whole, which need not be in memory.

    First `add` every part, then call the object with each part. Two effects that training mixtures do not have are
    limited:

    - Events much louder than the speech, such as slamming doors, count as at most `EVENT_DB` above the loudest frame
      that remains without the loudest half second (beyond 100 seconds: without the loudest half percent).
      In a long recording half a percent can be all of the speech, so a sustained sound is no event
      (`frame_levels.sustained_level`).
    - Long pauses have a small weight in the mean and the variance.
    """

    EVENT_SECONDS, EVENT_SHARE, EVENT_DB = 0.5, 0.005, 10.0
    PAUSE_DB, RAMP_DB = 40.0, 10.0  # the weight of a frame falls around this level below the peak, over this range
    STEP_DB, FRAME_STEP_DB, LOWEST_DB, HIGHEST_DB = 0.1, 1.0, -240.0, 280.0

    def __init__(self, front_end: NumpyFrontEnd):
        self.front_end = front_end
        self.counts: dict[int, np.ndarray] = {}  # of bins by the place of their frame's level: [levels]
        self.loudest: list[np.ndarray] = []
        self.lowest = np.inf

    def add(self, magnitude: np.ndarray) -> None:
        """Add the magnitudes `[T, F]` of a part to the statistics."""
        n_levels = len(self._centres_db(self.STEP_DB))
        rows, levels = self._places(magnitude.max(axis=1), self.FRAME_STEP_DB), self._places(magnitude, self.STEP_DB)
        for row in np.unique(rows).tolist():
            counts = np.bincount(levels[rows == row].ravel(), minlength=n_levels)
            self.counts[row] = self.counts.get(row, 0) + counts
        self.loudest.append(magnitude.max(axis=1))
        self.lowest = min(self.lowest, float(magnitude.min()))
        for name in ("peak", "mask_network_scale", "_mean_and_deviation"):
            self.__dict__.pop(name, None)

    @cached_property
    def peak(self) -> float:
        """Return the largest magnitude, or the limit for louder events."""
        frames = np.concatenate(self.loudest)
        loudest = np.sort(frames)[::-1]
        frame_seconds = self.front_end.hop_length / self.front_end.sample_rate_hz
        event = max(round(self.EVENT_SECONDS / frame_seconds), round(self.EVENT_SHARE * len(loudest)))
        usual = max(loudest[min(event, len(loudest) // 4)], sustained_level(frames, frame_seconds))
        if not usual:  # the recording has no other sound than an event
            return float(loudest[0])
        return float(min(loudest[0], usual * 10 ** (self.EVENT_DB / 20)))

    def loudness(self, range_db: float) -> np.ndarray:
        """Sum the levels of the active frames of each part that was added.

        Args:
            range_db: a frame is active if its level is at most this far below the peak, and not above, as events are.

        Returns:
            `[parts]`; 0 of a part without active frames.
        """
        return np.array([frames[active_bins(frames, range_db, self.peak) & (frames <= self.peak)].sum()
                         for frames in self.loudest])

    def n_frames(self, part: int) -> int:
        """Return the number of frames of a part, by the order in which they were added."""
        return len(self.loudest[part])

    def first_frame(self, part: int) -> int:
        """Return the number in the recording of the first frame of a part; that of the end if there is no such part."""
        return sum(map(len, self.loudest[:part]))

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        """Compress and scale the magnitudes `[T, F]` of a part: float32 `[T, F]`."""
        features = self._compress(magnitude)
        if not self.peak:  # silence
            return np.zeros_like(features)
        if self.front_end.scaling == "min_max":
            low, high = self._compress(np.array([self.lowest, self.peak]))
            return ((features - low) / max(high - low, 1e-6)).astype(np.float32)
        mean, deviation = self._mean_and_deviation
        return ((features - mean) / max(deviation, 1e-6)).astype(np.float32)

    @cached_property
    def mask_network_scale(self) -> float:
        """Return what `complex_masks.scale_of` returns for a whole recording; 0 for silence."""
        if not self.peak:
            return 0.0
        frame_levels, levels = (10.0 ** (self._centres_db(step) / 20.0) for step in (self.FRAME_STEP_DB, self.STEP_DB))
        counts = sum(counts for row, counts in self.counts.items() if frame_levels[row] > ACTIVE_FRACTION * self.peak)
        return float(np.average(np.minimum(levels, self.peak) ** (2.0 * COMPRESSION), weights=counts) ** -0.5)

    @cached_property
    def _mean_and_deviation(self) -> tuple[float, float]:
        below_db = 20 * np.log10(self.peak) - self._centres_db(self.FRAME_STEP_DB)
        weights = np.clip(0.5 + (self.PAUSE_DB - below_db) / self.RAMP_DB, 0, 1)
        counts = np.sum([weights[row] * counts for row, counts in self.counts.items()], axis=0)
        filled = np.flatnonzero(counts)
        levels = self._compress(10.0 ** (self._centres_db(self.STEP_DB)[filled] / 20.0))
        mean = np.average(levels, weights=counts[filled])
        return mean, np.sqrt(np.average((levels - mean) ** 2, weights=counts[filled]))

    def _centres_db(self, step_db: float) -> np.ndarray:
        """Return the levels at the centres of the places that `_places` returns."""
        return self.LOWEST_DB + (np.arange(round((self.HIGHEST_DB - self.LOWEST_DB) / step_db)) + 0.5) * step_db

    def _places(self, magnitude: np.ndarray, step_db: float) -> np.ndarray:
        """Return the indices of magnitudes on an axis of the counts."""
        level_db = 20.0 * np.log10(np.maximum(magnitude, 10.0 ** (self.LOWEST_DB / 20)))
        last = round((self.HIGHEST_DB - self.LOWEST_DB) / step_db) - 1
        return np.clip((level_db - self.LOWEST_DB) / step_db, 0, last).astype(int)

    def _compress(self, magnitude: np.ndarray) -> np.ndarray:
        magnitude = np.minimum(magnitude, self.peak).astype(np.float32)
        return self.front_end.compress(magnitude, self.peak)
