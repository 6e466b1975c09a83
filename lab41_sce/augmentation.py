"""Excerpts of speech become excerpts that other microphones, rooms and telephones might have recorded.

For training only: the more ways of sounding a network has met, the less a new one surprises it. The whole excerpt is
filtered by its Fourier transform; responses are smooth, so that what wraps around its ends is short.
"""

from functools import lru_cache

import numpy as np
from scipy import fft

TERMS = 4  # of the cosine series of a response: as many turns over the band
TELEPHONE_HZ, EDGE_HZ, STOP_DB = (300.0, 3400.0), 100.0, 50.0


def random_responses(rng: np.random.Generator, n: int, frequencies_hz: np.ndarray, range_db: float) -> np.ndarray:
    """Draw smooth frequency responses.

    Args:
        rng: where the draws come from.
        n: how many.
        frequencies_hz: `[F]`, from 0 to half the sample rate.
        range_db: each is a sum of cosines whose amplitudes sum to at most half of this.

    Returns:
        float32 factors `[n, F]`.
    """
    amplitudes_db = range_db / 2 * rng.uniform(-1, 1, (n, TERMS)) / TERMS
    return np.exp((amplitudes_db * np.log(10.0) / 20.0).astype(np.float32) @ _cosines(len(frequencies_hz)))


def telephone_response(frequencies_hz: np.ndarray) -> np.ndarray:
    """Compute the response of a telephone line: float32 factors `[F]`, 1 from 300 to 3400 Hz, -50 dB well outside."""
    outside_hz = np.maximum(TELEPHONE_HZ[0] - frequencies_hz, frequencies_hz - TELEPHONE_HZ[1]).clip(0)
    return (10.0 ** (-STOP_DB * np.minimum(outside_hz / EDGE_HZ, 1.0) / 20.0)).astype(np.float32)


def augment(rng: np.random.Generator, sources: np.ndarray, sample_rate_hz: int, response_db: float,
            telephone: float) -> np.ndarray:
    """Filter the sources of a mixture, each by a response of its own and sometimes all by a telephone line.

    Args:
        rng: where the draws come from.
        sources: float32 `[S, N]`.
        sample_rate_hz: their rate.
        response_db: range of the random responses; 0 for none.
        telephone: probability of the telephone line.

    Returns:
        float32 `[S, N]`; `sources` itself where nothing is to be done.
    """
    on_line = telephone > 0 and rng.random() < telephone
    if not response_db and not on_line:
        return sources
    frequencies_hz = fft.rfftfreq(sources.shape[1], 1 / sample_rate_hz)
    response = random_responses(rng, len(sources), frequencies_hz, response_db)
    if on_line:
        response = response * telephone_response(frequencies_hz)
    return fft.irfft(fft.rfft(sources) * response, sources.shape[1])


@lru_cache(maxsize=4)
def _cosines(n_frequencies: int) -> np.ndarray:
    """Compute 1 to `TERMS` half turns of a cosine over the band: float32 `[TERMS, F]`."""
    return np.cos(np.pi * np.outer(np.arange(1, TERMS + 1), np.linspace(0, 1, n_frequencies))).astype(np.float32)
