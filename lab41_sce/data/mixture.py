"""Excerpts are brought to their levels, and a mixture is their sum and that of noise."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mixture:
    """Hold one mixture whose truth is known.

    Attributes:
        sources: float32 `[S, N]`.
        speakers: their ids.
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
        """S."""
        return len(self.sources)


def normalise(excerpts: np.ndarray, pre_emphasis: float, levels_db: np.ndarray | float = 0.0) -> np.ndarray:
    """Bring excerpts to zero mean and to a level, measured after pre-emphasis.

    Args:
        excerpts: float32 `[..., N]`.
        pre_emphasis: coefficient of the first-order difference.
        levels_db: `[...]`, the standard deviation after pre-emphasis in dB.

    Returns:
        float32 `[..., N]`; a silent excerpt stays silent.
    """
    excerpts = excerpts - excerpts.mean(axis=-1, keepdims=True)
    return excerpts * level_gains(excerpts, pre_emphasis, levels_db)[..., None]


def level_gains(excerpts: np.ndarray, pre_emphasis: float, levels_db: np.ndarray | float) -> np.ndarray:
    """Compute the factor that brings each excerpt `[..., N]` to its level (see `normalise`): float32 `[...]`."""
    deviation = (excerpts[..., 1:] - pre_emphasis * excerpts[..., :-1]).std(axis=-1)
    return (10.0 ** (np.asarray(levels_db) / 20.0) / np.maximum(deviation, 1e-6)).astype(np.float32)
