"""Random numbers become frequency responses in dB, which vary the microphone, the room or the telephone in training.

The response of a source is a weighted sum of basis functions `[F]`: four cosines over the band, and a telephone line.
The weights `[S, TERMS + 1]` are drawn with the mixtures. `models/frequency_response.py` applies the responses to the
spectra inside the training step.
"""

import numpy as np

TERMS = 4  # number of cosines in a response: 1 to 4 half periods over the band
TELEPHONE_HZ, EDGE_HZ, STOP_DB = (300.0, 3400.0), 100.0, 50.0


def draw_responses(rng: np.random.Generator, n: int, range_db: float, telephone: float) -> np.ndarray:
    """Draw the weights of a frequency response for each source of a mixture.

    Args:
        rng: random generator.
        n: S.
        range_db: the sum of the cosines stays within plus and minus half of this range; 0 for no cosines.
        telephone: probability that all sources of the mixture go through a telephone line.

    Returns:
        The weights of the rows of `response_basis`, float32 `[S, TERMS + 1]`.
    """
    on_line = np.full((n, 1), rng.random() < telephone)
    return np.hstack([range_db / 2 * rng.uniform(-1, 1, (n, TERMS)) / TERMS, on_line]).astype(np.float32)


def response_basis(frequencies_hz: np.ndarray) -> np.ndarray:
    """Compute the basis functions of the frequency responses.

    Args:
        frequencies_hz: `[F]`, from 0 to half the sample rate, in Hz.

    Returns:
        dB, float32 `[TERMS + 1, F]`: cosines with 1 to `TERMS` half periods over the band, then a telephone line: 0 dB
        from 300 to 3400 Hz, falling to -50 dB within 100 Hz outside this band.
    """
    cosines = np.cos(np.pi * np.outer(np.arange(1, TERMS + 1), frequencies_hz / frequencies_hz[-1]))
    outside_hz = np.maximum(TELEPHONE_HZ[0] - frequencies_hz, frequencies_hz - TELEPHONE_HZ[1]).clip(0)
    return np.vstack([cosines, -STOP_DB * np.minimum(outside_hz / EDGE_HZ, 1.0)]).astype(np.float32)
