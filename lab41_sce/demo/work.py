"""A recording and some choices become all that the page shows of it; nothing here knows of a browser.

    file or two speakers' names -> `Sound`, its sources known or not
    Sound, Choices              -> `Result`: voices, masks, places of the vectors, who speaks when, scores
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.data.corpus import EMBEDDED_ROOT, EMBEDDED_SUBSET, load_corpus
from lab41_sce.data.mixture import Mixture, normalise
from lab41_sce.demo.systems import Systems
from lab41_sce.errors import UserError
from lab41_sce.evaluation.metrics import score_mixture
from lab41_sce.evaluation.scoring import apply_masks
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Setup
from lab41_sce.models.clustering import active_bins
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.networks import blstm
from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.speaker_count import Count

PEAK = 0.9  # of a mixture that is made
DRAWN_SECONDS = 60.0  # of masks and vectors
POINTS = 3000  # vectors that are drawn: more hide each other
CLOUD_RANGE_DB = 25.0  # bins further below the peak are not
METRICS = ("SDR", "SIR", "SAR", "SDRi")
SCORED = ("this separation", "ideal binary mask", "the mixture as it is")


@dataclass(frozen=True)
class Limits:
    """How large and how long a recording may be, in megabytes and seconds."""

    megabytes: float = 20.0
    seconds: float = 120.0


@dataclass(frozen=True)
class Sound:
    """A recording to separate.

    Attributes:
        signal: float32 `[N]`, the mean of its channels.
        sample_rate_hz: its rate.
        name: to call it by.
        sources: float32 `[S, N]` of a mixture that was made, else None.
    """

    signal: np.ndarray
    sample_rate_hz: int
    name: str
    sources: np.ndarray | None = None

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.signal) / self.sample_rate_hz


@dataclass(frozen=True)
class Choices:
    """How to separate: a system's name, how many voices (a number or "auto"), and whether masks are all or nothing."""

    system: str
    n_voices: int | str = "auto"
    binary: bool = False


@dataclass(frozen=True)
class Cloud:
    """Vectors of audible bins on their first three principal components.

    Attributes:
        places: `[n, 3]`.
        owners: number of the voice whose mask is largest in the bin, from 0, `[n]`.
        variance: share of each component, `[3]`.
        n_bins: how many audible bins there are; of many, some are kept.
    """

    places: np.ndarray
    owners: np.ndarray
    variance: np.ndarray
    n_bins: int


@dataclass(frozen=True)
class Result:
    """What came of a sound.

    Attributes:
        sound: what was separated.
        voices: float32 `[S, N]`; they sum to the sound.
        levels: magnitudes of the sound, `[T, F]`, of its first minute at most.
        masks: `[S, T, F]`, of the same frames.
        front_end: whose frames and bins they are.
        frames: who speaks when.
        count: how the voices were counted, if they were.
        cloud: the vectors, if the system has any.
        scores: rows `SCORED`, columns `METRICS` in dB, if the sources are known; a separation into another number of
            voices has none.
    """

    sound: Sound
    voices: np.ndarray
    levels: np.ndarray
    masks: np.ndarray
    front_end: FrontEnd
    frames: SpeakerActivity
    count: Count | None
    cloud: Cloud | None
    scores: pd.DataFrame | None


def open_sound(path: str | Path, limits: Limits) -> Sound:
    """Read a recording that is neither too large nor too long.

    Raises:
        UserError: it is, or it cannot be read. The sentence names the file without its folder, which is the server's
            affair.
    """
    path = Path(path)
    try:
        megabytes = path.stat().st_size / 1e6 if path.is_file() else 0.0
        if megabytes > limits.megabytes:
            raise UserError(f"{path.name} has {megabytes:.1f} MB, and this page takes {limits.megabytes:g} MB at most; "
                            "shorten it, or save it as FLAC or MP3.")
        recording = Recording.open(path, "mix")
        seconds = recording.n_samples / recording.sample_rate_hz
        if seconds > limits.seconds:
            raise UserError(f"{path.name} lasts {seconds:.0f} s, and this page takes {limits.seconds:g} s at most; "
                            "cut it, or use python -m lab41_sce.separate, which takes any length.")
        return Sound(recording.read(0, recording.n_samples)[0], recording.sample_rate_hz, path.stem)
    except UserError as error:
        raise UserError(str(error).replace(str(path), path.name)) from None


@cache
def speakers() -> dict[str, str]:
    """List the embedded corpus's speakers: what the page calls them, such as "3 (woman)", and their ids."""
    table = load_corpus(None, [EMBEDDED_SUBSET], check="headers")
    sexes = table.drop_duplicates("speaker").set_index("speaker")["sex"]
    return {f"{speaker} ({'woman' if sexes[speaker] == 'F' else 'man'})": speaker
            for speaker in sorted(sexes.index, key=int)}


