"""The spectra of the sources of a mixture are multiplied by frequency responses, inside the training step.

A response r_s(f), in dB, is a weighted sum of a few smooth basis functions (`data/frequency_response.py`). Source s
becomes `S_s(t, f) 10^(r_s(f) / 20)`, scaled to the energy that it had before.
"""

import numpy as np
from keras import ops

from lab41_sce.data.frequency_response import response_basis
from lab41_sce.models import Tensor


def respond(real: Tensor, imaginary: Tensor, responses: Tensor, sample_rate_hz: int) -> tuple[Tensor, Tensor]:
    """Filter sources by frequency responses; each source keeps its energy.

    Args:
        real: real parts of the spectra, float32 `[B, S, T, F]`.
        imaginary: imaginary parts of the spectra, float32 `[B, S, T, F]`.
        responses: weights of the basis functions, float32 `[B, S, TERMS + 1]`.
        sample_rate_hz: of the signals.

    Returns:
        Real and imaginary parts, float32 `[B, S, T, F]`.
    """
    basis = response_basis(np.linspace(0, sample_rate_hz / 2, real.shape[-1]))
    gains = ops.exp(ops.matmul(responses, (np.log(10.0) / 20.0 * basis).astype(np.float32)))  # [B, S, F]
    power = ops.sum(ops.square(real) + ops.square(imaginary), axis=2)  # [B, S, F]
    before, after = ops.sum(power, axis=2), ops.sum(power * ops.square(gains), axis=2)  # [B, S]
    gains = gains * ops.sqrt(before / ops.maximum(after, 1e-12))[..., None]
    return real * gains[:, :, None], imaginary * gains[:, :, None]
