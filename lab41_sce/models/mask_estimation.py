"""The outputs of a network become masks `[S, T, F]`, in NumPy: by clustering, by attractors, or segment by segment.

A class here is a complete model for separation, whatever computes its network. `onnx_network.py` computes the network
with onnxruntime. The Keras models (`embedding_model.py`, `attractor_model.py`, `mask_model.py`) inherit from these
classes and compute it with Keras.
"""

from typing import Any

import numpy as np

from lab41_sce.errors import UserError
from lab41_sce.models.clustering import fit_centroids, masks_from_centroids
from lab41_sce.models.complex_masks import complex_masks, reach
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.models.segments import join, overlapping_starts, segment_indices

BATCH_SEGMENTS = 32  # that the network processes at once
RATIO_FLOOR = 1e-4  # of masks that are ratios of outputs, see `mask_model.ratio_masks`
NAMES_OF_VERSION_0_1 = {"spread": "cluster_variance", "alike": "verification_threshold", "phases": "hop_reduction"}


def renamed_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an embedding model; files of version 0.1 have other names for some of them."""
    return {NAMES_OF_VERSION_0_1.get(name, name): value for name, value in config.items()}


class EmbeddingMasks:
    """Compute masks from embeddings by clustering; the arguments are those of `EmbeddingModel`.

    The network is an `OnnxNetwork` or the like: `hidden` maps features `[B, T, F]` to `[B, T, D]`, and `last` maps
    these to embeddings `[B, T, F, K]`, which do not have unit length yet.
    """

    def __init__(self, front_end: NumpyFrontEnd, network: Any, unit_norm: bool = False, range_db: float = 25.0,
                 soft_scale: float | None = None, cluster_variance: float | None = None,
                 verification_threshold: float | None = None, hop_reduction: int = 1, mask_network: Any = None,
                 leaves_rest: bool = False):
        self.front_end = front_end
        self.network = network
        self.unit_norm = unit_norm
        self.range_db = range_db
        self.soft_scale = soft_scale
        self.cluster_variance = cluster_variance
        self.verification_threshold = verification_threshold
        self.hop_reduction = hop_reduction
        self.mask_network = mask_network
        self.leaves_rest = leaves_rest

    def hidden_layers(self, features: np.ndarray) -> np.ndarray:
        """Run all layers of the network but the last: float32 `[B, T, F]` to `[B, T, D]`."""
        return self.network.hidden(features)

    def last_layer(self, hidden: np.ndarray) -> np.ndarray:
        """Run the last layer of the network: float32 `[B, T, D]` to `[B, T, F, K]`."""
        return self.network.last(hidden)

    def centroids(self, vectors: np.ndarray, magnitudes: np.ndarray, n_speakers: int) -> np.ndarray:
        """Find the centroid of each speaker.

        Args:
            vectors: embeddings of active bins, float32 `[n, K]`.
            magnitudes: of the same bins, `[n]`.
            n_speakers: S.

        Returns:
            float32 `[S, K]`; zeros if there are fewer than S bins.
        """
        return fit_centroids(vectors, magnitudes, n_speakers)

    def masks_from_centroids(self, embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        """Compute masks from embeddings and centroids.

        Args:
            embeddings: float32 `[T, F, K]`.
            centroids: `[S, K]`. If all are zero, the masks are equal shares.

        Returns:
            float32 `[S, T, F]`.
        """
        if not centroids.any():
            return np.full((len(centroids), *embeddings.shape[:2]), 1.0 / len(centroids), np.float32)
        return masks_from_centroids(embeddings, centroids, self.soft_scale)

    def run_mask_network(self, inputs: np.ndarray) -> np.ndarray:
        """Run the mask network: float32 `[B, T, 4 F]` to `[B, T, F, 2]`."""
        return self.mask_network(inputs)

    def mask_network_reach(self) -> int:
        """Return how many frames on each side of a frame the mask network sees."""
        return reach(layer.settings for layer in self.mask_network.saved.layers)

    def final_masks(self, spectrogram: np.ndarray, masks: np.ndarray, scale: float | None = None) -> np.ndarray:
        """Make soft masks complex, if the model has a network for this.

        Args:
            spectrogram: of the mixture, complex64 `[T, F]`.
            masks: soft masks, float32 `[S, T, F]`.
            scale: of the whole recording's compressed magnitudes, if the spectrogram is a part, see `complex_masks`.

        Returns:
            complex64 `[S, T, F]`, or the soft masks.
        """
        if self.mask_network is None:
            return masks
        return complex_masks(self.run_mask_network, self.mask_network_reach(), self.leaves_rest, spectrogram, masks,
                             scale)


class AttractorMasks(EmbeddingMasks):
    """Compute masks from embeddings by attractors; the arguments are those of `AttractorModel`.

    Args:
        fixed_attractors: float32 `[S, K]`.
    """

    fixed_attractors: Any  # a weight in the Keras model

    def __init__(self, front_end: NumpyFrontEnd, network: Any, n_speakers: int, fixed_attractors: np.ndarray,
                 unit_norm: bool = False, scale: float = 1.0, mask: str = "softmax", attractors: str = "kmeans",
                 range_db: float = 25.0, **measured: Any):
        super().__init__(front_end, network, unit_norm, range_db, soft_scale=scale, **measured)
        self.n_speakers = n_speakers
        self.fixed_attractors = fixed_attractors
        self.scale = scale
        self.mask = mask
        self.attractors = attractors

    def centroids(self, vectors: np.ndarray, magnitudes: np.ndarray, n_speakers: int) -> np.ndarray:
        """Find the attractor of each speaker; arguments and result as in `EmbeddingMasks.centroids`.

        Raises:
            UserError: the attractors are fixed, and their number is not `n_speakers`.
        """
        if self.attractors == "kmeans":
            return super().centroids(vectors, magnitudes, n_speakers)
        if n_speakers != self.n_speakers:
            raise UserError(f"{n_speakers} speakers cannot be separated by the fixed attractors of "
                            f"{self.n_speakers}; ask for {self.n_speakers}, or use a model built with "
                            "attractors=kmeans.")
        return np.asarray(self.fixed_attractors)

    def masks_from_centroids(self, embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        """Compute masks from embeddings `[T, F, K]` and attractors `[S, K]`.

        Returns:
            float32 `[S, T, F]`. Softmax masks sum to one over S; sigmoid masks need not, so the voices may add up to
            more or less than the mixture.
        """
        scores = np.moveaxis(embeddings @ (self.scale * centroids).astype(np.float32).T, -1, 0)  # [S, T, F]
        if self.mask == "sigmoid":
            return 0.5 + 0.5 * np.tanh(0.5 * scores)
        shares = np.exp(scores - scores.max(axis=0))
        return shares / shares.sum(axis=0)


class SegmentMasks:
    """Compute masks by a network with one output for each speaker; the arguments are those of `MaskModel`.

    The network is an `OnnxNetwork` or the like: `run` maps features `[B, T, F]` to masks `[B, S, T, F]`.
    """

    def __init__(self, front_end: NumpyFrontEnd, network: Any, n_speakers: int, mask: str = "softmax",
                 segment_frames: int | None = None):
        self.front_end = front_end
        self.network = network
        self.n_speakers = n_speakers
        self.mask = mask
        self.segment_frames = segment_frames

    def masks_of_segments(self, features: np.ndarray) -> np.ndarray:
        """Run the network on segments: float32 `[B, T, F]` to masks `[B, S, T, F]`."""
        return self.network.run(features)

    def masks(self, mixture: np.ndarray, n_speakers: int) -> np.ndarray:
        """Estimate a mask for each speaker of a mixture.

        Args:
            mixture: float32 array `[N]` at the front end's rate.
            n_speakers: S; must be the number that the model was built for.

        Returns:
            Masks, float32 `[S, T, F]`, that sum to one over S.

        Raises:
            UserError: the model was built for another number of speakers.
        """
        if n_speakers != self.n_speakers:
            raise UserError(f"this model separates {self.n_speakers} speakers and cannot separate {n_speakers}; "
                            f"ask for {self.n_speakers}, or train one with mixtures.n_speakers={n_speakers}.")
        magnitudes = self.front_end.magnitudes(mixture)
        segment_frames = self.segment_frames or len(magnitudes)
        starts = overlapping_starts(len(magnitudes), segment_frames)
        frames = segment_indices(len(magnitudes), starts, segment_frames)
        segments = self.front_end.features(magnitudes)[frames]  # [n, segment_frames, F]
        masks = np.concatenate([self.masks_of_segments(segments[first : first + BATCH_SEGMENTS])
                                for first in range(0, len(segments), BATCH_SEGMENTS)])
        return join(masks, starts, magnitudes)