def make_mixture(first: str, second: str, level_db: float, sentence: int = 1, sample_rate_hz: int = 10000) -> Sound:
    """Let two speakers of the embedded corpus say a sentence each, at once.

    Args:
        first, second: what `speakers` calls them.
        level_db: by how much the first is louder.
        sentence: which of their sentences, from 1; after the last comes the first again.
        sample_rate_hz: of the mixture.

    Returns:
        As long as the shorter sentence; its sources are known.

    Raises:
        UserError: the speakers are the same, or there is no such speaker.
    """
    if first == second:
        raise UserError(f"speaker {first} was chosen twice; choose two different speakers.")
    for name in (first, second):
        if name not in speakers():
            raise UserError(f"there is no speaker {name!r} in the embedded corpus; choose from the list.")
    excerpts = []
    for speaker in (speakers()[first], speakers()[second]):
        files = sorted((EMBEDDED_ROOT / EMBEDDED_SUBSET / speaker).glob("*/*.ogg"))
        excerpts.append(audio.read_mono(files[(int(sentence) - 1) % len(files)], sample_rate_hz))
    length = min(map(len, excerpts))
    levels_db = np.array([level_db / 2, -level_db / 2])
    sources = normalise(np.stack([excerpt[:length] for excerpt in excerpts]), FrontEnd().pre_emphasis, levels_db)
    sources *= PEAK / np.abs(sources.sum(axis=0)).max()
    return Sound(sources.sum(axis=0), sample_rate_hz, f"speakers {first} and {second}", sources)


def separate(sound: Sound, choices: Choices, systems: Systems,
             progress: Callable[[float], None] = lambda share: None) -> Result:
    """Separate a sound and collect what can be seen of it.

    Args:
        sound: what to separate.
        choices: how.
        systems: to choose from.
        progress: is called now and then with the share of the work done since; it may raise, to stop.

    Raises:
        UserError: the system cannot do what is asked for.
    """
    progress(0.0)
    separator = systems.load(choices.system)
    watched = Watched(separator.model, choices.binary)
    recording = Recording(sound.signal[None], sound.sample_rate_hz, sound.name)
    separation = Separator(watched).open(recording, choices.n_voices, progress=lambda share: progress(0.9 * share))
    voices = np.concatenate([*separation], axis=-1)[:, 0]
    front_end = watched.front_end
    n_frames = round(DRAWN_SECONDS * front_end.sample_rate_hz / front_end.hop_length)
    assert watched.seen is not None and separation.frames is not None  # since all is separated
    masks = watched.seen[:, :n_frames]
    heard = audio.resample(sound.signal, sound.sample_rate_hz, front_end.sample_rate_hz)
    levels = np.abs(front_end.spectrogram(heard[: round(DRAWN_SECONDS * front_end.sample_rate_hz)]))
    levels, masks = levels[: masks.shape[1]], masks[:, : len(levels)]
    cloud = None if watched.vectors_seen is None else _cloud(watched.vectors_seen[: len(levels)], levels, masks)
    progress(0.05)
    scores = None if sound.sources is None else _scores(Mixture(sound.sources), voices, front_end)
    progress(0.05)
    return Result(sound, voices, levels, masks, front_end, separation.frames, separation.count, cloud, scores)


class Watched:
    """A model as it is, but for two things: its first masks and vectors are kept to be seen, and masks may be binary.

    Args:
        model: as `Separator` takes it.
        binary: give each bin to the voice with the largest mask, whatever the model does.

    Attributes:
        seen: masks of the first window of a recording, `[S, T, F]`; None before there are any.
        vectors_seen: the vectors that they came from, `[T, F, K]`; None of a model that has none.
    """

    def __init__(self, model, binary: bool):
        self._model, self._binary = model, binary
        self.seen: np.ndarray | None = None
        self.vectors_seen: np.ndarray | None = None
        if hasattr(model, "masks_from"):
            self.masks_from = self._masks_from

    def __getattr__(self, name):
        return getattr(self._model, name)

    def masks(self, mixture, n_speakers):
        """Estimate masks of a signal, as the model does."""
        return self._keep(self._model.masks(mixture, n_speakers))

    def _masks_from(self, vectors, centroids):
        if self.vectors_seen is None:
            self.vectors_seen = vectors
        return self._keep(self._model.masks_from(vectors, centroids))

    def _keep(self, masks):
        if self._binary:
            masks = (masks.argmax(axis=0) == np.arange(len(masks))[:, None, None]).astype(np.float32)
        if self.seen is None:
            self.seen = masks
        return masks


def _cloud(vectors, levels, masks) -> Cloud | None:
    """Project the vectors of audible bins on three axes; None where there are too few."""
    loud = active_bins(levels, CLOUD_RANGE_DB)
    vectors, owners = vectors[loud], masks.argmax(axis=0)[loud]
    if len(vectors) < 4 or vectors.shape[1] < 3:
        return None
    some = np.random.default_rng(0).permutation(len(vectors))[:POINTS]
    pca = PCA(3, svd_solver="full").fit(vectors[some])
    return Cloud(pca.transform(vectors[some]), owners[some], pca.explained_variance_ratio_, len(vectors))


def _scores(mixture: Mixture, voices: np.ndarray, front_end: FrontEnd) -> pd.DataFrame:
    """Score voices, the ideal binary mask and the mixture itself, at the model's rate as everywhere in the project."""
    ideal = oracles.ideal_binary_mask(Setup(front_end, blstm, mixture.n_speakers))(mixture)
    unprocessed = np.broadcast_to(mixture.signal, mixture.sources.shape)
    estimates = dict(zip(SCORED, (voices, apply_masks(front_end, mixture.signal, ideal), unprocessed), strict=True))
    if voices.shape != mixture.sources.shape:
        del estimates[SCORED[0]]
    rows = score_mixture(mixture.sources, mixture.signal, estimates)
    table = pd.DataFrame(rows, columns=["system", "metric", "value"]).pivot(index="system", columns="metric",
                                                                            values="value")
    return table.reindex(index=SCORED, columns=METRICS)
