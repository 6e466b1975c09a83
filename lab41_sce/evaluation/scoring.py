"""An evaluation set and some systems become scores: every system separates the same mixtures.

A system is a function that receives a `Mixture` and returns masks `[S, T, F]`. Systems that can separate a recording
use only `mixture.signal` and `mixture.n_speakers`. Oracles also use `mixture.sources`. A system with another front end
has it as the attribute `front_end`. A `WaveformSystem` returns signals instead of masks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lab41_sce.data.evaluation_set import load_mixture
from lab41_sce.data.mixture import Mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError, reason_and_place
from lab41_sce.evaluation.definitions import ENERGY_METRICS
from lab41_sce.evaluation.parallel_scoring import LABELS, score_mixtures
from lab41_sce.methods.base import System
from lab41_sce.methods.waveform import WaveformSystem
from lab41_sce.models.clustering import oracle_centroid_masks
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.loading import SeparationModel
from lab41_sce.separation.chunked_inference import embed, estimate_masks


def trained_system(model: SeparationModel) -> System:
    """Return the system of a trained model, which uses the mixture and the number of speakers only."""
    return lambda mixture: estimate_masks(model, mixture.signal, mixture.n_speakers)


def oracle_centroid_system(model: EmbeddingModel) -> System:
    """Return the system that assigns the embeddings of a model to the nearest centroid of the true sources.

    Its masks become complex, if the model has a network for this, as those of k-means do.
    """

    def masks(mixture: Mixture) -> np.ndarray:
        levels = np.abs(model.front_end.spectrogram(np.stack([mixture.signal, *mixture.sources])))
        embeddings = embed(model, mixture.signal)
        found = oracle_centroid_masks(embeddings, levels[0], levels[1:], model.range_db, model.soft_scale)
        return model.final_masks(model.front_end.spectrogram(mixture.signal), found)

    return masks


def checked_masks(name: str, system: System, mixture: Mixture, front_end: FrontEnd) -> np.ndarray:
    """Compute the masks of a system.

    Args:
        name: of the system, for messages.
        system: receives the mixture.
        mixture: the mixture.
        front_end: that of the system.

    Returns:
        Masks, real or complex, `[S, T, F]`.

    Raises:
        UserError: the system fails, or returns something else.
    """
    try:
        masks = np.asarray(system(mixture))
    except UserError:
        raise
    except Exception as error:  # the system may be the user's, and may raise anything
        raise UserError(f"the system {name} failed ({reason_and_place(error)}); correct it.") from error
    wanted = (mixture.n_speakers, *front_end.spectrogram(mixture.signal).shape)
    if masks.dtype.kind not in "biufc" or masks.shape != wanted or not np.isfinite(masks).all():
        seen = f"an array of the shape {masks.shape}" if masks.shape != wanted else (
            "masks with NaN or infinity" if masks.dtype.kind in "fc" else f"an array of the kind {masks.dtype}")
        raise UserError(f"the system {name} returned {seen}; it must return finite masks [speakers, frames, bins] of "
                        f"the shape {wanted}.")
    return masks


def apply_masks(front_end: FrontEnd, mixture: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Multiply the spectrogram of a mixture by masks and return to signals, with the phase of the mixture.

    Args:
        front_end: computes the spectrogram and its inverse.
        mixture: signal `[N]`.
        masks: masks `[S, T, F]`.

    Returns:
        Signals, float32 `[S, N]`.
    """
    return front_end.synthesise(front_end.spectrogram(mixture) * np.asarray(masks), len(mixture))


def score_systems(front_end: FrontEnd, systems: Mapping[str, System | WaveformSystem], speech: Speech,
                  mixtures: pd.DataFrame, n_jobs: int = -1, keep: Callable | None = None, noise: Noise | None = None,
                  engine: str = "loky", metrics: Sequence[str] = ENERGY_METRICS) -> pd.DataFrame:
    """Score every system on every mixture of an evaluation set.

    Args:
        front_end: front end of the systems without the attribute `front_end`.
        systems: systems by name.
        speech: signals that the evaluation set refers to.
        mixtures: evaluation set.
        n_jobs: number of processes that compute scores; -1 uses all cores.
        keep: called with each row, its `Mixture` and the estimates by system; `Examples.keep` writes some of them.
        noise: noise source, if the evaluation set contains noise.
        engine: where the processes run: one of `process_pool.ENGINES`.
        metrics: those of `definitions.ALL_METRICS` to compute.

    Returns:
        Table with the columns `mixture`, `split`, `kind`, `system`, `metric` and `value` (dB).
    """

    def jobs() -> Iterator[tuple]:
        for _, row in mixtures.iterrows():
            mixture = load_mixture(speech, row, noise)
            estimates = {}
            for name, system in systems.items():
                if isinstance(system, WaveformSystem):
                    estimates[name] = system.voices(mixture, front_end.sample_rate_hz)
                    continue
                own_front_end: Any = getattr(system, "front_end", front_end)
                estimates[name] = apply_masks(own_front_end, mixture.signal,
                                              checked_masks(name, system, mixture, own_front_end))
            if keep is not None:
                keep(row, mixture, estimates)
            yield row[list(LABELS)].to_dict(), mixture.sources, mixture.signal, estimates

    return score_mixtures(jobs(), n_jobs=n_jobs, total=len(mixtures), engine=engine, metrics=metrics,
                          sample_rate_hz=front_end.sample_rate_hz)
