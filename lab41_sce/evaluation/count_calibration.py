"""Speech that a model was not trained on becomes the classifier that counts speakers for the model.

    speakers -> mixtures of 1 to 5 -> numbers of each mixture -> regression -> temperature

The numbers are those of `count_features`, and the scores of a network that was trained on other speakers
(`count_training.py`), if there is one.

The speakers are divided into folds, and all speakers of a mixture are in one fold. The strength of the regularisation,
the temperature and the reported scores come from mixtures of speakers that the regression was not fitted to.
"""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from lab41_sce.atomic_write import write_csv
from lab41_sce.audio.recording import Recording
from lab41_sce.data.corpus import id_in_corpus, load_every_subset
from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError, reason
from lab41_sce.evaluation.counted_mixtures import draw_mixture
from lab41_sce.models.count_network import CountNetwork
from lab41_sce.separation.calibration_file import weights_checksum
from lab41_sce.separation.chunked_inference import plan_windows_of_excerpts
from lab41_sce.separation.count_classifier import CLIP, CountClassifier, named_scores, score_names
from lab41_sce.separation.count_features import count_features, feature_names
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.speaker_search import Calibrations, SpeakerSearch
from lab41_sce.separation.window_signals import WindowReader
from lab41_sce.threads import in_parallel

NUMBERS = (1, 2, 3, 1, 2, 3, 4, 5)  # of speakers, in turns: their shares are the prior probabilities
N_FOLDS = 3
NOISE_KINDS = ("white", "pink", "speech_shaped")
INVERSE_STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # of the regularisation, to choose from
MAX_ITERATIONS = 1000
ROWS_PER_WRITE = 25
CALIBRATION_BINS = 10


def load_speech(folders: Sequence[Path], splits: Path | None, only: Path | None = None) -> pd.DataFrame:
    """Load the utterances of the speakers that may calibrate a model.

    Args:
        folders: folders in LibriSpeech's layout; all of their subsets are used.
        splits: table of the utterances of the model's training, `splits.csv`. Of the speakers in this table only those
            of the split "validation" are used, with the listed utterances. None: all speakers are used.
        only: CSV file with a column `speaker`; other speakers are left out.

    Returns:
        The table of `load_corpus` with the columns `folder` (number of the folder), `split` ("train", because the noise
        is drawn as for training) and `fold`.

    Raises:
        UserError: a table or a folder cannot be used, or a folder has too few speakers for `N_FOLDS` folds with five
            speakers each.
    """
    listed = None if splits is None else _columns(splits, "utterance", "speaker", "split")
    wanted = None if only is None else _columns(only, "speaker")
    if listed is not None:  # here, a corpus that was added in training has its own ids
        listed = listed.assign(**{name: listed[name].map(id_in_corpus) for name in ("speaker", "utterance")})
    tables = []
    for number, folder in enumerate(folders):
        table = load_every_subset(folder)
        if listed is not None:
            validation = listed.loc[listed["split"] == "validation", "utterance"]
            table = table[table["utterance"].isin(validation) | ~table["speaker"].isin(listed["speaker"])]
        if wanted is not None:
            table = table[table["speaker"].isin(wanted["speaker"])]
        n_speakers, enough = table["speaker"].nunique(), N_FOLDS * max(NUMBERS)
        if n_speakers < enough:
            raise UserError(f"{folder} has {n_speakers} speakers who are neither trained nor scored on, but {enough} "
                            "are needed; give speech of more speakers.")
        tables.append(table.assign(folder=number, split="train", fold=_folds(table)))
    return pd.concat(tables, ignore_index=True)


def _columns(file: Path, *names: str) -> pd.DataFrame:
    """Read some columns of a table as text."""
    try:
        return pd.read_csv(file, dtype=str, keep_default_na=False, usecols=[*names])
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({reason(error)}); give a CSV file with {', '.join(names)} in its "
                        "first line.") from None


