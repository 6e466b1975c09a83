"""Excerpts `[S, N]` are scaled to their levels; a mixture `[N]` is their sum, plus noise.

The level of an excerpt is the standard deviation of its first-order difference `x[n] - a x[n - 1]` (pre-emphasis), in
dB. At the same level speakers sound about equally loud (the protocol of arXiv 1705.04662).
"""

from dataclasses import dataclass

import numpy as np


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
    excerpts = centre(excerpts)
    return excerpts * level_gains(excerpts, pre_emphasis, levels_db)[..., None]


def centre(excerpts: np.ndarray) -> np.ndarray:
    """Subtract the mean of each excerpt `[..., N]`; a constant excerpt becomes zeros."""
    # The mean of a float32 constant has a rounding error, which a gain would make audible.
    constant = np.ptp(excerpts, axis=-1, keepdims=True) == 0
    return np.where(constant, np.float32(0), excerpts - excerpts.mean(axis=-1, keepdims=True))


def level_gains(excerpts: np.ndarray, pre_emphasis: float, levels_db: np.ndarray | float) -> np.ndarray:
    """Compute the factors that scale excerpts of zero mean to their levels (see `normalise`): float32 `[...]`."""
    deviation = (excerpts[..., 1:] - pre_emphasis * excerpts[..., :-1]).std(axis=-1)
    return (10.0 ** (np.asarray(levels_db) / 20.0) / np.maximum(deviation, 1e-6)).astype(np.float32)
