"""Speech of known speakers becomes the verification that recognises enrolled people for a model (`verification.py`).

    speech of background speakers     -> classes of sounds, projection, cohort
    mixtures of other speakers        -> scores of people who are present and of people who are not -> probability

The background speakers may be those of the network's training. The others have no part in it, so that the probability
holds for the voices of strangers.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import eigh
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture

from lab41_sce.audio.recording import Recording
from lab41_sce.data.corpus import id_in_corpus, load_every_subset
from lab41_sce.data.mixture import centre, normalise
from lab41_sce.data.noise import Noise, scale_to_snr
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.separation.calibration_file import weights_checksum
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.verification import SoundClasses, Verification
from lab41_sce.separation.voice_description import cepstra

SECONDS = 5.0  # of a mixture, of an enrolment and of an excerpt of a background speaker
MIN_BACKGROUND_SPEAKERS, MIN_SPEAKERS_OF_SEX = 30, 4
MAX_EXCERPTS = 2000  # of background speakers, 2.8 hours; each takes 0.9 MB
N_CLASSES, FRAMES_OF_EXCERPT, VARIANCE_FLOOR = 32, 20, 1e-3  # of the Gaussian mixture model
DIMENSIONS, SHRINKAGE = 60, 0.7  # of the projection; share of the diagonal in the covariance within speakers
SNR_DB = (10.0, 40.0)  # of two mixtures in three
ABSENT = 4  # people who are not present, for each who is
KINDS = ("FF", "FM", "MF", "MM", "FFF", "FFM", "FMM", "MMM")  # of the mixtures, in turns
N_FOLDS = 4


def load_background(folders: Sequence[Path], splits: Path | None,
                    utterances: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Load the utterances of the background speakers: those of the network's training.

    Args:
        folders: folders in LibriSpeech's layout.
        splits: table of the utterances of the model's training, `splits.csv`; None if there is none.
        utterances: result of `load_speech`. Without `splits`, the speakers of its first fold are the background.

    Returns:
        The utterances of the background speakers, and those of the others.
    """
    if splits is None:
        first = utterances["fold"] == 0
        return utterances[first], utterances[~first]
    listed = pd.read_csv(splits, dtype=str, keep_default_na=False).query("split == 'train'")
    trained = {id_in_corpus(speaker) for speaker in listed["speaker"]}
    background = pd.concat(map(load_every_subset, folders), ignore_index=True)
    return background[background["speaker"].isin(trained)], utterances