def _folds(table: pd.DataFrame) -> pd.Series:
    """Divide the speakers of a table into folds at random, balanced by sex; return the fold of each utterance."""
    speakers = table.drop_duplicates("speaker").sort_values("speaker").sample(frac=1, random_state=0)
    ordered = speakers.sort_values("sex", kind="stable")["speaker"]
    return table["speaker"].map(dict(zip(ordered, np.arange(len(ordered)) % N_FOLDS, strict=True)))


def noise_kinds(folder: Path | None) -> list[str]:
    """Return the kinds of noise in the mixtures, with or without a folder of recordings."""
    return [*NOISE_KINDS, *(["folder"] if folder else [])]


def measure(separator: Separator, network: CountNetwork | None, utterances: pd.DataFrame, n_mixtures: int, file: Path,
            noise_folder: Path | None, progress: Callable[[int], object]) -> pd.DataFrame:
    """Draw mixtures and compute their numbers; continue an interrupted call.

    Args:
        separator: with the model to calibrate.
        network: scores each number of speakers; None if there is none.
        utterances: result of `load_speech`.
        n_mixtures: number of mixtures.
        file: CSV file with the rows of the finished mixtures.
        noise_folder: folder with recordings of noise, used as often as each kind of `NOISE_KINDS`; None for no folder.
        progress: called with the number of mixtures finished since the last call.

    Returns:
        A row for each mixture: `mixture`, `speakers` (their number), `names`, `folder`, `fold`, the description of
        `draw_mixture`, and the numbers.

    Raises:
        UserError: `file` was written for another network or other speech, or cannot be written.
    """
    model = separator.model
    speech = Speech(utterances, model.front_end.sample_rate_hz)
    kinds = noise_kinds(noise_folder)
    noise = Noise(speech, utterances, kinds, noise_folder)
    made_for = zlib.crc32("\n".join([*utterances["utterance"], *kinds, str(noise.fingerprint)]).encode(),
                          weights_checksum(model))
    for weights in network.weights if network else ():
        made_for = zlib.crc32(weights.tobytes(), made_for)
    finished = read_numbers(file)
    if set(finished["made_for"]) - {made_for}:
        raise UserError(f"{file} has the numbers of another network or of other speech; delete it, or give another "
                        "--numbers.")
    rows = finished.to_dict("records")[:n_mixtures]
    progress(len(rows))

    def row(mixture: int) -> dict[str, Any]:
        rng = np.random.default_rng(mixture)
        folder, fold = int(rng.integers(utterances["folder"].max() + 1)), int(rng.integers(N_FOLDS))
        number = NUMBERS[mixture % len(NUMBERS)]
        among = utterances[(utterances["folder"] == folder) & (utterances["fold"] == fold)]
        signal, described = draw_mixture(rng, speech, among, number, noise, model.front_end.pre_emphasis)
        return {"made_for": made_for, "mixture": mixture, "speakers": number, "folder": folder, "fold": fold,
                **described, **_numbers(separator, network, signal)}

    for finished_row in in_parallel(row, range(len(rows), n_mixtures)):
        rows.append(finished_row)
        progress(1)
        if len(rows) % ROWS_PER_WRITE == 0 or len(rows) == n_mixtures:
            write_csv(pd.DataFrame(rows), file)
    return pd.DataFrame(rows)


def read_numbers(file: Path) -> pd.DataFrame:
    """Read the numbers of an interrupted call of `measure`; no rows if there is no such file.

    Raises:
        UserError: it is no such file.
    """
    if not file.exists():
        return pd.DataFrame({"made_for": []})
    try:
        table = pd.read_csv(file, dtype={"names": str})
        table["made_for"]
        return table
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{file} has no numbers of an earlier calibration ({reason(error)}); delete it, or give "
                        "another --numbers.") from None


def _numbers(separator: Separator, network: CountNetwork | None, signal: np.ndarray) -> dict[str, float]:
    """Compute the numbers of a mixture `[N]` at the model's rate."""
    search = speaker_search(separator, signal)
    numbers = count_features(search.counting_bins())
    return numbers | named_scores(network, search.counted_frames()) if network else numbers


