"""A list of mixtures and some systems become scores: every system separates the very same mixtures.

A system is a function of a `Mixture` that returns masks `[S, T, F]`. Those that could be used on a recording look at
`mixture.signal` and `mixture.n_speakers` only; oracles look at `mixture.sources`, too. A system whose masks are for
spectrograms of its own has the attribute `front_end`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from lab41_sce import audio
from lab41_sce.atomic_write import make_folder
from lab41_sce.data.evaluation_set import load_mixture
from lab41_sce.data.mixture import Mixture
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation.metrics import score_mixtures, si_sdr_improvement
from lab41_sce.models.clustering import oracle_centroid_masks
from lab41_sce.separation.chunked_inference import embed, estimate_masks

System = Callable[[Mixture], np.ndarray]


def trained_system(model) -> System:
    """Return the system of a trained model: masks by the mixture and the number of speakers alone."""
    return lambda mixture: estimate_masks(model, mixture.signal, mixture.n_speakers)


def oracle_centroid_system(model) -> System:
    """Return the ceiling of clustering: an embedding model's vectors, given to the nearest true class centre."""

    def masks(mixture):
        levels = np.abs(model.front_end.spectrogram(np.stack([mixture.signal, *mixture.sources])))
        embeddings = embed(model, mixture.signal)
        return oracle_centroid_masks(embeddings, levels[0], levels[1:], model.range_db, model.soft_scale)

    return masks


def apply_masks(front_end, mixture: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Multiply a mixture `[N]` by masks `[S, T, F]`, with the mixture's phase: signals, float32 `[S, N]`."""
    return front_end.synthesise(front_end.spectrogram(mixture) * masks, len(mixture))


def score_systems(front_end, systems: Mapping[str, System], speech: Speech, mixtures: pd.DataFrame, n_jobs: int = -1,
                  keep: Callable | None = None, noise: Noise | None = None, engine: str = "loky") -> pd.DataFrame:
    """Score every system on every mixture of a list.

    Args:
        front_end: of spectrograms and resynthesis, for systems that have none of their own.
        systems: by name.
        speech: the signals that the list refers to.
        mixtures: evaluation list.
        n_jobs: processes that compute scores; -1 for one each core.
        keep: called with each row, its `Mixture` and the estimates by system, to keep some for listening.
        noise: what the list's noise is drawn with, if it has any.
        engine: where these processes are (`parallel.py`).

    Returns:
        Table with the columns `mixture`, `split`, `kind`, `system`, `metric`, `value`.
    """

    def jobs():
        for _, row in mixtures.iterrows():
            mixture = load_mixture(speech, row, noise)
            estimates = {name: apply_masks(getattr(system, "front_end", front_end), mixture.signal, system(mixture))
                         for name, system in systems.items()}
            if keep is not None:
                keep(row, mixture, estimates)
            labels = {"mixture": row["mixture"], "split": row["split"], "kind": row["kind"]}
            yield labels, mixture.sources, mixture.signal, estimates

    return score_mixtures(jobs(), n_jobs=n_jobs, total=len(mixtures), engine=engine)


def validate(model, speech: Speech, mixtures: pd.DataFrame, noise: Noise | None = None) -> dict[str, float]:
    """Separate validation mixtures with the model as it is: mean SI-SDR improvement in dB, overall and by kind.

    SI-SDR stands in for SDR here because it is a hundred times cheaper; kinds are unordered (MF counts as FM).
    """
    improvements = {}
    for _, row in mixtures.iterrows():
        mixture = load_mixture(speech, row, noise)
        masks = estimate_masks(model, mixture.signal, mixture.n_speakers)
        estimates = apply_masks(model.front_end, mixture.signal, masks)
        gain = si_sdr_improvement(mixture.sources, mixture.signal, estimates)
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

    def keep(self, row, mixture: Mixture, estimates: Mapping[str, np.ndarray]) -> None:
        """Write one mixture's files, unless there are enough of its kind."""
        kind = "".join(sorted(row["kind"]))
        same = [earlier for earlier in self.rows if (earlier["split"], earlier["kind"]) == (row["split"], kind)]
        if len(same) >= self.per_kind:
            return
        name = f"{row['split'].replace(', ', '-').replace(' ', '_')}-{kind}-{len(same) + 1}"
        make_folder(self.folder / name)
        sources = mixture.sources
        _, order = linear_sum_assignment(sources @ estimates[self.system].T, maximize=True)
        scale = 0.5 / np.abs(mixture.signal).max()  # one scale for all, so that loudness can be compared
        for title, signals in (("mixture", mixture.signal[None]), ("reference", sources),
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