def fit_background(separator: Separator, utterances: pd.DataFrame, noise_kinds: list[str],
                   noise_folder: Path | None) -> Verification:
    """Fit the classes of sounds, the projection and the cohort.

    Args:
        separator: with the model.
        utterances: of the background speakers, the table of `load_corpus`.
        noise_kinds, noise_folder: see `Noise`. The projection ignores how noise and other voices change a voice.

    Returns:
        The verification, whose probability is still that of the score itself.

    Raises:
        UserError: there are fewer than `MIN_BACKGROUND_SPEAKERS` with two excerpts of `SECONDS`.
    """
    front_end = separator.model.front_end
    speech, length = Speech(utterances, front_end.sample_rate_hz), round(SECONDS * front_end.sample_rate_hz)
    noise, rng = Noise(speech, utterances.assign(split="train"), noise_kinds, noise_folder), np.random.default_rng(0)
    excerpts, noisy, names = [], [], []  # magnitudes [T, F] without and with noise, speakers
    places = [(utterance, speaker, start) for utterance, speaker in zip(utterances["utterance"], utterances["speaker"],
                                                                        strict=True)
              for start in range(0, speech.length(utterance) - round(0.9 * length) + 1, length)]
    for utterance, speaker, start in _spread(places, MAX_EXCERPTS):
        signal = speech.excerpt(utterance, start, length)
        excerpts.append(np.abs(front_end.spectrogram(signal)))
        noisy.append(np.abs(front_end.spectrogram(_add_noise(rng, noise, signal, [speaker])[0])))
        names.append(speaker)
    counts = pd.Series(names).value_counts()
    if (counts > 1).sum() < MIN_BACKGROUND_SPEAKERS:
        raise UserError(f"{(counts > 1).sum()} speakers of the model's training have two excerpts of {SECONDS:g} s in "
                        f"this speech, but {MIN_BACKGROUND_SPEAKERS} are needed; give more of the speech of its "
                        "training.")
    frames = [cepstra(excerpt, front_end) for excerpt in excerpts]
    sample = np.concatenate([rng.permutation(of_excerpt)[:FRAMES_OF_EXCERPT] for of_excerpt in frames])
    model = GaussianMixture(N_CLASSES, covariance_type="diag", max_iter=100, tol=1e-2, random_state=0,
                            reg_covar=VARIANCE_FLOOR).fit(sample)
    classes = SoundClasses(_rounded(model.weights_), _rounded(model.means_), _rounded(np.sqrt(model.covariances_)))
    speakers = np.array(names)

    def supervector(excerpt: np.ndarray) -> np.ndarray:
        voice = classes.describe(excerpt, np.zeros(1), front_end)
        assert voice.counts is not None and voice.sums is not None
        return classes.supervectors(voice.counts, voice.sums)

    vectors, *changed = (np.stack([supervector(excerpt) for excerpt in some])
                         for some in (excerpts, noisy, _separated(rng, excerpts, speakers)))
    projection = _discriminants(np.concatenate([vectors, *changed]), np.tile(speakers, 1 + len(changed)))
    projected = (vectors - vectors.mean(axis=0)) @ projection.T
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    cohort = np.stack([projected[speakers == speaker].mean(axis=0) for speaker in np.unique(speakers)])
    cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
    return Verification(weights_checksum(separator.model), classes, _rounded(vectors.mean(axis=0)),
                        _rounded(projection), _rounded(cohort), 1.0, 0.0, 0.0, {})


def _spread(places: list[tuple[str, str, int]], most: int) -> list[tuple[str, str, int]]:
    """Return at most about `most` excerpts (utterance, speaker, start), in order, of as many random speakers as fit."""
    if len(places) <= most:
        return places
    rng, of_speaker = np.random.default_rng(1), dict[str, list[int]]()
    for number, (_, speaker, _) in enumerate(places):
        of_speaker.setdefault(speaker, []).append(number)
    drawn = [rng.permutation(of_speaker[name]) for name in rng.permutation([*of_speaker])]
    in_turn = [numbers[place] for place in range(max(map(len, drawn))) for numbers in drawn if place < len(numbers)]
    pairs = [number for numbers in drawn for number in numbers[:2]]  # a speaker with one excerpt shows no variance
    chosen = dict.fromkeys([*pairs, *in_turn])
    return [places[number] for number in sorted([*chosen][: max(most, 2)])]


def _add_noise(rng: np.random.Generator, noise: Noise, signal: np.ndarray,
               speakers: list[str]) -> tuple[np.ndarray, float]:
    """Add noise of a kind drawn at random to a signal `[N]` of some speakers; return it with the drawn SNR in dB."""
    snr_db = rng.uniform(*SNR_DB)
    drawn = noise.draw(noise.kinds[rng.integers(len(noise.kinds))], rng, len(signal), "train", speakers)
    return signal + scale_to_snr(drawn, signal, snr_db), snr_db


def _separated(rng: np.random.Generator, excerpts: list[np.ndarray], speakers: np.ndarray) -> Iterator[np.ndarray]:
    """Yield each excerpt as an ideal ratio mask separates it from an excerpt of another speaker, drawn at random."""
    for excerpt, speaker in zip(excerpts, speakers, strict=True):
        other = excerpts[rng.choice(np.flatnonzero(speakers != speaker))]
        power, other_power = (np.square(one / one.std()) for one in (excerpt, other))
        yield np.sqrt(power + other_power) * power / np.maximum(power + other_power, 1e-12)


