"""Spectra of the sources of a mixture are multiplied by frequency responses, inside the training step."""

import numpy as np
from keras import ops

from lab41_sce.data.frequency_response import response_basis


def respond(real, imaginary, responses, sample_rate_hz: int):
    """Filter sources by responses; each keeps its energy.

    Args:
        real, imaginary: spectra, float32 `[B, S, T, F]`.
        responses: float32 `[B, S, TERMS + 1]`.
        sample_rate_hz: of the signals.

    Returns:
        Real and imaginary parts, float32 `[B, S, T, F]`.
    """
    basis = response_basis(np.linspace(0, sample_rate_hz / 2, real.shape[-1]))
    factors = ops.exp(ops.matmul(responses, (np.log(10.0) / 20.0 * basis).astype(np.float32)))  # [B, S, F]
    power = ops.sum(ops.square(real) + ops.square(imaginary), axis=2)
    before, after = ops.sum(power, axis=2), ops.sum(power * ops.square(factors), axis=2)
    factors = factors * ops.sqrt(before / ops.maximum(after, 1e-12))[..., None]
    return real * factors[:, :, None], imaginary * factors[:, :, None]
