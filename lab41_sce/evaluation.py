"""A list of mixtures and some systems become scores: every system separates the very same mixtures.

A system is a function of a mixture `[N]` and its sources `[S, N]` that returns masks `[S, T, F]`. Trained systems look
at the mixture only; references (ideal masks) look at the sources.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from lab41_sce import audio
from lab41_sce.clustering import true_centres_masks
from lab41_sce.metrics import best_si_sdr, score_mixtures
from lab41_sce.mixtures import Speech, load_mixture

Masks = Callable[[np.ndarray, np.ndarray], np.ndarray]


def reference_systems(front_end) -> dict[str, Masks]:
    """Return the rows that every table carries: unprocessed mixture, ideal binary mask, ideal ratio mask."""

    def magnitudes(sources):
        return np.abs(front_end.spectrogram(sources))

    def unprocessed(mixture, sources):
        return np.ones_like(magnitudes(sources))

    def ideal_binary_mask(mixture, sources):
        levels = magnitudes(sources)
        return (levels.argmax(axis=0) == np.arange(len(levels))[:, None, None]).astype(np.float32)

    def ideal_ratio_mask(mixture, sources):
        levels = magnitudes(sources)
        return levels / np.maximum(levels.sum(axis=0), 1e-12)

    return {function.__name__: function for function in (unprocessed, ideal_binary_mask, ideal_ratio_mask)}


def trained_system(model) -> Masks:
    """Return the system of a trained model: masks by the mixture and the number of speakers alone."""
    return lambda mixture, sources: model.masks(mixture, len(sources))


def true_centres_system(model) -> Masks:
    """Return the ceiling of clustering: an embedding model's vectors, given to the nearest true class centre."""

    def masks(mixture, sources):
        spectrograms = model.front_end.spectrogram(sources)
        return true_centres_masks(model.embed(mixture), np.abs(spectrograms.sum(axis=0)), np.abs(spectrograms),
                                  model.range_db)

    return masks


def apply_masks(front_end, mixture: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Multiply a mixture `[N]` by masks `[S, T, F]`, with the mixture's phase: signals, float32 `[S, N]`."""
    return front_end.synthesise(front_end.spectrogram(mixture) * masks, len(mixture))


def score_systems(front_end, systems: Mapping[str, Masks], speech: Speech, mixtures: pd.DataFrame, n_jobs: int = -1,
                  keep: Callable | None = None) -> pd.DataFrame:
    """Score every system on every mixture of a list.

    Args:
        front_end: of spectrograms and resynthesis.
        systems: masks by the system's name.
        speech: the signals that the list refers to.
        mixtures: evaluation list.
        n_jobs: processes that compute scores; -1 for one each core.
        keep: called with each row, its sources and the estimates by system, to keep some for listening.

    Returns:
        Table with the columns `mixture`, `split`, `kind`, `system`, `metric`, `value`.
    """

    def jobs():
        for _, row in mixtures.iterrows():
            sources = load_mixture(speech, row)
            mixture = sources.sum(axis=0)
            estimates = {name: apply_masks(front_end, mixture, masks(mixture, sources))
                         for name, masks in systems.items()}
            if keep is not None:
                keep(row, sources, estimates)
            yield {"mixture": row["mixture"], "split": row["split"], "kind": row["kind"]}, sources, mixture, estimates

    return score_mixtures(jobs(), n_jobs=n_jobs, total=len(mixtures))


def validate(model, speech: Speech, mixtures: pd.DataFrame) -> dict[str, float]:
    """Separate validation mixtures with the model as it is: mean SI-SDR improvement in dB, overall and by kind.

    SI-SDR stands in for SDR here because it is a hundred times cheaper; kinds are unordered (MF counts as FM).
    """
    improvements = {}
    for _, row in mixtures.iterrows():
        sources = load_mixture(speech, row)
        mixture = sources.sum(axis=0)
        estimates = apply_masks(model.front_end, mixture, model.masks(mixture, len(sources)))
        unprocessed = np.broadcast_to(mixture, sources.shape)
        gain = best_si_sdr(sources, estimates).mean() - best_si_sdr(sources, unprocessed).mean()
        improvements.setdefault("".join(sorted(row["kind"])), []).append(gain)
    by_kind = {f"validation_si_sdri_db_{kind}": float(np.nanmean(values)) for kind, values in improvements.items()}
    return {"validation_si_sdri_db": float(np.nanmean(sum(improvements.values(), []))), **by_kind}


class Examples:
    """Keep the audio of the first mixtures of each kind, to listen to.

    Args:
        folder: of the run; gets `examples/<split>-<kind>-<number>/{mixture,reference_i,estimate_i}.wav`.
        system: whose estimates are kept.
        per_kind: how many mixtures of each unordered kind and split.
        sample_rate_hz: of the signals.
    """

    def __init__(self, folder: Path, system: str, per_kind: int, sample_rate_hz: int):
        self.folder, self.system, self.per_kind = folder / "examples", system, per_kind
        self.sample_rate_hz = sample_rate_hz
        self.rows = []

    def keep(self, row, sources: np.ndarray, estimates: Mapping[str, np.ndarray]) -> None:
        """Write one mixture's files, unless there are enough of its kind."""
        kind = "".join(sorted(row["kind"]))
        same = [earlier for earlier in self.rows if (earlier["split"], earlier["kind"]) == (row["split"], kind)]
        if len(same) >= self.per_kind:
            return
        name = f"{row['split']}-{kind}-{len(same) + 1}"
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        _, order = linear_sum_assignment(sources @ estimates[self.system].T, maximize=True)
        mixture = sources.sum(axis=0)
        scale = 0.5 / np.abs(mixture).max()  # one scale for all, so that loudness can be compared
        for title, signals in (("mixture", mixture[None]), ("reference", sources),
                               ("estimate", estimates[self.system][order])):
            for number, signal in enumerate(signals, start=1):
                file = "mixture.wav" if title == "mixture" else f"{title}_{number}.wav"
                audio.write(self.folder / name / file, np.clip(signal * scale, -1, 1), self.sample_rate_hz)
        speakers = [str(row[f"speaker_{number}"]) for number in range(1, len(sources) + 1)]
        self.rows.append({"example": name, "mixture": row["mixture"], "split": row["split"], "kind": kind,
                          "speakers": " ".join(speakers)})

    def table(self) -> pd.DataFrame:
        """Return a row for each example: `example`, `mixture`, `split`, `kind`, `speakers`."""
        return pd.DataFrame(self.rows, columns=["example", "mixture", "split", "kind", "speakers"])
