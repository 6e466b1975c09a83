"""References that are told the answer: masks made from the sources themselves, and no separation at all.

They bound what masks of a kind can reach; every spectrogram is that of the setup's front end. With sources S_s, noise
(if there is any) as one source more that gets no mask, their mixture X and phases θ, the mask of source s in a bin is

- ideal binary mask: 1 where |S_s| is the largest of all, else 0;
- ideal ratio mask: |S_s| / Σ_r |S_r|;
- phase-sensitive mask: |S_s| / |X| cos(θ_s - θ_X), truncated to [0, 1] (Erdogan et al., ICASSP 2015): the mask of
  that range which brings the bin nearest to its source. Its sum over the speakers need not be one.
"""

import numpy as np


def unprocessed(setup):
    """Return the system that leaves the mixture as it is: a mask of ones for each speaker."""

    def masks(mixture):
        return np.ones(setup.front_end.spectrogram(mixture.sources).shape, np.float32)

    return masks


def ideal_binary_mask(setup):
    """Return the system that gives each bin to its loudest source; in a tie, to the first of them."""

    def masks(mixture):
        levels = np.abs(setup.front_end.spectrogram(_parts(mixture)))
        return (levels.argmax(axis=0) == np.arange(mixture.n_speakers)[:, None, None]).astype(np.float32)

    return masks


def ideal_ratio_mask(setup):
    """Return the system that shares each bin by the sources' magnitudes; in silence, evenly."""

    def masks(mixture):
        levels = np.abs(setup.front_end.spectrogram(_parts(mixture))) + 1e-12
        return levels[: mixture.n_speakers] / levels.sum(axis=0)

    return masks


def phase_sensitive_mask(setup):
    """Return the system that brings each bin as near to its source as a mask within [0, 1] can; 0 in silence."""

    def masks(mixture):
        parts = setup.front_end.spectrogram(_parts(mixture))
        sources, total = parts[: mixture.n_speakers], parts.sum(axis=0)
        ratios = np.divide(sources, total, out=np.zeros_like(sources), where=total != 0)
        return np.clip(ratios.real, 0.0, 1.0)  # |S| / |X| cos(θ_S - θ_X) is the real part of S / X

    return masks


def _parts(mixture):
    """Stack what a mixture is made of: its sources and, if it has any, its noise, `[S or S + 1, N]`."""
    return mixture.sources if mixture.noise is None else np.stack([*mixture.sources, mixture.noise])
