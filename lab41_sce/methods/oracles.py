"""References that are told the answer: masks made from the sources themselves, and no separation at all.

They bound what masks of a kind can reach on a mixture whose sources are known; every spectrogram is `front_end`'s.
With sources S_s, their mixture X and phase angles θ, the mask of source s in a bin is

- ideal binary mask: 1 where |S_s| is the largest of all, else 0;
- ideal ratio mask: |S_s| / Σ_r |S_r|;
- phase-sensitive mask: |S_s| / |X| cos(θ_s - θ_X), truncated to [0, 1] (Erdogan et al., ICASSP 2015). Of all real
  masks in that range it brings each bin nearest to its source. Its sum over the speakers need not be one.
"""

import numpy as np

TINY = 1e-12


def unprocessed(setup):
    """Return the system that leaves the mixture as it is: masks of ones, one for each speaker."""

    def masks(mixture):
        shape = setup.front_end.spectrogram(mixture.signal).shape
        return np.ones((mixture.n_speakers, *shape), np.float32)

    return masks


def ideal_binary_mask(setup):
    """Return the system that gives each bin to its loudest source; in a tie, to the first."""

    def masks(mixture):
        levels = np.abs(setup.front_end.spectrogram(mixture.sources))
        return (levels.argmax(axis=0) == np.arange(mixture.n_speakers)[:, None, None]).astype(np.float32)

    return masks


def ideal_ratio_mask(setup):
    """Return the system that shares each bin in proportion to the sources' magnitudes; in silence, evenly."""

    def masks(mixture):
        levels = np.abs(setup.front_end.spectrogram(mixture.sources)) + TINY
        return levels / levels.sum(axis=0)

    return masks


def phase_sensitive_mask(setup):
    """Return the system of the truncated phase-sensitive mask; 0 in silence."""

    def masks(mixture):
        sources = setup.front_end.spectrogram(mixture.sources)
        total = sources.sum(axis=0)
        # |S| / |X| cos(θ_S - θ_X) is the real part of S / X.
        ratios = (sources * total.conj()).real / np.maximum(np.abs(total) ** 2, TINY)
        return np.clip(ratios, 0.0, 1.0)

    return masks
