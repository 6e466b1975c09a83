"""What a system is built from, what training needs of it, and the steps that the losses share.

A *system* maps a `Mixture` to masks `[S, T, F]`. A `build` function of this package receives a `Setup` and returns
either a system (nothing to train) or a `Method`: a loss whose `model` separates mixtures once it is trained.

The shared steps, from signals to what a loss compares:

    magnitudes        sources [B, S, N]                         -> magnitudes |X| [B, T, F] and |S_s| [B, S, T, F]
    ideal_assignment  |S_s| [B, S, T, F]                        -> y [B, S, T, F], 1 for the loudest source of a bin
    bin_weights       |X| [B, T, F]                             -> w [B, T, F], the weight of each bin in a loss
    mean_vectors      v [B, T, F, K], y [B, S, T, F], w         -> sum w y_s v / sum w y_s, [B, S, K]
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import pandas as pd
from keras import ops

from lab41_sce.data.mixture import Mixture
from lab41_sce.data.speech import Speech
from lab41_sce.models import Tensor
from lab41_sce.models.frequency_response import respond
from lab41_sce.models.front_end import FrontEnd, magnitude

Batch: TypeAlias = Mapping[str, Tensor]
System: TypeAlias = Callable[[Mixture], np.ndarray]


@dataclass(frozen=True)
class Setup:
    """Hold what a system may be built from; most systems need only the first three.

    Attributes:
        front_end: maps signals to spectrograms, and spectrograms to the network's input.
        network: builds the configured network: a function of `n_bins` (F) and `n_outputs` (C) that returns a Keras
            model from `[B, T, F]` to `[B, T, F, C]`.
        n_speakers: S, speakers in a mixture.
        speakers: ids of the P known speakers, women first; the `speaker_ids` of training batches are indices into it.
        speech: the signals of the corpus.
        utterances: table of the training utterances.
        folder: folder of the run, which will hold its trained systems.
    """

    front_end: FrontEnd
    network: Callable[..., keras.Model]
    n_speakers: int
    speakers: tuple[str, ...] = ()
    speech: Speech | None = None
    utterances: pd.DataFrame | None = None
    folder: Path | None = None


class Method(keras.Model):
    """Map a batch to the loss that `fit` minimises; each subclass defines its loss in `call`.

    A batch is a dict with `sources`, float32 `[B, S, N]`, and `speaker_ids`, int32 `[B, S]`. It may also have `noise`,
    float32 `[B, N]`, and `responses`, float32 `[B, S, terms]`, the frequency responses that filter the sources
    (`models/frequency_response.py`). The mixture is the sum of the sources and the noise.

    Args:
        model: the Keras model that separates: it has a `front_end` and maps waveforms to embeddings or masks.
        **kwargs: of `keras.Model`.
    """

    def __init__(self, model: keras.Model, **kwargs: Any):
        super().__init__(**kwargs)
        self.model = model
        self.built = True  # its parts are built

    def trained_part(self, model: Any) -> Any:
        """Return the part of a model of this kind that the method trains, or None if the model lacks it."""
        return model

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Tensor = None, sample_weight: Any = None,
                     training: bool = True) -> Tensor:
        """Return the loss that `call` computed (for `keras.Model.fit`)."""
        return y_pred


def magnitudes(front_end: FrontEnd, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the magnitude spectrograms of a batch.

    Args:
        front_end: the front end of the model.
        batch: see `Method`.

    Returns:
        Magnitudes of the mixtures, `[B, T, F]`; of the sources, `[B, S, T, F]`; of the speech without the noise,
        `[B, T, F]`. The weight of a bin depends on its speech: a bin with nothing but noise belongs to no speaker.
    """
    real, imaginary = front_end.analyse(batch["sources"])  # [B, S, T, F] each
    if "responses" in batch:
        real, imaginary = respond(real, imaginary, batch["responses"], front_end.sample_rate_hz)
    speech_real, speech_imaginary = ops.sum(real, axis=1), ops.sum(imaginary, axis=1)  # [B, T, F] each
    mixture = speech = magnitude(speech_real, speech_imaginary)
    if "noise" in batch:
        noise_real, noise_imaginary = front_end.analyse(batch["noise"])
        mixture = magnitude(speech_real + noise_real, speech_imaginary + noise_imaginary)
    return mixture, magnitude(real, imaginary), speech


def ideal_assignment(sources: Tensor) -> Tensor:
    """Assign each bin to its loudest source.

    Args:
        sources: magnitudes, float32 `[B, S, T, F]`.

    Returns:
        float32 `[B, S, T, F]`: 1 for the loudest source of a bin (the first of them in a tie), 0 for the others.
    """
    return ops.one_hot(ops.argmax(sources, axis=1), sources.shape[1], axis=1)


def bin_weights(speech: Tensor, range_db: float | None, power: float = 0.0, emphasis: Tensor = 1.0) -> Tensor:
    """Compute the weight of each bin in a loss.

    Args:
        speech: magnitudes of the speech, float32 `[B, T, F]`.
        range_db: bins further than this below the peak of their mixture, in dB, weigh 0; None excludes no bin.
        power: exponent of the magnitude relative to the peak: 0 weighs all bins alike, 1 weighs by magnitude.
        emphasis: gain of the pre-emphasis in each frequency bin, float32 `[F]` (`FrontEnd.emphasis`). The magnitudes
            are divided by this gain, so that they are those of the signal without pre-emphasis, as in the SDR.

    Returns:
        float32 `[B, T, F]`, at least 0.
    """
    relative = speech / ops.maximum(ops.max(speech, axis=(1, 2), keepdims=True), 1e-12)
    active_bins = 1.0 if range_db is None else ops.cast(relative >= 10.0 ** (-range_db / 20.0), "float32")
    return active_bins * ops.divide(relative, emphasis) ** power  # ops, since emphasis is a NumPy array


def mean_vectors(embeddings: Tensor, assignment: Tensor, weights: Tensor) -> Tensor:
    """Average the embeddings of the bins of each source.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        assignment: float32 `[B, S, T, F]`: 1 for the source that owns a bin, else 0.
        weights: weight of each bin, float32 `[B, T, F]`, at least 0.

    Returns:
        Weighted means, float32 `[B, S, K]`; zeros for a source without a bin.
    """
    owned = assignment * weights[:, None]  # [B, S, T, F]
    totals = ops.sum(owned, axis=(2, 3))[..., None]  # [B, S, 1]
    return ops.einsum("bstf,btfk->bsk", owned, embeddings) / ops.maximum(totals, 1e-12)
