"""What every system is given, and what training asks of one.

A *system* is a function of a `Mixture` that returns masks `[S, T, F]`. A `build` function of this package gets a
`Setup` and returns either such a function (nothing to train), or a `Method`: a loss, whose `model` separates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import pandas as pd
from keras import ops

from lab41_sce.data.speech import Speech
from lab41_sce.models.frequency_response import respond
from lab41_sce.models.front_end import FrontEnd, magnitude


@dataclass(frozen=True)
class Setup:
    """Hold what a system may be built from; most need little of it.

    Attributes:
        front_end: signals to spectrograms to network input.
        network: the configured network, a function of `n_bins` (F) and `n_outputs` (C) that returns a Keras model
            from `[B, T, F]` to `[B, T, F, C]`.
        n_speakers: S, speakers in a mixture.
        speakers: ids of the P known speakers; training's `speaker_ids` are places in this list. Women come first.
        speech: the signals of the corpus.
        utterances: table of the utterances to train on.
        folder: of the run, where there will be trained systems.
    """

    front_end: FrontEnd
    network: Callable[..., keras.Model]
    n_speakers: int
    speakers: tuple[str, ...] = ()
    speech: Speech | None = None
    utterances: pd.DataFrame | None = None
    folder: Path | None = None


class Method(keras.Model):
    """Map a batch of sources to the loss that `fit` minimises; subclasses say which, in `call`.

    A batch is a dict of `sources`, float32 `[B, S, N]`, `speaker_ids`, int32 `[B, S]`, and perhaps `noise`, float32
    `[B, N]`, and `responses`, what the sources are filtered by (`augmentation.py`). The mixture is the sum of the
    sources and the noise.

    Args:
        model: what separates: a Keras model with a `front_end` and `masks(mixture, n_speakers)`.
    """

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.model = model
        self.built = True  # as its parts are

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss that `call` computed (for `keras.Model.fit`)."""
        return y_pred


def magnitudes(front_end: FrontEnd, batch):
    """Compute the magnitudes of what a batch is made of.

    Args:
        front_end: a `FrontEnd`.
        batch: as a `Method` gets it.

    Returns:
        `[B, T, F]` of the mixtures; `[B, S, T, F]` of the sources; `[B, T, F]` of all speech, which is the mixtures'
        where there is no noise. A bin should count by its speech: nobody can tell whose it is where noise is all.
    """
    real, imaginary = front_end.analyse(batch["sources"])
    if "responses" in batch:
        real, imaginary = respond(real, imaginary, batch["responses"], front_end.sample_rate_hz)
    speech_real, speech_imaginary = ops.sum(real, axis=1), ops.sum(imaginary, axis=1)
    mixture = speech = magnitude(speech_real, speech_imaginary)
    if "noise" in batch:
        noise_real, noise_imaginary = front_end.analyse(batch["noise"])
        mixture = magnitude(speech_real + noise_real, speech_imaginary + noise_imaginary)
    return mixture, magnitude(real, imaginary), speech


def ideal_assignment(sources):
    """Tell the loudest source of each bin: magnitudes `[B, S, T, F]` to float32 ones and zeros of the same shape."""
    return ops.one_hot(ops.argmax(sources, axis=1), sources.shape[1], axis=1)


def bin_weights(levels, range_db: float | None, power: float = 0.0, emphasis=1.0):
    """Say how much each bin counts in a loss.

    Args:
        levels: magnitudes of the speech, float32 `[B, T, F]`.
        range_db: bins further than this below the peak of their mixture count 0; None leaves none out.
        power: of the magnitude, relative to the peak, that the others count: 0 for all alike, 1 for the magnitude.
        emphasis: float32 `[F]`, of the front end, to count by magnitudes as they are without pre-emphasis: those that
            are heard, and that SDR measures.

    Returns:
        float32 `[B, T, F]`, not negative.
    """
    relative = levels / ops.maximum(ops.max(levels, axis=(1, 2), keepdims=True), 1e-12)
    active_bins = 1.0 if range_db is None else ops.cast(relative >= 10.0 ** (-range_db / 20.0), "float32")
    return active_bins * ops.divide(relative, emphasis) ** power  # (one of NumPy, the other perhaps on a GPU)


def mean_vectors(embeddings, assignment, weights):
    """Average the vectors of the bins of each source.

    Args:
        embeddings: float32 `[B, T, F, K]`.
        assignment: float32 `[B, S, T, F]`: 1 for the source that owns a bin, else 0.
        weights: float32 `[B, T, F]`, at least 0, how much each bin counts.

    Returns:
        float32 `[B, S, K]`; zeros for a source without a bin.
    """
    owned = assignment * weights[:, None]
    totals = ops.sum(owned, axis=(2, 3))[..., None]
    return ops.einsum("bstf,btfk->bsk", owned, embeddings) / ops.maximum(totals, 1e-12)