def _discriminants(vectors: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Return the directions in which speakers differ most, relative to excerpts of one speaker: `[D, M C]`."""
    speakers, counts = np.unique(speakers, return_inverse=True)[1], np.unique(speakers, return_counts=True)[1]
    several = counts[speakers] > 1
    vectors, speakers = vectors[several], np.unique(speakers[several], return_inverse=True)[1]
    means = np.stack([vectors[speakers == speaker].mean(axis=0) for speaker in range(speakers.max() + 1)])
    residuals = vectors - means[speakers]
    within = residuals.T @ residuals / (len(vectors) - len(means))
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.diag(np.diag(within))
    size = min(DIMENSIONS, len(means) - 1)
    _, directions = eigh(np.cov(means.T), within, subset_by_index=[len(within) - size, len(within) - 1])
    return directions.T[::-1]


def draw_trials(separator: Separator, utterances: pd.DataFrame, n_mixtures: int, noise_kinds: list[str],
                noise_folder: Path | None, progress: Callable[[int], object] = lambda n: None) -> pd.DataFrame:
    """Search for people in mixtures of two and of three speakers of `SECONDS`, two in three with noise.

    Args:
        separator: with the model and the verification of `fit_background`.
        utterances: of speakers who are not in the background; the result of `load_speech`. The speakers of a mixture
            are in one of its folders.
        n_mixtures: number of mixtures.
        noise_kinds, noise_folder: see `Noise`.
        progress: called with the number of mixtures finished since the last call.

    Returns:
        A row for each mixture and person: `folder`, `speaker`, `present`, `n_voices`, `snr_db` (infinity without noise)
        and `score`, the largest one of the voices. For each speaker of a mixture there are `ABSENT` others of the same
        sex.

    Raises:
        UserError: a folder has too few speakers with enough speech.
    """
    model, verification = separator.model, separator.verification
    assert verification is not None
    speech = Speech(utterances, model.front_end.sample_rate_hz)
    noise = Noise(speech, utterances, noise_kinds, noise_folder)
    rng = np.random.default_rng(0)
    mixtures = []  # folder, kind, speakers, SNR, descriptions of the voices and of the enrolled people
    pairs = [_Excerpts(speech, of_folder) for _, of_folder in utterances.groupby("folder")]
    for number in range(n_mixtures):
        folder, kind = number % len(pairs), KINDS[number // len(pairs) % len(KINDS)]
        speakers = pairs[folder].draw_speakers(rng, kind)
        drawn = [pairs[folder].draw(rng, speaker) for speaker in speakers]
        sources = normalise(np.stack([centre(mixed) for mixed, _ in drawn]), model.front_end.pre_emphasis,
                            np.zeros(len(kind)))
        mixture, snr_db = sources.sum(axis=0), np.inf
        if number // len(pairs) % 3:
            mixture, snr_db = _add_noise(rng, noise, mixture, speakers)
        people = [separator.describe_person([Recording.of(alone, speech.sample_rate_hz)]) for _, alone in drawn]
        stream = separator.open(Recording.of(mixture, speech.sample_rate_hz), len(kind))
        centroids = stream.speakers.centroids
        assert centroids is not None  # of an embedding model
        mixtures.append((folder, kind, speakers, snr_db, stream.search.describe(centroids), people))
        progress(1)
    rows = []
    enrolled = [(folder, sex, speaker, person) for folder, kind, speakers, _, _, people in mixtures
                for sex, speaker, person in zip(kind, speakers, people, strict=True)]
    for folder, kind, speakers, snr_db, voices, people in mixtures:
        for sex, speaker, person in zip(kind, speakers, people, strict=True):
            others = [other for other in enrolled if other[:2] == (folder, sex) and other[2] not in speakers]
            chosen = [others[place] for place in rng.choice(len(others), min(ABSENT, len(others)), replace=False)]
            scores = verification.scores([person, *(other[3] for other in chosen)], voices).max(axis=1)
            for name, score in zip([speaker, *(other[2] for other in chosen)], scores.tolist(), strict=True):
                rows.append({"folder": folder, "speaker": name, "present": name == speaker, "n_voices": len(voices),
                             "snr_db": snr_db, "score": score})
    return pd.DataFrame(rows)


class _Excerpts:
    """Draw speakers of a folder, and of each an excerpt for the mixture and another one for the enrolment."""

    def __init__(self, speech: Speech, utterances: pd.DataFrame):
        self._speech, self._length = speech, round(SECONDS * speech.sample_rate_hz)
        lengths = pd.Series({name: speech.length(name) for name in utterances["utterance"]})
        names = utterances[utterances["utterance"].map(lengths).to_numpy() >= self._length]
        self._names = {speaker: of_speaker["utterance"].to_list() for speaker, of_speaker in names.groupby("speaker")
                       if len(of_speaker) > 1 or lengths[of_speaker["utterance"]].max() >= 2 * self._length}
        sexes = utterances.drop_duplicates("speaker").set_index("speaker")["sex"]
        self._of_sex = {sex: [speaker for speaker in sorted(self._names) if sexes[speaker] == sex] for sex in "FM"}
        if fewest := [sex for sex, speakers in self._of_sex.items() if len(speakers) < MIN_SPEAKERS_OF_SEX]:
            raise UserError(f"{len(self._of_sex[fewest[0]])} speakers of sex {fewest[0]} have two excerpts of "
                            f"{SECONDS:g} s, but {MIN_SPEAKERS_OF_SEX} are needed to calibrate the search for people; "
                            "give speech of more speakers.")

    def draw_speakers(self, rng: np.random.Generator, kind: str) -> list[str]:
        """Draw different speakers of the sexes of a kind."""
        drawn: list[str] = []
        for sex in kind:
            drawn.append(str(rng.choice([speaker for speaker in self._of_sex[sex] if speaker not in drawn])))
        return drawn

    def draw(self, rng: np.random.Generator, speaker: str) -> tuple[np.ndarray, np.ndarray]:
        """Draw two excerpts `[N]` of different utterances, or of different parts of the only one."""
        names, length = self._names[speaker], self._length
        if len(names) > 1:
            chosen = [(name, int(rng.integers(self._speech.length(name) - length + 1)))
                      for name in rng.choice(names, 2, replace=False)]
        else:
            start = int(rng.integers(self._speech.length(names[0]) - 2 * length + 1))
            chosen = [(names[0], start), (names[0], start + length)]
        first, second = (self._speech.excerpt(name, start, length) for name, start in chosen)
        return first, second


def fit_probability(trials: pd.DataFrame) -> tuple[dict[str, float], dict]:
    """Fit the logistic regression from the score and the number of voices to the probability that a person is present.

    Both answers count equally, whatever their number: the person is present with a probability of one half.

    Args:
        trials: result of `draw_trials`.

    Returns:
        The `slope`, `voices_slope` and `bias` of a `Verification`, and what regressions on the enrolled people of other
        folds get right.
    """
    scores, present = trials[["score", "n_voices"]].to_numpy(), trials["present"].to_numpy()
    speakers = np.unique(trials["speaker"])
    fold_of = dict(zip(np.random.default_rng(0).permutation(speakers), np.arange(len(speakers)) % N_FOLDS, strict=True))
    folds, found = trials["speaker"].map(fold_of).to_numpy(), np.zeros(len(trials), bool)
    for fold in range(N_FOLDS):
        held_out = folds == fold
        found[held_out] = _regression(scores[~held_out], present[~held_out]).predict(scores[held_out])
    fitted = _regression(scores, present)
    conditions = {"quiet": np.isinf(trials["snr_db"]), "noisy": np.isfinite(trials["snr_db"]),
                  "two_voices": trials["n_voices"] == 2, "three_voices": trials["n_voices"] == 3}
    right = {f"{name}_{condition}": round(float((found == present)[chosen & (present == is_present)].mean()), 3)
             for condition, chosen in conditions.items() for name, is_present in (("present", True), ("absent", False))}
    weights = dict(zip(("slope", "voices_slope", "bias"), _rounded(np.append(fitted.coef_[0], fitted.intercept_)),
                       strict=True))
    return weights, {"trials": len(trials), "speakers": len(speakers), "correct": right}


def _regression(scores: np.ndarray, present: np.ndarray) -> LogisticRegression:
    return LogisticRegression(class_weight="balanced", C=100.0).fit(scores, present)


def _rounded(values: np.ndarray) -> list:
    """Return numbers as lists, with four digits: the file stays small."""
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [float(f"{value:.4g}") for value in values]
