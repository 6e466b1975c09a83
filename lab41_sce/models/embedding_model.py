"""A waveform `[N]` becomes an embedding of every bin `[T, F, K]`; cluster centroids `[S, K]` give masks `[S, T, F]`.

This is the model that separation needs and that a run saves: front end, network, clustering. It knows no speaker: the
vectors of the speakers in training belong to the training method (`methods/sce.py`). `separation/chunked_inference.py`
applies the model to long signals.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

import lab41_sce.models.networks  # noqa: F401, registers the layers of a saved network
from lab41_sce.models import Tensor
from lab41_sce.models.complex_masks import reach
from lab41_sce.models.front_end import FrontEnd, magnitude, refuse_onnx
from lab41_sce.models.mask_estimation import EmbeddingMasks, renamed_arguments

PARTS = ("front_end", "network", "mask_network")
SETTINGS = ("unit_norm", "range_db", "soft_scale", "cluster_variance", "verification_threshold", "hop_reduction",
            "leaves_rest")


@keras.saving.register_keras_serializable("lab41_sce")
class EmbeddingModel(keras.Model, EmbeddingMasks):
    """Map waveforms `[B, N]` to embeddings `[B, T, F, K]`, and embeddings to masks by clustering.

    Args:
        front_end: a `FrontEnd` layer.
        network: Keras model from `[B, T, F]` to `[B, T, F, K]`.
        unit_norm: scale every embedding to length one.
        range_db: range below the spectral peak within which bins are clustered, in dB. Bins outside this range are
            assigned to the centroids, but do not move them.
        soft_scale: sharpness of soft masks (see `clustering.masks_from_centroids`); None for binary masks.
        cluster_variance: largest mean squared distance of one speaker's embeddings from their centroid
            (`separation/speaker_count.py`); None if it was not measured.
        verification_threshold: smallest cosine between the centroids of one speaker in two recordings; None if it was
            not measured.
        hop_reduction: number of interleaved frame sequences. With 2, the hop is half of the hop in training, and the
            network processes the even and the odd frames separately. Every moment is then estimated twice, and the
            masks are smoother.
        mask_network: network that makes soft masks complex (`mask_network.py`), or None.
        leaves_rest: whether the complex masks leave a rest that belongs to no voice, such as noise, instead of summing
            to one.
    """

    front_end: FrontEnd

    def __init__(self, front_end: FrontEnd, network: keras.Model, unit_norm: bool = False, range_db: float = 25.0,
                 soft_scale: float | None = None, cluster_variance: float | None = None,
                 verification_threshold: float | None = None, hop_reduction: int = 1,
                 mask_network: keras.Model | None = None, leaves_rest: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        EmbeddingMasks.__init__(self, front_end, network, unit_norm, range_db, soft_scale, cluster_variance,
                                verification_threshold, hop_reduction, mask_network, leaves_rest)
        self.built = True  # its parts are built

    @property
    def clusters(self) -> bool:
        """Return whether masks come from clustering, so that oracle centroids are an upper bound for the model."""
        return True

    def call(self, mixtures: Tensor, training: bool = False) -> Tensor:
        """Embed waveforms: float32 `[B, N]` to `[B, T, F, K]`."""
        return self.embeddings(magnitude(*self.front_end.analyse(mixtures)), training)

    def embeddings(self, mixture: Tensor, training: bool = False) -> Tensor:
        """Embed magnitudes: float32 `[B, T, F]` to `[B, T, F, K]`."""
        features = self.front_end(mixture)
        n_frames = ops.shape(features)[1]
        outputs = self.network(split_interleaved_frames(features, self.hop_reduction), training=training)
        return self._normalise(interleave_frames(outputs, self.hop_reduction)[:, :n_frames])

    def embed_frames(self, mixture: Tensor, select_frames: Callable[[Tensor], Tensor],
                     training: bool = False) -> Tensor:
        """Embed selected frames only: the last layer, which has a large output, skips the other frames.

        Args:
            mixture: magnitudes, float32 `[B, T, F]`.
            select_frames: maps `[B, T, D]` to the selected frames `[B, T', D]`.
            training: as in `call`.

        Returns:
            float32 `[B, T', F, K]`.
        """
        features = self.front_end(mixture)
        hidden_layers, last_layer = split_network(self.network)
        if last_layer is self.network:
            return self._normalise(select_frames(last_layer(features, training=training)))
        hidden = select_frames(hidden_layers(features, training=training))
        return self._normalise(last_layer(hidden, training=training))

    def hidden_layers(self, features: np.ndarray) -> np.ndarray:
        """Run all layers of the network but the last: float32 `[B, T, F]` to `[B, T, D]`."""
        return split_network(self.network)[0].predict_on_batch(features)

    def last_layer(self, hidden: np.ndarray) -> np.ndarray:
        """Run the last layer of the network: float32 `[B, T, D]` to `[B, T, F, K]`."""
        return split_network(self.network)[1].predict_on_batch(hidden)

    def run_mask_network(self, inputs: np.ndarray) -> np.ndarray:
        """Run the mask network: float32 `[B, T, 4 F]` to `[B, T, F, 2]`."""
        return self.mask_network.predict_on_batch(inputs)

    def mask_network_reach(self) -> int:
        """Return how many frames on each side of a frame the mask network sees."""
        return reach(layer.get_config() for layer in self.mask_network.layers)

    def export(self, filepath: str | Path, format: str = "tf_saved_model", **options: Any) -> None:
        """Export the model from waveforms on, as `keras.Model.export` does; `models/export.py` exports the network.

        Raises:
            UserError: the format is "onnx".
        """
        refuse_onnx(format)
        super().export(filepath, format, **options)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {name: getattr(self, name) for name in (*PARTS, *SETTINGS)}

    def get_config(self) -> dict:
        """Return the arguments of the constructor, for serialisation."""
        parts = {name: part and keras.saving.serialize_keras_object(part) for name, part in self.arguments().items()
                 if name in PARTS}
        if self.mask_network is None:
            del parts["mask_network"]
        return super().get_config() | parts | {name: getattr(self, name) for name in SETTINGS}

    @classmethod
    def from_config(cls, config: dict) -> "EmbeddingModel":
        """Make a model from the result of `get_config`, also from files of version 0.1 with its argument names."""
        config = renamed_arguments(config)
        parts = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in PARTS if name in config}
        return cls(**parts, **config)

    def _normalise(self, embeddings: Tensor) -> Tensor:
        return unit_length(embeddings) if self.unit_norm else embeddings


def unit_length(vectors: Tensor) -> Tensor:
    """Scale vectors `[..., K]` to length one; zeros stay zeros and have a gradient of zero, on every backend."""
    return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-12))


def split_interleaved_frames(features: Tensor, hop_reduction: int) -> Tensor:
    """Split frames into interleaved sequences.

    Args:
        features: `[B, T, F]`.
        hop_reduction: R, the number of sequences; sequence r has the frames r, r + R, r + 2 R, ...

    Returns:
        `[B * R, ceil(T / R), F]`, padded with zeros at the end.
    """
    if hop_reduction == 1:
        return features
    n_frames, n_bins = -(-ops.shape(features)[1] // hop_reduction), features.shape[2]
    features = ops.pad(features, [(0, 0), (0, hop_reduction - 1), (0, 0)])[:, : n_frames * hop_reduction]
    sequences = ops.swapaxes(ops.reshape(features, (-1, n_frames, hop_reduction, n_bins)), 1, 2)  # [B, R, T / R, F]
    return ops.reshape(sequences, (-1, n_frames, n_bins))


def interleave_frames(embeddings: Tensor, hop_reduction: int) -> Tensor:
    """Undo `split_interleaved_frames`: `[B * R, T, F, K]` to `[B, T * R, F, K]`."""
    if hop_reduction == 1:
        return embeddings
    n_frames = ops.shape(embeddings)[1]
    n_bins, size = embeddings.shape[2:]
    frames = ops.swapaxes(ops.reshape(embeddings, (-1, hop_reduction, n_frames, n_bins, size)), 1, 2)  # [B, T, R, ...]
    return ops.reshape(frames, (-1, n_frames * hop_reduction, n_bins, size))


@lru_cache(maxsize=8)
def split_network(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Split a network before its last layer with weights; this layer has a large output.

    Args:
        network: Keras model from `[B, T, F]` to `[B, T, F, K]`.

    Returns:
        The layers before, `[B, T, F]` to `[B, T, D]`, and the rest, `[B, T, D]` to `[B, T, F, K]`; they share the
        weights of the network. A network that cannot be split there gives an identity layer and the network itself.
    """
    layers = [layer for layer in getattr(network, "layers", ()) if layer.weights]
    try:
        middle = layers[-1].input
        # The input of a nested model is a tensor of that model, not of this network.
        if middle is not network.input and not isinstance(layers[-1], keras.Model):
            rest = keras.Model(middle, network.output)
            if network.layers[0] not in rest.layers:  # Keras before 3.14 does not refuse another path to the output
                return keras.Model(network.input, middle), rest
    except (IndexError, AttributeError, ValueError):  # no layers, not a functional model, or another path to the output
        pass
    return keras.Sequential([keras.layers.Identity()]), network
