"""Oracle masks, computed from the sources themselves, and the unprocessed mixture: upper and lower bounds.

Every spectrogram is that of the setup's front end. Let S_s be the sources (noise, if any, counts as one more source
that gets no mask), X their sum and θ phases. The mask of source s in a bin is

    ideal binary mask        1 where |S_s| is the largest of all, else 0
    ideal ratio mask         |S_s| / Σ_r |S_r|
    phase-sensitive mask     |S_s| / |X| cos(θ_s - θ_X), clipped to [0, 1]

(phase-sensitive: Erdogan, Hershey, Watanabe and Le Roux, ICASSP 2015). Of all masks from 0 to 1, the phase-sensitive
mask brings the bin nearest to its source. Its sum over the speakers need not be one.
"""

import numpy as np

from lab41_sce.data.mixture import Mixture
from lab41_sce.methods.base import Setup, System


def unprocessed(setup: Setup) -> System:
    """Return the system that leaves the mixture as it is: a mask of ones for each speaker.

    Args:
        setup: only its front end is used, here and below.

    Returns:
        A function of a `Mixture` that returns masks, float32 `[S, T, F]`.
    """

    def masks(mixture: Mixture) -> np.ndarray:
        return np.ones(setup.front_end.spectrogram(mixture.sources).shape, np.float32)

    return masks


def ideal_binary_mask(setup: Setup) -> System:
    """Return the system that gives each bin to its loudest source, and in a tie to the first of them."""

    def masks(mixture: Mixture) -> np.ndarray:
        magnitudes = np.abs(setup.front_end.spectrogram(_sources_and_noise(mixture)))
        return (magnitudes.argmax(axis=0) == np.arange(mixture.n_speakers)[:, None, None]).astype(np.float32)

    return masks


def ideal_ratio_mask(setup: Setup) -> System:
    """Return the system that divides each bin in proportion to the sources' magnitudes; in silence, evenly."""

    def masks(mixture: Mixture) -> np.ndarray:
        magnitudes = np.abs(setup.front_end.spectrogram(_sources_and_noise(mixture))) + 1e-12
        return magnitudes[: mixture.n_speakers] / magnitudes.sum(axis=0)

    return masks


def phase_sensitive_mask(setup: Setup) -> System:
    """Return the system that applies the phase-sensitive mask; in silence, 0."""

    def masks(mixture: Mixture) -> np.ndarray:
        spectra = setup.front_end.spectrogram(_sources_and_noise(mixture))
        sources, total = spectra[: mixture.n_speakers], spectra.sum(axis=0)
        ratios = np.divide(sources, total, out=np.zeros_like(sources), where=total != 0)
        return np.clip(ratios.real, 0.0, 1.0)  # |S| / |X| cos(θ_S - θ_X) is the real part of S / X

    return masks


def _sources_and_noise(mixture: Mixture) -> np.ndarray:
    """Stack the signals that add up to a mixture, `[S, N]`, or `[S + 1, N]` with noise."""
    return mixture.sources if mixture.noise is None else np.stack([*mixture.sources, mixture.noise])
