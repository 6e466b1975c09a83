"""Complex masks steered by source-contrastive embeddings: `[B, S, N]` sources to the loss, a scalar.

The loss is that of SCE for the embeddings, if the model has its own, plus the negative signal-to-noise ratio in dB of
the voices, averaged over the speakers of all mixtures:

    L = w L_SCE - (1 - w) / 10 * mean_s 10 log10 (|s|^2 / (|s - e|^2 + t |s|^2))

where t limits the ratio (arXiv 1911.02182). The signals s and e come from spectrograms without pre-emphasis. The
centroids are those that a few iterations of k-means find from the means of the true assignment.
"""

from typing import Any

from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.methods.base import Batch, Method, Setup, bin_weights, ideal_assignment, mean_vectors
from lab41_sce.methods.sce import SpeakerVectors, source_contrastive_loss
from lab41_sce.models import Tensor
from lab41_sce.models.band_split_model import BandSplitModel
from lab41_sce.models.embedding_model import EmbeddingModel, unit_length
from lab41_sce.models.frequency_response import respond
from lab41_sce.models.front_end import magnitude
from lab41_sce.models.loading import load_model
from lab41_sce.models.refined_model import RefinedModel
from lab41_sce.models.steered_model import SteeredModel


def build_refined(setup: Setup, *, embedder: str, width: int, units: int, n_layers: int, frames_per_step: int,
                  bottleneck_rank: int, training_dtype: str, dropout: float, **options: Any) -> "SteeredMasks":
    """Build a second stage for a trained model, and its loss; `experiments/method/refined.yaml` has the defaults.

    Args:
        setup: front end and known speakers.
        embedder: path of a trained `EmbeddingModel`.
        **options: see `SteeredMasks`; the arguments between are those of `RefinedModel`.

    Raises:
        UserError: the embedder is no embedding model, or the experiment has another front end.
    """
    trained = load_model(embedder)
    if not isinstance(trained, EmbeddingModel):
        raise UserError(f"{embedder} is no model with embeddings; give the model of a run with method=sce.")
    ours, theirs = setup.front_end.get_config(), trained.front_end.get_config()
    if differing := [name for name in theirs if name != "name" and ours[name] != theirs[name]]:
        wanted = " ".join(f"front_end.{name}={theirs[name]}" for name in differing)
        raise UserError(f"{embedder} has another front end; set {wanted}.")
    model = RefinedModel(trained, width=width, units=units, n_layers=n_layers, frames_per_step=frames_per_step,
                         bottleneck_rank=bottleneck_rank, training_dtype=training_dtype, dropout=dropout,
                         name="separation_model")
    return SteeredMasks(model, len(setup.speakers), **options)


def build_band_split(setup: Setup, *, embedding_size: int, width: int, units: int, n_blocks: int,
                     n_steered_blocks: int, frames_per_step: int, hidden: int, training_dtype: str, range_db: float,
                     soft_scale: float, **options: Any) -> "SteeredMasks":
    """Build the band-split model and its loss; `experiments/method/band_split.yaml` has the defaults.

    Args:
        setup: front end and known speakers.
        **options: see `SteeredMasks`; the arguments between are those of `BandSplitModel`.
    """
    model = BandSplitModel(setup.front_end, embedding_size=embedding_size, width=width, units=units, n_blocks=n_blocks,
                           n_steered_blocks=n_steered_blocks, frames_per_step=frames_per_step, hidden=hidden,
                           training_dtype=training_dtype, range_db=range_db, soft_scale=soft_scale,
                           name="separation_model")
    return SteeredMasks(model, len(setup.speakers), **options)


