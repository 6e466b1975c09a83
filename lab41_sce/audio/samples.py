"""An array or a list of samples becomes floats with a full scale of 1.0, as the reader of files returns them."""

import numpy as np
from numpy.typing import ArrayLike

from lab41_sce.errors import UserError

MAX_INTEGER_BYTES = 4  # files have samples of up to 32 bits; Python's whole numbers become 64, without a full scale


def as_floats(samples: ArrayLike) -> np.ndarray:
    """Convert samples to floats.

    Args:
        samples: of any shape; floats, or integers of 8, 16 or 32 bits, which are divided by their full scale.

    Returns:
        Floats, in the shape of `samples`.

    Raises:
        UserError: the samples are of another type, or their rows have different lengths.
    """
    try:
        signal = np.asarray(samples)
    except ValueError:
        raise UserError("a signal whose channels have different lengths cannot be used; give [N] or [C, N].") from None
    if np.issubdtype(signal.dtype, np.floating):
        return signal
    if not np.issubdtype(signal.dtype, np.integer) or signal.dtype.itemsize > MAX_INTEGER_BYTES:
        raise UserError(f"a signal of {signal.dtype} has no known full scale; give floats or integers of 8, 16 or 32 "
                        "bits (int16).")
    low, high = np.iinfo(signal.dtype).min, np.iinfo(signal.dtype).max
    return (signal - (low + high + 1) / 2) / ((high - low + 1) / 2)