def speaker_search(separator: Separator, signal: np.ndarray) -> SpeakerSearch:
    """Begin the search for the speakers of a mixture `[N]` at the model's rate."""
    model, recording = separator.model, Recording.of(signal, separator.model.front_end.sample_rate_hz)
    windows = plan_windows_of_excerpts(model, recording, separator.window_seconds)
    return SpeakerSearch(model, WindowReader(recording, model.front_end), windows, Calibrations(),
                         lambda window, cost: None)


def number_names(count_network: CountNetwork | None) -> list[str]:
    """Return the names of the numbers of `measure`."""
    return sorted(feature_names()) + (score_names(max(NUMBERS)) if count_network else [])


def fit(rows: pd.DataFrame, names: list[str], network: int, count_network: CountNetwork | None = None
        ) -> CountClassifier:
    """Fit the classifier.

    Args:
        rows: result of `measure` or of `measure_turns`.
        names: of the numbers, which are columns of `rows`.
        network: checksum of the weights of the embedding network.
        count_network: that of `measure`; None if there is none.

    Returns:
        The classifier. Its `calibration` describes the probabilities that regressions on the other folds give.
    """
    truth = rows["speakers"].to_numpy()
    values, folds = rows[names].to_numpy(float), rows["fold"].to_numpy()
    logits_of = {strength: _held_out_logits(values, truth, folds, strength) for strength in INVERSE_STRENGTHS}
    strength = min(logits_of, key=lambda key: _cross_entropy(logits_of[key], truth))
    logits = logits_of[strength]
    temperature = float(minimize_scalar(lambda t: _cross_entropy(logits / t, truth), bounds=(0.2, 5),
                                        method="bounded").x)
    held_out = softmax(logits / temperature, axis=1)
    mean, scale, weights, bias = _regression(values, truth, strength)
    chosen = held_out.argmax(axis=1) + 1
    calibration = {
        "mixtures": len(rows), "speakers": len({name for names in rows["names"] for name in names.split()}),
        "inverse_regularisation": strength, "temperature": round(temperature, 3),
        "cross_entropy": round(_cross_entropy(logits / temperature, truth), 4),
        "expected_calibration_error": round(expected_calibration_error(held_out, truth), 4),
        "correct": {int(number): round(float((chosen == number)[truth == number].mean()), 3)
                    for number in sorted(set(NUMBERS))}}
    rounded = [[float(f"{value:.5g}") for value in row] for row in (mean, scale, bias / temperature,
                                                                   *(weights / temperature))]
    return CountClassifier(network, names, rounded[0], rounded[1], rounded[3:], rounded[2], calibration,
                           None if count_network is None else count_network.to_json())


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Compute the mean difference between the probability of the chosen number and how often it is right.

    Args:
        probabilities: of 1, 2, ... speakers, `[n, S]`.
        truth: number of speakers, int `[n]`.

    Returns:
        The mean over `CALIBRATION_BINS` equally wide ranges of the probability, weighted by their mixtures.
    """
    chosen = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) + 1 == truth
    bins = np.minimum((chosen * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return float(sum(abs((chosen - right)[bins == number].sum()) for number in range(CALIBRATION_BINS)) / len(truth))


def _held_out_logits(values: np.ndarray, truth: np.ndarray, folds: np.ndarray, strength: float) -> np.ndarray:
    """Return the logits `[n, 5]` of each mixture from a regression on the other folds."""
    logits = np.empty((len(truth), max(NUMBERS)))
    for fold in range(N_FOLDS):
        held_out = folds == fold
        mean, scale, weights, bias = _regression(values[~held_out], truth[~held_out], strength)
        logits[held_out] = np.clip((values[held_out] - mean) / scale, -CLIP, CLIP) @ weights.T + bias
    return logits


def _regression(values: np.ndarray, truth: np.ndarray,
                strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fit the regression: mean and scale of each number, weights `[5, D]`, bias `[5]`."""
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    standard = np.clip((values - mean) / scale, -CLIP, CLIP)
    fitted = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(standard, truth)
    return mean, scale, fitted.coef_, fitted.intercept_


def _cross_entropy(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean negative log probability of the true numbers."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(truth)), truth - 1].mean())