class SteeredMasks(Method):
    """Map a batch of sources and speaker ids to the loss of embeddings and masks.

    Args:
        model: the `SteeredModel` to train.
        n_known_speakers: P.
        embedding_loss_weight: share of the loss that is the SCE loss; 0 for embeddings that are not trained.
        centroid_loss_weight: see `SourceContrastiveEstimation`.
        loss_range_db: bins further than this below the speech's peak, in dB, weigh 0 in the SCE loss.
        scale: factor of every inner product in the SCE loss.
        speaker_lr_multiplier: see `SpeakerVectors`.
        kmeans_iterations: iterations of k-means, from the centroids of the true assignment on.
        max_snr_db: signal-to-noise ratio beyond which a voice hardly improves the loss.
        **kwargs: of `keras.Model`.
    """

    def __init__(self, model: SteeredModel, n_known_speakers: int, *, embedding_loss_weight: float,
                 centroid_loss_weight: float, loss_range_db: float | None, scale: float, speaker_lr_multiplier: float,
                 kmeans_iterations: int, max_snr_db: float, **kwargs: Any):
        super().__init__(model, **kwargs)
        self.embedding_loss_weight, self.centroid_loss_weight = embedding_loss_weight, centroid_loss_weight
        self.loss_range_db, self.scale = loss_range_db, scale
        self.kmeans_iterations, self.max_snr_db = kmeans_iterations, max_snr_db
        if embedding_loss_weight:
            self.speaker_vectors = SpeakerVectors(n_known_speakers, model.embedding_size, unit_norm=True,
                                                  speaker_lr_multiplier=speaker_lr_multiplier)

    def call(self, batch: Batch, training: bool = False) -> Tensor:
        """Compute the loss of a batch (see `base.Method`), a scalar."""
        model, front_end = self.model, self.model.front_end
        source_real, source_imaginary = front_end.analyse(batch["sources"])  # [B, S, T, F] each
        if "responses" in batch:
            source_real, source_imaginary = respond(source_real, source_imaginary, batch["responses"],
                                                    front_end.sample_rate_hz)
        real, imaginary = ops.sum(source_real, axis=1), ops.sum(source_imaginary, axis=1)  # [B, T, F] each
        speech, sources = magnitude(real, imaginary), magnitude(source_real, source_imaginary)
        if "noise" in batch:
            noise_real, noise_imaginary = front_end.analyse(batch["noise"])
            real, imaginary = real + noise_real, imaginary + noise_imaginary
        present = ops.cast(ops.sum(ops.square(sources), axis=(2, 3)) > 1e-3, "float32")  # [B, S]
        features, vectors = model.analyse(real, imaginary, training=training)
        ideal = ideal_assignment(sources)
        weights = bin_weights(speech, self.loss_range_db, 1.0, front_end.emphasis())
        centroids = self._centroids(ops.stop_gradient(vectors), ideal, magnitude(real, imaginary), present)
        assignment = model.assign(vectors, centroids, present)
        mask_real, mask_imaginary = model.steer(features, real, imaginary, assignment, training=training)
        real, imaginary = real[:, None], imaginary[:, None]
        length = batch["sources"].shape[-1]
        estimates = front_end.to_signals(mask_real * real - mask_imaginary * imaginary,
                                         mask_real * imaginary + mask_imaginary * real, length)
        targets = front_end.to_signals(source_real, source_imaginary, length)
        ratios = limited_snr_db(targets, estimates, self.max_snr_db)
        loss = -0.1 * ops.sum(present * ratios) / ops.maximum(ops.sum(present), 1.0)
        if not self.embedding_loss_weight:
            return loss
        return (self.embedding_loss_weight * self._embedding_loss(batch, vectors, ideal, weights)
                + (1.0 - self.embedding_loss_weight) * loss)

    def _centroids(self, vectors: Tensor, ideal: Tensor, mixture: Tensor, present: Tensor) -> Tensor:
        """Compute centroids `[B, S, K]` by iterations of k-means over the active bins, from the true assignment on."""
        weights = bin_weights(mixture, self.model.range_db, 1.0)
        centroids = mean_vectors(vectors, ideal, weights)
        for _ in range(self.kmeans_iterations):
            nearest = self.model.assign(vectors, centroids, present)
            nearest = ops.one_hot(ops.argmax(nearest, axis=1), nearest.shape[1], axis=1)
            centroids = mean_vectors(vectors, nearest, weights)
        return centroids

    def _embedding_loss(self, batch: Batch, vectors: Tensor, ideal: Tensor, weights: Tensor) -> Tensor:
        """Compute the SCE loss, a part of it with the centroids of the sources of each mixture."""
        labels = 2.0 * ideal - 1.0
        known = self.scale * self.speaker_vectors(batch["speaker_ids"])
        own = self.scale * unit_length(mean_vectors(vectors, ideal, weights))
        return ((1.0 - self.centroid_loss_weight) * source_contrastive_loss(vectors, known, labels, weights)
                + self.centroid_loss_weight * source_contrastive_loss(vectors, own, labels, weights))


def limited_snr_db(targets: Tensor, estimates: Tensor, max_snr_db: float) -> Tensor:
    """Compute the signal-to-noise ratio of estimates, which approaches `max_snr_db`.

    Args:
        targets: float32 `[..., N]`.
        estimates: float32 `[..., N]`.
        max_snr_db: limit of the ratio, in dB.

    Returns:
        float32 `[...]`, in dB.
    """
    energy = ops.sum(ops.square(targets), axis=-1)
    error = ops.sum(ops.square(targets - estimates), axis=-1) + 10.0 ** (-max_snr_db / 10.0) * energy
    return 10.0 / 2.302585 * (ops.log(energy + 1e-8) - ops.log(error + 1e-8))
