"""The soft masks of a trained embedding model become complex masks: `[B, S, N]` sources to the loss, a scalar.

The embedding model stays as it is: k-means over its vectors decides which voice is where. A second network
(`models/mask_network.py`, `models/band_split.py`) then corrects the mask of each voice, one voice at a time, so no
order of the voices has to be found, and any number of voices can be separated. The loss is the negative signal-to-noise
ratio of the voices in dB, averaged over all voices of a batch:

    L = -mean_s 10 log10 (|s|^2 / (|s - e|^2 + t |s|^2))

where t limits the ratio (Wisdom et al., arXiv 2006.12701). The centroids are those that a few iterations of k-means
find from the means of the true assignment on, so the estimates are in the order of the sources.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.methods.base import Batch, Method, Setup, bin_weights, ideal_assignment, mean_vectors
from lab41_sce.models import Tensor
from lab41_sce.models.all_reduce import all_reduce_mean
from lab41_sce.models.complex_masks import ACTIVE_FRACTION, COMPRESSION
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.frequency_response import respond
from lab41_sce.models.front_end import FrontEnd, magnitude
from lab41_sce.models.loading import load_model
from lab41_sce.models.mask_network import INPUTS


def build(setup: Setup, *, embedder: str, network: Callable[..., keras.Model], leaves_rest: bool,
          **options: Any) -> "ComplexMasks":
    """Build a network for the masks of a trained model, and its loss.

    `experiments/method/complex_masks.yaml` and `band_split_masks.yaml` have the defaults.

    Args:
        setup: front end.
        embedder: path of a trained `EmbeddingModel`, or "pretrained" for the shipped one.
        network: function like `mask_network.mask_network`, from `n_bins` to the second network.
        leaves_rest: whether noise and late reverberation belong to no voice, see `EmbeddingModel`.
        **options: see `ComplexMasks`.

    Raises:
        UserError: the embedder is no embedding model with soft masks, or the experiment has another front end.
    """
    trained = load_model(embedder)
    if type(trained) is not EmbeddingModel or trained.soft_scale is None:
        raise UserError(f"{embedder} is no model with embeddings and soft masks; give the model of a run with "
                        "method=sce.")
    ours, theirs = setup.front_end.get_config(), trained.front_end.get_config()
    if differing := [name for name in theirs if name != "name" and ours[name] != theirs[name]]:
        wanted = " ".join(f"front_end.{name}={theirs[name]}" for name in differing)
        raise UserError(f"{embedder} has another front end; set {wanted}.")
    # Of a network that was saved frozen, Keras 3.15 loads layers within layers as trainable, and freezes them only if
    # the value changes.
    trained.network.trainable = True
    trained.network.trainable = False
    second = network(n_bins=trained.front_end.n_bins)
    model = EmbeddingModel(**trained.arguments() | {"mask_network": second, "leaves_rest": leaves_rest},
                           name="separation_model")
    return ComplexMasks(model, **options)


class ComplexMasks(Method):
    """Map a batch of sources to the loss of the complex masks of an `EmbeddingModel`.

    Args:
        model: an `EmbeddingModel` with a `mask_network`, which is trained; its embeddings are not.
        kmeans_iterations: iterations of k-means, from the centroids of the true assignment on.
        max_snr_db: signal-to-noise ratio that the loss cannot exceed.
        **kwargs: of `keras.Model`.
    """

    def __init__(self, model: EmbeddingModel, *, kmeans_iterations: int, max_snr_db: float, **kwargs: Any):
        super().__init__(model, **kwargs)
        self.kmeans_iterations, self.max_snr_db = kmeans_iterations, max_snr_db

    def trained_part(self, model: Any) -> Any:
        """Return the second network of a model: the embeddings are those of the embedder."""
        return model.mask_network

    def call(self, batch: Batch, training: bool = False) -> Tensor:
        """Compute the loss of a batch (see `base.Method`), a scalar."""
        front_end, length = self.model.front_end, batch["sources"].shape[-1]
        source_real, source_imaginary = front_end.analyse(batch["sources"])  # [B, S, T, F] each
        if "responses" in batch:
            source_real, source_imaginary = respond(source_real, source_imaginary, batch["responses"],
                                                    front_end.sample_rate_hz)
        real, imaginary = ops.sum(source_real, axis=1), ops.sum(source_imaginary, axis=1)  # [B, T, F] each
        if "noise" in batch:
            noise_real, noise_imaginary = front_end.analyse(batch["noise"])
            real, imaginary = real + noise_real, imaginary + noise_imaginary
        sources = magnitude(source_real, source_imaginary)
        present = ops.cast(ops.sum(ops.square(sources), axis=(2, 3)) > 1e-3, "float32")  # [B, S]
        masks = ops.stop_gradient(self.soft_masks(magnitude(real, imaginary), sources, present))
        mask_real, mask_imaginary = self.complex_masks(real, imaginary, masks, present, training)
        real, imaginary = real[:, None], imaginary[:, None]
        estimates = to_signals(front_end, mask_real * real - mask_imaginary * imaginary,
                               mask_real * imaginary + mask_imaginary * real, length)
        targets = to_signals(front_end, source_real, source_imaginary, length)
        ratios = limited_snr_db(targets, estimates, self.max_snr_db, front_end.pre_emphasis)
        return -ops.sum(present * ratios) / ops.maximum(all_reduce_mean(ops.sum(present)), 1e-12)

    def soft_masks(self, mixture: Tensor, sources: Tensor, present: Tensor) -> Tensor:
        """Compute the soft masks of the embedding model, in the order of the sources.

        Args:
            mixture: magnitudes, float32 `[B, T, F]`.
            sources: magnitudes, float32 `[B, S, T, F]`.
            present: 1 for a speaker of the mixture, 0 for none, float32 `[B, S]`.

        Returns:
            float32 `[B, S, T, F]`; zeros for a speaker who is not present.
        """
        vectors = self.model.embeddings(mixture)
        weights = bin_weights(mixture, self.model.range_db, 1.0)
        centroids = mean_vectors(vectors, ideal_assignment(sources), weights)
        for _ in range(self.kmeans_iterations):
            nearest = ops.argmax(self._scores(vectors, centroids, present), axis=1)
            centroids = mean_vectors(vectors, ops.one_hot(nearest, sources.shape[1], axis=1), weights)
        return ops.softmax(self._scores(vectors, centroids, present), axis=1)

    def _scores(self, vectors: Tensor, centroids: Tensor, present: Tensor) -> Tensor:
        """Return the exponents of the soft masks, `[B, S, T, F]`, as in `clustering.masks_from_centroids`."""
        scores = ops.einsum("btfk,bsk->bstf", vectors, centroids)
        scores = scores - 0.5 * ops.sum(ops.square(centroids), axis=-1)[..., None, None]
        return self.model.soft_scale * scores + 1e9 * (present - 1.0)[..., None, None]

    def complex_masks(self, real: Tensor, imaginary: Tensor, masks: Tensor, present: Tensor,
                      training: bool = False) -> tuple[Tensor, Tensor]:
        """Make soft masks complex, as `models/complex_masks.py` does in NumPy.

        Args:
            real: real part of the mixtures' spectrograms, float32 `[B, T, F]`.
            imaginary: imaginary part.
            masks: from `soft_masks`, float32 `[B, S, T, F]`.
            present: 1 for a speaker of the mixture, 0 for none, float32 `[B, S]`.
            training: whether the network trains.

        Returns:
            Real and imaginary parts, float32 `[B, S, T, F]` each. Unless there is a rest, the real parts sum to one
            over S, the imaginary parts to zero.
        """
        real, imaginary, size = compress(real, imaginary)
        n_frames, n_bins = ops.shape(real)[1], real.shape[2]
        parts = (real[:, None] * masks, imaginary[:, None] * masks, ops.broadcast_to(size[:, None], ops.shape(masks)),
                 masks)
        inputs = ops.reshape(ops.stack(parts, axis=-1), (-1, n_frames, INPUTS * n_bins))
        [places] = ops.nonzero(ops.reshape(present, (-1,)))  # absent speakers take no time
        added = self.model.mask_network(ops.take(inputs, places, axis=0), training=training)
        added = ops.scatter(places[:, None], added, (ops.shape(inputs)[0], n_frames, n_bins, 2))
        added = ops.reshape(added, (*ops.shape(masks), 2))
        if not self.model.leaves_rest:
            added = added - masks[..., None] * ops.sum(added, axis=1, keepdims=True)
        return masks + added[..., 0], added[..., 1]


def compress(real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compress the magnitudes of spectrograms and scale them, as `models.complex_masks.compress` does in NumPy.

    Args:
        real: float32 `[B, T, F]`.
        imaginary: float32 `[B, T, F]`.

    Returns:
        Real part, imaginary part and magnitude, float32 `[B, T, F]` each.
    """
    size = magnitude(real, imaginary)
    loudest = ops.max(size, axis=2, keepdims=True)  # [B, T, 1]
    active = ops.cast(loudest > ACTIVE_FRACTION * ops.max(loudest, axis=1, keepdims=True), "float32")
    powers = ops.power(size, COMPRESSION)
    mean_square = ops.sum(active * ops.square(powers), axis=(1, 2), keepdims=True) / ops.maximum(
        size.shape[2] * ops.sum(active, axis=(1, 2), keepdims=True), 1.0)
    factor = powers / size * ops.rsqrt(ops.maximum(mean_square, 1e-12))
    real, imaginary = real * factor, imaginary * factor
    return real, imaginary, magnitude(real, imaginary)


