"""Several channels become one: their mean, or the loudest channel where the mean would cancel the sound.

Some devices record one microphone on two channels with opposite signs. The mean of such channels is silence. A constant
offset, which sound cards add with the same sign, does not count as sound.
"""

from collections.abc import Iterable

import numpy as np

CANCELLED = 0.01  # share of the mean energy of the channels below which their mean is not used: -20 dB


def mixing_weights(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Choose the weights of the channels of a sound.

    Args:
        blocks: consecutive parts of the sound, float32 `[n, C]`.

    Returns:
        float32 `[C]`: 1 / C each; where the mean of the channels has less than a hundredth of their mean energy, 1 for
        the loudest channel and 0 for the others.
    """
    sums: np.ndarray | float = 0.0
    energies: np.ndarray | float = 0.0
    energy_of_mean, n_samples = 0.0, 0
    for block in blocks:
        sums = sums + block.sum(axis=0, dtype=np.float64)
        energies = energies + np.square(block, dtype=np.float64).sum(axis=0)
        energy_of_mean += float(np.square(block.mean(axis=1), dtype=np.float64).sum())
        n_samples += len(block)
    means = np.atleast_1d(sums) / max(n_samples, 1)
    energies = np.maximum(np.atleast_1d(energies) - n_samples * means**2, 0)  # without constant offsets
    energy_of_mean = max(energy_of_mean - n_samples * means.mean() ** 2, 0)
    if energy_of_mean >= CANCELLED * energies.mean():
        return np.full(len(energies), 1.0 / len(energies), np.float32)
    return (np.arange(len(energies)) == energies.argmax()).astype(np.float32)


def mix(channels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mix the channels of a sound.

    Args:
        channels: float32 `[C, n]`.
        weights: of `mixing_weights`, for the whole sound; None chooses them for these samples.

    Returns:
        float32 `[n]`.
    """
    weights = mixing_weights([channels.T]) if weights is None else weights
    with np.errstate(over="ignore"):  # such samples are refused where they are read
        return channels.mean(axis=0) if (weights == weights[0]).all() else channels[weights.argmax()]
