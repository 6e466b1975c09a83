"""A sound and some choices become all contents of the page; this module does not depend on Gradio.

    Sound, Choices -> Result: the separation, a projection of the embeddings, scores
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from lab41_sce.audio.recording import Recording
from lab41_sce.demo.sounds import Sound
from lab41_sce.demo.systems import Systems
from lab41_sce.evaluation.metrics import best_pairs, score_mixture, si_sdr_matrix
from lab41_sce.models.clustering import active_bins
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.result import Separation, SpectralDetails

DRAWN_SECONDS = 60.0  # of masks and embeddings
MAX_POINTS = 3000  # embeddings in the plot; more would hide each other
PROJECTION_RANGE_DB = 25.0  # bins further below the peak are not projected
METRICS = ("SDR", "SIR", "SAR", "SDRi")
SCORED = ("this separation", "ideal binary mask", "the mixture as it is")
PROGRESS_SHARES = (0.9, 0.05, 0.05)  # of separation, projection, scores


@dataclass(frozen=True)
class Choices:
    """Select how to separate.

    Attributes:
        system: name of the system.
        n_voices: number of voices, or "auto" to count them.
        binary: use binary masks.
        people: people to find, by name: a sound in which the person talks alone.
    """

    system: str
    n_voices: int | str = "auto"
    binary: bool = False
    people: Mapping[str, Sound] = field(default_factory=dict)


@dataclass(frozen=True)
class Projection:
    """Hold embeddings of active bins, projected on their first three principal components.

    Attributes:
        points: `[n, 3]`.
        voices: index of the voice with the largest mask in the bin, from 0, `[n]`.
        variance_shares: share of the variance of each component, `[3]`.
        n_bins: number of active bins, of which at most `MAX_POINTS` are projected.
    """

    points: np.ndarray
    voices: np.ndarray
    variance_shares: np.ndarray
    n_bins: int


@dataclass(frozen=True)
class Result:
    """Hold what the page shows of a sound.

    Attributes:
        sound: the separated sound.
        separation: the result, with the voices in the order in which they first speak, after those of people who were
            found. They are float32 `[S, N]` and sum to the sound.
        details: masks, magnitudes and embeddings of the first `DRAWN_SECONDS`.
        front_end: defines their frames and bins.
        projection: of the embeddings; None of a system without embeddings, or if there are too few active bins.
        scores: rows `SCORED`, columns `METRICS` in dB; None if the sources are unknown. The row of the separation is
            NaN if its number of voices differs from the number of sources.
    """

    sound: Sound
    separation: Separation
    details: SpectralDetails
    front_end: NumpyFrontEnd
    projection: Projection | None
    scores: pd.DataFrame | None

    @property
    def voices(self) -> np.ndarray:
        """Return the voices, float32 `[S, N]`."""
        assert self.separation.voices is not None  # they were not streamed
        return self.separation.voices

    @property
    def names(self) -> list[str]:
        """Return the names of the voices: those of people who were found, and "Voice 2" and so on."""
        return [f"Voice {name}" if name.isdecimal() else name for name in self.separation.names]

    @property
    def labels(self) -> list[str]:
        """Return the names of the voices within a text: those of people who were found, and "voice 2" and so on."""
        return [f"voice {name}" if name.isdecimal() else name for name in self.separation.names]

    def true_voices(self) -> list[int | None]:
        """Return the index of the source that each voice estimates; None for a further voice, or without sources."""
        indices: list[int | None] = [None] * len(self.voices)
        if self.sound.sources is not None:
            for source, voice in zip(*best_pairs(si_sdr_matrix(self.sound.sources, self.voices)), strict=True):
                indices[voice] = int(source)
        return indices


def separate_sound(sound: Sound, choices: Choices, systems: Systems,
                   progress: Callable[[float], object] = lambda share: None) -> Result:
    """Separate a sound and collect what the page shows.

    Args:
        sound: the sound to separate.
        choices: system, number of voices, kind of masks and people to find.
        systems: available systems.
        progress: called with the share of the work done since the last call; an exception that it raises stops the
            work.

    Raises:
        UserError: the system does not exist, or cannot separate this number of voices or find people, or
            a name is not possible.
    """
    progress(0.0)
    separator = systems.load(choices.system)
    people = {name: [Recording(alone.signal[None], alone.sample_rate_hz, f"the recording of {name}")]
              for name, alone in choices.people.items()}
    separation = separator.separate(
        sound.signal, sound.sample_rate_hz, choices.n_voices, enroll=people,
        binary_masks=choices.binary, keep_seconds=DRAWN_SECONDS,
        progress=lambda share: progress(PROGRESS_SHARES[0] * share))
    separation = separation.reordered(separation.order_of_speech())
    details, front_end = separation.details, separator.model.front_end
    assert details is not None and separation.voices is not None  # both were requested
    projection = None if details.embeddings is None else _project(details)
    progress(PROGRESS_SHARES[1])
    scores = None if sound.sources is None else _scores(sound.sources, sound.signal, separation.voices, front_end)
    progress(PROGRESS_SHARES[2])
    return Result(sound, separation, details, front_end, projection, scores)


def _project(details: SpectralDetails) -> Projection | None:
    """Project the embeddings of active bins on three axes; None if there are too few."""
    active = active_bins(details.magnitudes, PROJECTION_RANGE_DB)
    embeddings, voices = details.embeddings[active], details.masks.argmax(axis=0)[active]  # type: ignore[index]
    if len(embeddings) < 4 or embeddings.shape[1] < 3:
        return None
    some = np.random.default_rng(0).permutation(len(embeddings))[:MAX_POINTS]
    pca = PCA(3, svd_solver="full").fit(embeddings[some])
    return Projection(pca.transform(embeddings[some]), voices[some], pca.explained_variance_ratio_, len(embeddings))


def _scores(sources: np.ndarray, mixture: np.ndarray, voices: np.ndarray, front_end: NumpyFrontEnd) -> pd.DataFrame:
    """Score the voices, the ideal binary mask and the mixture itself."""
    loudest = front_end.magnitudes(sources).argmax(axis=0)
    ideal = (loudest == np.arange(len(sources))[:, None, None]) * front_end.spectrogram(mixture)
    unprocessed = np.broadcast_to(mixture, sources.shape)
    estimates = dict(zip(SCORED, (voices, front_end.synthesise(ideal, len(mixture)), unprocessed), strict=True))
    if voices.shape != sources.shape:
        del estimates[SCORED[0]]
    rows = score_mixture(sources, mixture, estimates)
    table = pd.DataFrame(rows, columns=["system", "metric", "value"]).pivot(index="system", columns="metric",
                                                                            values="value")
    return table.reindex(index=SCORED, columns=METRICS)
