"""Speech of known speakers becomes what makes voices alike: pitch and long-term spectrum.

Measured on the speech itself, without any trained network, so that learned speaker vectors can be held against it:
do similar voices have similar vectors?
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.signal import welch
from scipy.stats import rankdata

from lab41_sce.data.splits import SpeakerIndex

PITCH_HZ = (60.0, 400.0)  # what is looked for
SECONDS = 20.0  # of each speaker; more changes a median little
MAX_TABLE_SPEAKERS = 2500  # that are measured, and held against one another in pairs


def describe(speech, utterances: pd.DataFrame, speakers: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Measure the voices of speakers.

    Args:
        speech: the signals, a `mixtures.Speech`.
        utterances: table with the columns `utterance`, `speaker`; the first ones of a speaker are measured.
        speakers: ids of P speakers.

    Returns:
        Median pitch in Hz `[P]` (NaN where there is none), and long-term spectra in dB `[P, 129]`.
    """
    pitches, spectra = [], []
    groups, names = SpeakerIndex(utterances), utterances["utterance"].to_numpy(object)
    numbers = {speaker: number for number, speaker in enumerate(groups.speakers)}
    for speaker in speakers:
        parts, left = [], round(SECONDS * speech.sample_rate_hz)
        for name in names[groups.rows_of(numbers[speaker])]:
            parts.append(speech.excerpt(name, 0, min(speech.length(name), left)))
            left -= len(parts[-1])
            if left <= 0:
                break
        signal = np.concatenate(parts)
        pitches.append(median_pitch_hz(signal, speech.sample_rate_hz))
        spectra.append(long_term_spectrum_db(signal))
    return np.array(pitches), np.array(spectra)


def speakers_table(vectors: np.ndarray, speech, utterances: pd.DataFrame, speakers: Sequence[str]) -> pd.DataFrame:
    """Put the learned vectors of speakers beside what their voices are like.

    Args:
        vectors: `[P, K]`.
        speech, utterances, speakers: see `describe`; the utterances also have the column `sex`.

    Returns:
        A row for each speaker (of more than `MAX_TABLE_SPEAKERS`, for so many from the first to the last): `speaker`, `sex`,
            `pitch_hz`, `vector_0` and so on, `spectrum_0` and so on (dB).
    """
    chosen = np.linspace(0, len(speakers) - 1, min(len(speakers), MAX_TABLE_SPEAKERS)).astype(int)
    vectors, speakers = vectors[chosen], [speakers[number] for number in chosen]
    pitches, spectra = describe(speech, utterances, speakers)
    sexes = utterances.drop_duplicates("speaker").set_index("speaker")["sex"]
    about = pd.DataFrame({"speaker": speakers, "sex": sexes[speakers].to_list(),
                          "pitch_hz": pitches.round(1)})
    numbers = [pd.DataFrame(values).add_prefix(f"{name}_").round(4) for name, values in
               (("vector", vectors), ("spectrum", spectra))]
    return pd.concat([about, *numbers], axis=1)


def median_pitch_hz(signal: np.ndarray, sample_rate_hz: int) -> float:
    """Return the median pitch over the voiced frames of a signal `[N]`; NaN if none is voiced.

    A frame counts as voiced if it is at most 25 dB below the
    loudest and its spectrum's weight lies low, as that of vowels does.
    """
    frame, hop = 2 ** int(np.ceil(np.log2(3 * sample_rate_hz / PITCH_HZ[0]))), round(0.02 * sample_rate_hz)
    if len(signal) < frame:
        return float("nan")
    frames = np.lib.stride_tricks.sliding_window_view(signal, frame)[::hop]
    pitches = yin(frames, sample_rate_hz, *PITCH_HZ)
    levels = (frames**2).mean(axis=1)
    crossings = (np.diff(np.signbit(frames), axis=1)).mean(axis=1) * sample_rate_hz / 2  # Hz
    voiced = (levels > 10**-2.5 * levels.max()) & (crossings < 1500) & (pitches < 0.99 * PITCH_HZ[1])
    return float(np.median(pitches[voiced])) if voiced.any() else float("nan")


