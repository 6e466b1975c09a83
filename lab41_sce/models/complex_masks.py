"""Soft masks `[S, T, F]` become complex masks `[S, T, F]` by a network (`mask_network.py`), in NumPy.

For each voice, the network receives four numbers for each bin (`network_input`) and returns the real and the imaginary
part of what is added to the soft mask. The sum of all that is added is divided among the voices in proportion to their
soft masks and subtracted, so that the masks of a bin still sum to one:

    m_s = p_s + d_s - p_s sum_j d_j

A network that was trained to leave a rest, which belongs to no voice, such as noise, has the masks `p_s + d_s`. The
rest is what they lack of one.

`methods/complex_masks.py` computes the same with Keras, for training.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

COMPRESSION = 0.3  # exponent of the magnitudes
ACTIVE_FRACTION = 0.01  # of the largest magnitude; frames whose bins are all below it do not count for the scale
# Frames that the network processes at once, besides those on each side that it sees: of a short recording few, because
# they need the most memory; of a long one more, because those on each side are processed twice.
CHUNK_FRAMES, MAX_CHUNKS = 320, 5


def complex_masks(run: Callable[[np.ndarray], np.ndarray], n_context: int, leaves_rest: bool, spectrogram: np.ndarray,
                  masks: np.ndarray, scale: float | None = None) -> np.ndarray:
    """Make soft masks complex.

    Args:
        run: the network, float32 `[B, T, 4 F]` to `[B, T, F, 2]`.
        n_context: frames that the network sees on each side of a frame (`reach`).
        leaves_rest: whether the masks need not sum to one.
        spectrogram: of the mixture, complex64 `[T, F]`.
        masks: soft masks, float32 `[S, T, F]`, which sum to one over S.
        scale: of the compressed magnitudes, if the spectrogram is a part of a recording; None: `scale_of` it.

    Returns:
        complex64 `[S, T, F]`, which sum to one over S unless there is a rest.
    """
    if len(masks) == 1 and not leaves_rest:
        return masks.astype(np.complex64)
    compressed = compress(spectrogram, scale_of(spectrogram) if scale is None else scale)
    result = np.empty(masks.shape, np.complex64)
    length = max(CHUNK_FRAMES, -(-masks.shape[1] // MAX_CHUNKS))
    for start in range(0, masks.shape[1], length):
        context_start = max(start - n_context, 0)
        own = slice(start - context_start, start - context_start + length)
        part = slice(context_start, start + length + n_context)
        added = np.stack([run(network_input(compressed[part], mask[part])[None])[0, own] for mask in masks])
        added = np.ascontiguousarray(added).view(np.complex64)[..., 0]  # [S, t, F]
        soft = masks[:, start : start + length]
        result[:, start : start + length] = soft + (added if leaves_rest else added - soft * added.sum(axis=0))
    return result


def compress(spectrogram: np.ndarray, scale: float) -> np.ndarray:
    """Compress the magnitudes of a spectrogram, complex64 `[T, F]`, and multiply them by a scale."""
    magnitudes = np.maximum(np.abs(spectrogram), 1e-8)
    return (spectrogram * (np.float32(scale) * magnitudes ** np.float32(COMPRESSION - 1.0))).astype(np.complex64)


def scale_of(spectrogram: np.ndarray) -> float:
    """Return the scale with which the compressed magnitudes of the active frames have a mean square of one.

    Args:
        spectrogram: complex64 `[T, F]`.

    Returns:
        The scale; 0 for silence.
    """
    magnitudes = np.abs(spectrogram)
    loudest = magnitudes.max(axis=1)
    active = loudest > ACTIVE_FRACTION * loudest.max()
    return float(np.mean(magnitudes[active] ** (2.0 * COMPRESSION)) ** -0.5) if active.any() else 0.0


def network_input(compressed: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the input of the network for a voice.

    Args:
        compressed: from `compress`, complex64 `[T, F]`.
        mask: soft mask of the voice, float32 `[T, F]`.

    Returns:
        float32 `[T, 4 F]`; for each bin the real and the imaginary part of the voice, the magnitude of the mixture,
        and the mask.
    """
    voice = compressed * mask
    bins = np.stack([voice.real, voice.imag, np.abs(compressed), mask], axis=-1)
    return bins.reshape(len(bins), -1).astype(np.float32)


def reach(layers: Iterable[Mapping[str, Any]]) -> int:
    """Return how many frames on each side of a frame a network sees, from the settings of each of its layers.

    The kernels of convolutions have an odd number of frames.
    """
    kernels = [(settings["kernel_size"], settings["dilation_rate"]) for settings in layers if "kernel_size" in settings]
    return sum((np.ravel(size)[0] - 1) // 2 * np.ravel(dilation)[0] for size, dilation in kernels)
