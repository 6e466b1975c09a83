"""A mixture `[N]` becomes a vector for every bin `[T, F, K]`, and by clustering masks `[S, T, F]`.

This is the model that separation needs and that a run saves: front end, network, clustering. It has no input and no
weight that knows a speaker; how its network is trained is the affair of a method (`sce.py`).
"""

from functools import lru_cache

import keras
import numpy as np
from keras import ops

import lab41_sce.models.networks  # noqa: F401, registers the layers of a saved network
from lab41_sce.models.clustering import active_bins, fit_centroids, masks_from_centroids
from lab41_sce.models.front_end import magnitude

# To separate, a network hears excerpts about as long as those that trained it, and of each only the middle counts: over
# minutes, the cells of an LSTM drift away from what they were in training.
OWN_FRAMES, EXCERPT_FRAMES = 125, 250
MAX_EXCERPTS = 64  # at once
RENAMED = {"spread": "cluster_variance", "alike": "verification_threshold", "phases": "hop_reduction"}


@keras.saving.register_keras_serializable("lab41_sce")
class EmbeddingModel(keras.Model):
    """Map waveforms `[B, N]` to vectors `[B, T, F, K]`, and one waveform to masks.

    Args:
        front_end: a `FrontEnd` layer.
        network: Keras model from `[B, T, F]` to `[B, T, F, K]`.
        unit_norm: scale every vector to length one.
        range_db: bins at most this far below the peak are clustered; the others follow.
        soft_scale: how sharp soft masks are (see `clustering.masks_from_centroids`); None for binary masks.
        spread: how far the vectors of voices lie around their centres, at most (`counting.py`); None if nobody has
            measured it.
        alike: the least cosine of the centres of one voice in two recordings; None if nobody has measured it.
        phases: how many frames there are for each that the network was trained to see. To separate, frames may follow
            each other more densely: the network is given every second one, say, and then the others. That is a second
            opinion on every moment, and smoother masks.
    """

    def __init__(self, front_end, network, unit_norm=False, range_db=25.0, soft_scale=None, cluster_variance=None, verification_threshold=None,
                 hop_reduction=1, **kwargs):
        super().__init__(**kwargs)
        self.front_end = front_end
        self.network = network
        self.unit_norm = unit_norm
        self.range_db = range_db
        self.soft_scale = soft_scale
        self.cluster_variance = cluster_variance
        self.verification_threshold = verification_threshold
        self.hop_reduction = hop_reduction
        self.built = True  # as its parts are

    @property
    def clusters(self):
        """Whether masks come from clustering, so that true centres are their ceiling."""
        return True

    @property
    def grid_frames(self):
        """Where a recording may be cut: at multiples of this, if at least as much on both sides is heard, too."""
        return OWN_FRAMES * self.hop_reduction

    def call(self, mixtures, training=False):
        """Embed waveforms: float32 `[B, N]` to `[B, T, F, K]`."""
        return self.embeddings(magnitude(*self.front_end.analyse(mixtures)), training)

    def embeddings(self, mixture, training=False):
        """Embed magnitudes: float32 `[B, T, F]` to `[B, T, F, K]`."""
        features = self.front_end(mixture)
        n_frames = ops.shape(features)[1]
        vectors = self.network(split_interleaved_frames(features, self.hop_reduction), training=training)
        return self._scaled(interleave_frames(vectors, self.hop_reduction)[:, :n_frames])

    def embed_frames(self, mixture, select_frames, training=False):
        """Embed magnitudes `[B, T, F]` as `embeddings` does, but only the frames that `choose` takes of all.

        The last layer, whose output is large, is spared the others. `choose` maps `[B, T, D]` to `[B, some, D]`.
        """
        hidden, last = _halves(self.network)
        features = self.front_end(mixture)
        if last is self.network:  # it cannot be split
            return self._scaled(select_frames(last(features, training=training)))
        return self._scaled(last(select_frames(hidden(features, training=training)), training=training))

    def _scaled(self, vectors):
        return unit_length(vectors) if self.unit_norm else vectors

    def embed(self, mixture):
        """Embed one waveform `[N]` as separation does, in excerpts: float32 array `[T, F, K]`."""
        features = ops.convert_to_numpy(self.front_end(magnitude(*self.front_end.analyse(mixture[None]))))
        return self.vectors(self.hidden(features[0]), features.shape[1])

    def masks(self, mixture, n_speakers):
        """Estimate a mask for each speaker of a mixture.

        Args:
            mixture: float32 array `[N]` at the front end's rate.
            n_speakers: S.

        Returns:
            Masks, float32 `[S, T, F]`, that sum to one over S.
        """
        levels = ops.convert_to_numpy(magnitude(*self.front_end.analyse(mixture)))
        vectors = self.embed(mixture)
        loud = active_bins(levels, self.range_db)
        return self.masks_from(vectors, self.centroids(vectors[loud], levels[loud], n_speakers))

    def centroids(self, vectors, magnitudes, n_speakers):
        """Find the centre of each voice, `[S, K]`, from vectors of audible bins `[n, K]` and their magnitudes `[n]`."""
        return fit_centroids(vectors, magnitudes, n_speakers)

    def masks_from(self, vectors, centroids):
        """Turn vectors `[T, F, K]` and centres `[S, K]` into masks `[S, T, F]`; without centres, equal shares."""
        if not centroids.any():
            return np.full((len(centroids), *vectors.shape[:2]), 1.0 / len(centroids), np.float32)
        return masks_from_centroids(vectors, centroids, self.soft_scale)

    def hidden(self, features):
        """Run the network's input `[T, F]` through all but the last layer: what `vectors` wants, an array.

        It is small: 128 numbers for each frame, say, where the vectors are 5,000. The excerpts go through the layers
        many at a time, which takes much less than each by itself: recurrent layers read their weights for every frame.
        """
        by_phase = ops.convert_to_numpy(split_interleaved_frames(np.asarray(features)[None], self.hop_reduction))
        n_frames = by_phase.shape[1]
        length = min(n_frames, EXCERPT_FRAMES)
        owns = np.arange(0, n_frames, OWN_FRAMES) if n_frames > length else [0]
        starts = np.clip(np.subtract(owns, (EXCERPT_FRAMES - OWN_FRAMES) // 2), 0, n_frames - length)
        excerpts = np.concatenate([by_phase[:, start : start + length] for start in starts])
        network = _halves(self.network)[0]
        said = np.concatenate([network.predict_on_batch(excerpts[first : first + MAX_EXCERPTS])
                               for first in range(0, len(excerpts), MAX_EXCERPTS)])
        said = said.reshape(len(starts), self.hop_reduction, *said.shape[1:])
        stops = [*owns[1:], n_frames]
        return np.concatenate([of_excerpt[:, own - start : stop - start]
                               for of_excerpt, start, own, stop in zip(said, starts, owns, stops)], axis=1)

    def vectors(self, hidden, n_frames):
        """Make the vectors of an excerpt, float32 array `[T, F, K]`, of what `hidden` said of it; `n_frames` is T."""
        by_phase = _halves(self.network)[1].predict_on_batch(hidden)
        # As join_phases does, but without further copies of what is large.
        vectors = np.swapaxes(by_phase, 0, 1).reshape(-1, *by_phase.shape[2:])[:n_frames]
        if self.unit_norm:
            vectors /= np.maximum(np.sqrt(np.einsum("tfk,tfk->tf", vectors, vectors)), 1e-12)[..., None]
        return vectors

    def get_config(self):
        """Return the arguments, for serialisation."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("front_end", "network")}
        options = {name: getattr(self, name) for name in ("unit_norm", "range_db", "soft_scale", "cluster_variance", "verification_threshold",
                                                        "hop_reduction")}
        return super().get_config() | parts | options

    @classmethod
    def from_config(cls, config):
        """Make the model that `get_config` described, perhaps by the names that its arguments had in version 0.1."""
        config = {RENAMED.get(name, name): value for name, value in config.items()}
        parts = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in ("front_end", "network")}
        return cls(**parts, **config)


def unit_length(vectors):
    """Scale vectors `[..., K]` to length one; zeros stay zeros, and so does their gradient, on every backend."""
    return vectors * ops.rsqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1, keepdims=True), 1e-12))


def split_interleaved_frames(features, hop_reduction: int):
    """Take every so-many-th frame: `[B, T, F]` to `[B * phases, ceil(T / phases), F]`, the last ones perhaps zeros."""
    if hop_reduction == 1:
        return features
    n_frames, n_bins = -(-ops.shape(features)[1] // hop_reduction), features.shape[2]
    features = ops.pad(features, [(0, 0), (0, hop_reduction - 1), (0, 0)])[:, : n_frames * hop_reduction]
    by_phase = ops.swapaxes(ops.reshape(features, (-1, n_frames, hop_reduction, n_bins)), 1, 2)
    return ops.reshape(by_phase, (-1, n_frames, n_bins))


def interleave_frames(vectors, hop_reduction: int):
    """Put the frames in a row again: `[B * phases, T, F, K]` to `[B, T * phases, F, K]`."""
    if hop_reduction == 1:
        return vectors
    n_frames = ops.shape(vectors)[1]
    n_bins, size = vectors.shape[2:]
    in_turns = ops.swapaxes(ops.reshape(vectors, (-1, hop_reduction, n_frames, n_bins, size)), 1, 2)
    return ops.reshape(in_turns, (-1, n_frames * hop_reduction, n_bins, size))


@lru_cache(maxsize=8)
def _halves(network):
    """Split a network before its last layer, `dense`, whose output is large; the halves share its weights."""
    names = {layer.name for layer in getattr(network, "layers", ())}
    if not {"dense", "bins"} <= names:  # a network of another kind is all last layer
        return keras.Sequential([keras.layers.Identity()]), network
    middle = network.get_layer("dense").input
    return keras.Model(network.input, middle), keras.Model(middle, network.get_layer("bins").output)
