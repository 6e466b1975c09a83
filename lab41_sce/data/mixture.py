"""Excerpts `[S, N]` are scaled to their levels; a mixture `[N]` is their sum, plus noise.

The level of an excerpt is the standard deviation of its first-order difference `x[n] - a x[n - 1]` (pre-emphasis), in
dB. At the same level speakers sound about equally loud (the protocol of arXiv 1705.04662).
"""

from dataclasses import dataclass

import numpy as np

from lab41_sce.audio import FULL_SCALE

MIN_DEVIATION = 1e-6  # of the differences, at a full scale of 1; quieter excerpts do not reach their level


@dataclass(frozen=True)
class Mixture:
    """Hold one mixture with its true sources.

    Attributes:
        sources: float32 `[S, N]`.
        speakers: ids of the S speakers, if known.
        noise: float32 `[N]`, or None.
    """

    sources: np.ndarray
    speakers: tuple[str, ...] = ()
    noise: np.ndarray | None = None

    @property
    def signal(self) -> np.ndarray:
        """The sum of the sources and the noise, float32 `[N]`."""
        speech = self.sources.sum(axis=0)
        return speech if self.noise is None else speech + self.noise

    @property
    def n_speakers(self) -> int:
        """The number of sources, S."""
        return len(self.sources)


def normalise(excerpts: np.ndarray, pre_emphasis: float, levels_db: np.ndarray | float = 0.0) -> np.ndarray:
    """Subtract the mean of each excerpt, and scale it to its level.

    Args:
        excerpts: float32 `[..., N]`.
        pre_emphasis: coefficient a of the first-order difference.
        levels_db: `[...]`, levels in dB.

    Returns:
        float32 `[..., N]`; a silent excerpt stays silent.
    """
    scaled, levels_db = np.empty(excerpts.shape, np.float32), np.broadcast_to(levels_db, excerpts.shape[:-1])
    for place in np.ndindex(levels_db.shape):
        normalise_into(scaled[place], excerpts[place], pre_emphasis, float(levels_db[place]))
    return scaled


def normalise_into(out: np.ndarray, samples: np.ndarray, pre_emphasis: float, level_db: float) -> None:
    """Write an excerpt of zero mean at its level.

    Args:
        out: float32 `[N]`, receives the excerpt.
        samples: float32 or int16 `[N]`.
        pre_emphasis: coefficient a of the first-order difference.
        level_db: of the excerpt.
    """
    # Sums of products give the deviation of the differences without computing them, in half of the time. They are
    # exact for samples of 16 bits, and so the same on every processor.
    wide, last, n_differences = samples.astype(np.float64), float(samples[-1]), len(samples) - 1
    first, total, energy = float(wide[0]), float(wide.sum()), _dot(wide, wide)
    product = _dot(wide[1:], wide[:-1])
    mean = (total - first - pre_emphasis * (total - last)) / n_differences
    power = energy - first**2 + pre_emphasis * (pre_emphasis * (energy - last**2) - 2 * product)
    deviation = max(power / n_differences - mean**2, 0.0) ** 0.5
    if deviation > 10 * MIN_DEVIATION * full_scale(samples):
        np.subtract(samples, np.float32(total / len(samples)), out=out)
        out *= np.float32(10.0 ** (level_db / 20.0) / deviation)
    else:  # rounding errors count
        out[:] = centre(samples / np.float32(full_scale(samples)))
        out *= level_gains(out, pre_emphasis, level_db)


def _dot(one: np.ndarray, other: np.ndarray) -> float:
    """Add up the products of two signals."""
    # OpenBLAS 0.3 starts threads for more than 10,000 products, which wait for each other in busy loops.
    return sum(float(np.dot(one[start : start + 8192], other[start : start + 8192]))
               for start in range(0, len(one), 8192))


def full_scale(samples: np.ndarray) -> int:
    """Return the full scale of samples: 32767 of int16, 1 of floats."""
    return FULL_SCALE if samples.dtype == np.int16 else 1


def centre(excerpts: np.ndarray) -> np.ndarray:
    """Subtract the mean of each excerpt `[..., N]`; a constant excerpt becomes zeros."""
    # The mean of a float32 constant has a rounding error, which a gain would make audible.
    constant = np.ptp(excerpts, axis=-1, keepdims=True) == 0
    return np.where(constant, np.float32(0), excerpts - excerpts.mean(axis=-1, keepdims=True))


def level_gains(excerpts: np.ndarray, pre_emphasis: float, levels_db: np.ndarray | float) -> np.ndarray:
    """Compute the factors that scale excerpts of zero mean to their levels (see `normalise`): float32 `[...]`."""
    deviation = (excerpts[..., 1:] - pre_emphasis * excerpts[..., :-1]).std(axis=-1)
    return (10.0 ** (np.asarray(levels_db) / 20.0) / np.maximum(deviation, MIN_DEVIATION)).astype(np.float32)
