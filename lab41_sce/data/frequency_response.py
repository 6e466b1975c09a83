"""Speech in training becomes speech that other microphones, rooms and telephones might have recorded.

The more ways of sounding a network has met, the less a new one surprises it. A *response* says in dB what is done to
each frequency: a sum of a few slow cosines, and sometimes a telephone line. The pipeline draws the few numbers that
describe it; the spectra are multiplied inside the training step, where that costs next to nothing.
"""

import numpy as np

TERMS = 4  # of the cosine series of a response: as many half turns over the band
TELEPHONE_HZ, EDGE_HZ, STOP_DB = (300.0, 3400.0), 100.0, 50.0


def draw_responses(rng: np.random.Generator, n: int, range_db: float, telephone: float) -> np.ndarray:
    """Draw a response for each source of a mixture.

    Args:
        rng: where the draws come from.
        n: S.
        range_db: the cosines of a response sum to at most half of this; 0 for none.
        telephone: probability that all sources go through a telephone line.

    Returns:
        float32 `[S, TERMS + 1]`: what each row of `response_basis` counts.
    """
    on_line = np.full((n, 1), rng.random() < telephone)
    return np.hstack([range_db / 2 * rng.uniform(-1, 1, (n, TERMS)) / TERMS, on_line]).astype(np.float32)


def response_basis(frequencies_hz: np.ndarray) -> np.ndarray:
    """Compute what responses are sums of.

    Args:
        frequencies_hz: `[F]`, from 0 to half the sample rate.

    Returns:
        dB, float32 `[TERMS + 1, F]`: 1 to `TERMS` half turns of a cosine over the band, then a telephone line: 0 from
        300 to 3400 Hz, -50 from 100 Hz outside on.
    """
    turns = np.cos(np.pi * np.outer(np.arange(1, TERMS + 1), frequencies_hz / frequencies_hz[-1]))
    outside_hz = np.maximum(TELEPHONE_HZ[0] - frequencies_hz, frequencies_hz - TELEPHONE_HZ[1]).clip(0)
    return np.vstack([turns, -STOP_DB * np.minimum(outside_hz / EDGE_HZ, 1.0)]).astype(np.float32)
