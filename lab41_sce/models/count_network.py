"""The hidden outputs of an embedding network `[T, D]` become a score for each number of speakers, in NumPy.

    each window  [T, D] -> dense [T, W] -> residual convolutions over time [T, W] -> dense [T, P]
    all windows  mean and maximum over the frames with speech [2 P] -> dense [Q] -> dense: 5 scores

The mean tells how many talk at once, the maximum what was heard at any time. `training/count_training.py` trains the
network on mixtures; the classifier (`separation/count_classifier.py`) makes probabilities of its scores and of the
numbers that clusters give.
"""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

EPSILON = 1e-6  # of the norms, which is Keras's default


class CountedFrames(NamedTuple):
    """Hold what the network sees of a window.

    Attributes:
        hidden: outputs of the hidden layers of the embedding network, float32 `[T, D]`, every R-th frame.
        with_speech: which of these frames belong to the window, not to its context, and have an active bin, bool `[T]`.
    """

    hidden: np.ndarray
    with_speech: np.ndarray


class CountNetwork:
    """Compute the scores.

    Args:
        dilations: distance in frames between the three frames that a convolution covers, for each convolution.
        weights: arrays in the order of computation: kernel `[D, W]` and bias of the first layer; for each convolution
            the scale of the norm `[W]`, the kernel `[3, W, W]` and its bias, and kernel and bias of the dense layer
            after it; then scale, kernel and bias of the layer before the mean and the maximum, and of the one after
            them; and kernel and bias of the last layer.
    """

    def __init__(self, dilations: Sequence[int], weights: Sequence[np.ndarray]):
        self.dilations = tuple(dilations)
        self.weights = [np.asarray(array, np.float32) for array in weights]

    def scores(self, parts: Sequence[CountedFrames]) -> np.ndarray:
        """Compute the scores of a recording: the logarithms of probabilities, up to a constant.

        Args:
            parts: its windows, at least one frame. If no frame has speech, all count.

        Returns:
            float32 `[5]`.
        """
        if not any(part.with_speech.any() for part in parts):
            parts = [part._replace(with_speech=np.ones(len(part.hidden), bool)) for part in parts]
        total, largest, n_frames = np.float32(0), np.float32(-np.inf), 0
        for hidden, with_speech in parts:
            if with_speech.any():
                frames = self._frames(hidden)[with_speech]
                total, largest = total + frames.sum(axis=0), np.maximum(largest, frames.max(axis=0))
                n_frames += len(frames)
        scale, kernel, bias, last_kernel, last_bias = self.weights[-5:]
        pooled = np.concatenate([total / n_frames, largest])
        return _silu(_norm(pooled, scale) @ kernel + bias) @ last_kernel + last_bias

    def _frames(self, hidden: np.ndarray) -> np.ndarray:
        """Compute the layers before the mean and the maximum: `[T, D]` to `[T, P]`."""
        take = iter(self.weights[:-5])
        frames = hidden @ next(take) + next(take)
        for dilation in self.dilations:
            added = _silu(_over_time(_norm(frames, next(take)), next(take), dilation) + next(take))
            frames = frames + added @ next(take) + next(take)
        return _silu(_norm(frames, next(take)) @ next(take) + next(take))

    def to_json(self) -> dict[str, Any]:
        """Return the network as plain data, with weights in half precision."""
        return {"dilations": [*self.dilations], "weights": [
            {"shape": [*array.shape], "float16": base64.b64encode(array.astype("<f2").tobytes()).decode()}
            for array in self.weights]}

    @classmethod
    def from_json(cls, values: Any) -> "CountNetwork":
        """Read what `to_json` returned.

        Raises:
            ValueError, TypeError, KeyError: the values are no such network.
        """
        weights = [np.frombuffer(base64.b64decode(array["float16"], validate=True), "<f2").reshape(array["shape"])
                   for array in values["weights"]]
        network = cls([int(dilation) for dilation in values["dilations"]], weights)
        if len(weights) != 2 + 5 * len(network.dilations) + 3 + 5 or min(network.dilations, default=1) < 1:
            raise ValueError("the number of arrays is not that of the layers")
        if not all(np.isfinite(array).all() for array in network.weights):
            raise ValueError("the weights are not finite")
        n_inputs = len(network.weights[0])
        network.scores([CountedFrames(np.zeros((1, n_inputs), np.float32), np.ones(1, bool))])  # the shapes fit
        return network


def _norm(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Divide by the root mean square of the last axis, and multiply by a scale."""
    return values / np.sqrt(np.mean(np.square(values), axis=-1, keepdims=True) + np.float32(EPSILON)) * scale


def _silu(values: np.ndarray) -> np.ndarray:
    """Compute x / (1 + exp(-x))."""
    return values / (1 + np.exp(-np.clip(values, -80, None)))


def _over_time(frames: np.ndarray, kernel: np.ndarray, dilation: int) -> np.ndarray:
    """Convolve frames `[T, W]` with a kernel `[3, W, W]`; there are zeros before and after them."""
    padded = np.pad(frames, [(dilation, dilation), (0, 0)])
    before, here, after = (padded[place * dilation : place * dilation + len(frames)] for place in range(3))
    return before @ kernel[0] + here @ kernel[1] + after @ kernel[2]