def yin(frames: np.ndarray, sample_rate_hz: int, lowest_hz: float, highest_hz: float, good: float = 0.1) -> np.ndarray:
    """Estimate the pitch of frames `[n, L]` as YIN does (de Cheveigne and Kawahara, 2002, steps 2 to 5): Hz, `[n]`.

    The period is the first lag at which the normalised difference of a frame and its later self has a minimum below
    `good`, or, if there is none, its least one; between lags by a parabola. L has to be more than the longest period.
    """
    shortest, longest = int(sample_rate_hz / highest_hz), int(np.ceil(sample_rate_hz / lowest_hz))
    frames = np.asarray(frames, float)
    width, size = frames.shape[1] - longest, 2 * frames.shape[1]
    products = np.fft.irfft(np.conj(np.fft.rfft(frames[:, :width], size)) * np.fft.rfft(frames, size))
    energies = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energies = energies[:, width:] - energies[:, :-width]  # of the part that begins at each lag, 0 to `longest`
    differences = np.maximum(energies[:, :1] + energies - 2 * products[:, : longest + 1], 0)[:, 1:]
    lags = np.arange(1, longest + 1)
    normalised = differences * lags / np.maximum(np.cumsum(differences, axis=1), 1e-12)
    inner = normalised[:, shortest - 1 : -1]  # from `shortest` on, all of which have neighbours
    before, after = normalised[:, shortest - 2 : -2], normalised[:, shortest:]
    minimum = (inner <= before) & (inner <= after) & (inner < good)
    place = np.where(minimum.any(axis=1), minimum.argmax(axis=1), inner.argmin(axis=1))
    rows = np.arange(len(frames))
    left, middle, right = before[rows, place], inner[rows, place], after[rows, place]
    bend = left - 2 * middle + right
    shift = np.clip((left - right) / 2 / np.where(np.abs(bend) > 1e-12, bend, np.inf), -0.5, 0.5)
    return sample_rate_hz / (shortest + place + shift)


def long_term_spectrum_db(signal: np.ndarray) -> np.ndarray:
    """Return the mean spectrum of a signal `[N]`, float `[129]`, in dB about its own mean: the level is no matter."""
    power_db = 10 * np.log10(welch(signal, nperseg=256)[1] + 1e-12)
    return power_db - power_db.mean()


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Return the cosines of the angles between vectors: `[P, K]` to `[P, P]`."""
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return units @ units.T


def pitch_distances(pitches_hz: np.ndarray) -> np.ndarray:
    """Return the differences of pitches in semitones: `[P]` to `[P, P]`."""
    semitones = 12 * np.log2(pitches_hz)
    return np.abs(semitones[:, None] - semitones)


def spectrum_distances(spectra_db: np.ndarray) -> np.ndarray:
    """Return the root mean square differences of spectra in dB: `[P, F]` to `[P, P]`."""
    return np.sqrt(((spectra_db[:, None] - spectra_db) ** 2).mean(axis=-1))


def mantel_test(similarities: np.ndarray, distances: np.ndarray, groups: Sequence | np.ndarray | None = None,
                n_permutations: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Tell whether speakers who are alike in one way are alike in another (Mantel, 1967, with ranks).

    Pairs that share a speaker are not independent, so the test permutes speakers, not pairs.

    Args:
        similarities: symmetric `[P, P]`.
        distances: symmetric `[P, P]`; speakers without finite ones are left out.
        groups: `[P]`; if given, only pairs within a group count, and speakers are permuted within their groups.
        n_permutations: how many.
        seed: of the permutations.

    Returns:
        Spearman's correlation of similarity with *nearness* over the pairs, and how likely one as high is by chance
        (one-sided; at least 1 / (n_permutations + 1)).

    Raises:
        ValueError: fewer than three pairs.
    """
    kept = np.flatnonzero(np.isfinite(distances).sum(axis=1) > 1)
    groups = np.zeros(len(distances)) if groups is None else np.asarray(groups)
    similarities, groups = similarities[np.ix_(kept, kept)], groups[kept]
    nearness = -distances[np.ix_(kept, kept)]
    pairs = np.triu(groups[:, None] == groups, 1)
    if pairs.sum() < 3:
        raise ValueError(f"Got {pairs.sum()} pairs of speakers, want three at least.")
    ranks = rankdata(nearness[pairs])
    ranks = (ranks - ranks.mean()) / max(ranks.std(), 1e-12)

    others = np.zeros(similarities.shape)  # permuted speakers are the same pairs in another order: ranked once
    others[pairs] = rankdata(similarities[pairs])
    others[pairs] = (others[pairs] - others[pairs].mean()) / max(others[pairs].std(), 1e-12)
    others += others.T

    def correlation(order):
        return (others[np.ix_(order, order)][pairs] * ranks).mean()

    rng, everyone = np.random.default_rng(seed), np.arange(len(kept))
    found = correlation(everyone)
    as_high = 0
    for _ in range(n_permutations):
        order = everyone.copy()
        for group in np.unique(groups):
            order[groups == group] = rng.permutation(everyone[groups == group])
        as_high += correlation(order) >= found - 1e-12
    return float(found), (as_high + 1) / (n_permutations + 1)