def to_signals(front_end: FrontEnd, real: Tensor, imaginary: Tensor, length: int) -> Tensor:
    """Turn spectrograms into signals that still have the pre-emphasis, with gradients.

    Args:
        front_end: defines the frames.
        real: real parts, float32 `[..., T, F]`.
        imaginary: imaginary parts.
        length: N, the samples of each signal.

    Returns:
        float32 `[..., N]`.
    """
    frame, hop = front_end.frame_length, front_end.hop_length
    frames = ops.irfft((real, imaginary), frame) * ops.convert_to_tensor(front_end.dual_window(), "float32")
    n_parts, lead = frame // hop, [(0, 0)] * (len(frames.shape) - 2)
    parts = [ops.pad(frames[..., part * hop : (part + 1) * hop], [*lead, (part, n_parts - 1 - part), (0, 0)])
             for part in range(n_parts)]  # the part-th hop of frame t lands in hop t + part of the signal
    signals = ops.reshape(sum(parts), (*ops.shape(frames)[:-2], -1))
    return signals[..., frame - hop : frame - hop + length]


def limited_snr_db(targets: Tensor, estimates: Tensor, max_snr_db: float, pre_emphasis: float = 0.0) -> Tensor:
    """Compute the signal-to-noise ratio of estimates, which approaches `max_snr_db`.

    Energies are those of the signals without pre-emphasis, computed from their Fourier transforms.

    Args:
        targets: float32 `[..., N]`, with pre-emphasis.
        estimates: float32 `[..., N]`, with pre-emphasis.
        max_snr_db: limit of the ratio, in dB.
        pre_emphasis: coefficient of the pre-emphasis of both.

    Returns:
        float32 `[...]`, in dB.
    """
    energy, error = (_energy(signals, pre_emphasis) for signals in (targets, targets - estimates))
    error = error + 10.0 ** (-max_snr_db / 10.0) * energy
    return 10.0 / 2.302585 * (ops.log(energy + 1e-8) - ops.log(error + 1e-8))


def _energy(signals: Tensor, pre_emphasis: float) -> Tensor:
    """Return about the energy, without pre-emphasis, of signals `[..., N]`: the first and last bins count twice."""
    real, imaginary = ops.rfft(signals)
    n_bins = real.shape[-1]
    turns = 0.5 * ops.arange(n_bins, dtype="float32") / (n_bins - 1)
    gains = 1.0 + pre_emphasis**2 - 2.0 * pre_emphasis * ops.cos(2.0 * 3.14159265 * turns)  # squared
    return ops.sum((ops.square(real) + ops.square(imaginary)) / gains, axis=-1) / n_bins
