"""Speech of speakers becomes measures of their voices, pitch and long-term spectrum, and tests of similarity.

    speech of P speakers                       -> median pitch [P], long-term spectra [P, 129]
    vectors [P, K], pitches, spectra           -> similarities and distances [P, P]
    similarities [P, P] and distances [P, P]   -> rank correlation and its p value (Mantel test)

The measures use the speech only and no trained network, so they are an independent test of whether similar voices have
similar vectors.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.signal import welch
from scipy.stats import rankdata

from lab41_sce.data.speech import Speech
from lab41_sce.data.splits import SpeakerIndex

PITCH_RANGE_HZ = (60.0, 400.0)
SECONDS_PER_SPEAKER = 20.0  # more speech hardly changes a median
MAX_SPEAKERS = 2500  # in a table, because the test compares all pairs


def describe(speech: Speech, utterances: pd.DataFrame, speakers: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Measure the voices of speakers on the first seconds of their speech.

    Args:
        speech: signals of the utterances.
        utterances: table with the columns `utterance` and `speaker`.
        speakers: ids of P speakers.

    Returns:
        Median pitch in Hz `[P]` (NaN without voiced frames), and long-term spectra in dB `[P, 129]`.
    """
    pitches, spectra = [], []
    index = SpeakerIndex(utterances)
    for speaker in speakers:
        parts, left = [], round(SECONDS_PER_SPEAKER * speech.sample_rate_hz)
        for name in index.names_of(index.number_of[speaker]):
            parts.append(speech.excerpt(name, 0, min(speech.length(name), left)))
            left -= len(parts[-1])
            if left <= 0:
                break
        signal = np.concatenate(parts)
        pitches.append(median_pitch_hz(signal, speech.sample_rate_hz))
        spectra.append(long_term_spectrum_db(signal))
    return np.array(pitches), np.array(spectra)


def speakers_table(vectors: np.ndarray, speech: Speech, utterances: pd.DataFrame,
                   speakers: Sequence[str]) -> pd.DataFrame:
    """Combine the learned vectors of speakers with measures of their voices (`speakers.csv`).

    Args:
        vectors: speaker vectors `[P, K]`.
        speech: signals of the utterances.
        utterances: table with the columns `utterance`, `speaker` and `sex`.
        speakers: ids of P speakers.

    Returns:
        One row for each speaker, with the columns `speaker`, `sex`, `pitch_hz`, `vector_0` and so on, and `spectrum_0`
        and so on (dB). Of more than `MAX_SPEAKERS` speakers, an evenly spaced selection.
    """
    chosen = np.linspace(0, len(speakers) - 1, min(len(speakers), MAX_SPEAKERS)).astype(int)
    vectors, speakers = vectors[chosen], [speakers[number] for number in chosen]
    pitches, spectra = describe(speech, utterances, speakers)
    sexes = utterances.drop_duplicates("speaker").set_index("speaker")["sex"]
    about = pd.DataFrame({"speaker": speakers, "sex": sexes[speakers].to_list(),
                          "pitch_hz": pitches.round(1)})
    numbers = [pd.DataFrame(values).add_prefix(f"{name}_").round(4) for name, values in
               (("vector", vectors), ("spectrum", spectra))]
    return pd.concat([about, *numbers], axis=1)


def median_pitch_hz(signal: np.ndarray, sample_rate_hz: int) -> float:
    """Compute the median pitch of the voiced frames of a signal.

    A frame is voiced if its level is at most 25 dB below that of the loudest frame, and its rate of zero crossings is
    low, as in vowels.

    Args:
        signal: samples `[N]`.
        sample_rate_hz: sample rate.

    Returns:
        Pitch in Hz, NaN if no frame is voiced.
    """
    frame, hop = 2 ** int(np.ceil(np.log2(3 * sample_rate_hz / PITCH_RANGE_HZ[0]))), round(0.02 * sample_rate_hz)
    if len(signal) < frame:
        return float("nan")
    frames = np.lib.stride_tricks.sliding_window_view(signal, frame)[::hop]
    pitches = yin(frames, sample_rate_hz, *PITCH_RANGE_HZ)
    levels = (frames**2).mean(axis=1)
    crossings = (np.diff(np.signbit(frames), axis=1)).mean(axis=1) * sample_rate_hz / 2  # Hz
    voiced = (levels > 10**-2.5 * levels.max()) & (crossings < 1500) & (pitches < 0.99 * PITCH_RANGE_HZ[1])
    return float(np.median(pitches[voiced])) if voiced.any() else float("nan")


def yin(frames: np.ndarray, sample_rate_hz: int, lowest_hz: float, highest_hz: float,
        threshold: float = 0.1) -> np.ndarray:
    """Estimate the pitch of frames with YIN (de Cheveigne and Kawahara, 2002, steps 2 to 5).

    The period is the first lag at which the normalised difference function has a minimum below the threshold. Without
    such a lag, it is the lag of the smallest difference. A parabola refines the period between lags.

    Args:
        frames: samples `[n, L]`, where L is larger than the longest period.
        sample_rate_hz: sample rate.
        lowest_hz: lower limit of the pitch.
        highest_hz: upper limit of the pitch.
        threshold: largest normalised difference of a period.

    Returns:
        Pitch in Hz `[n]`.
    """
    shortest, longest = int(sample_rate_hz / highest_hz), int(np.ceil(sample_rate_hz / lowest_hz))
    frames = np.asarray(frames, float)
    width, size = frames.shape[1] - longest, 2 * frames.shape[1]
    products = np.fft.irfft(np.conj(np.fft.rfft(frames[:, :width], size)) * np.fft.rfft(frames, size))
    energies = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energies = energies[:, width:] - energies[:, :-width]  # of the part that begins at each lag from 0 to `longest`
    differences = np.maximum(energies[:, :1] + energies - 2 * products[:, : longest + 1], 0)[:, 1:]
    lags = np.arange(1, longest + 1)
    normalised = differences * lags / np.maximum(np.cumsum(differences, axis=1), 1e-12)
    inner = normalised[:, shortest - 1 : -1]  # lags from `shortest` on, each with two neighbours
    before, after = normalised[:, shortest - 2 : -2], normalised[:, shortest:]
    minimum = (inner <= before) & (inner <= after) & (inner < threshold)
    place = np.where(minimum.any(axis=1), minimum.argmax(axis=1), inner.argmin(axis=1))
    rows = np.arange(len(frames))
    left, middle, right = before[rows, place], inner[rows, place], after[rows, place]
    bend = left - 2 * middle + right
    shift = np.clip((left - right) / 2 / np.where(np.abs(bend) > 1e-12, bend, np.inf), -0.5, 0.5)
    return sample_rate_hz / (shortest + place + shift)


def long_term_spectrum_db(signal: np.ndarray) -> np.ndarray:
    """Compute the mean spectrum of a signal `[N]`: `[129]` in dB minus its mean, which removes the level."""
    power_db = 10 * np.log10(welch(signal, nperseg=256)[1] + 1e-12)
    return power_db - power_db.mean()


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Compute the cosines of the angles between vectors `[P, K]`: `[P, P]`."""
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return units @ units.T


def pitch_distances(pitches_hz: np.ndarray) -> np.ndarray:
    """Compute the absolute differences of pitches `[P]` in semitones: `[P, P]`."""
    semitones = 12 * np.log2(pitches_hz)
    return np.abs(semitones[:, None] - semitones)


def spectrum_distances(spectra_db: np.ndarray) -> np.ndarray:
    """Compute the root mean square differences of spectra `[P, F]` in dB: `[P, P]`."""
    return np.sqrt(((spectra_db[:, None] - spectra_db) ** 2).mean(axis=-1))


def mantel_test(similarities: np.ndarray, distances: np.ndarray, groups: Sequence | np.ndarray | None = None,
                n_permutations: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Test whether speakers that are similar by one measure are similar by another (Mantel, 1967, with ranks).

    Pairs that share a speaker are not independent, so the test permutes speakers instead of pairs.

    Args:
        similarities: symmetric `[P, P]`.
        distances: symmetric `[P, P]`; speakers without finite distances are left out.
        groups: `[P]`; if given, only pairs within a group count, and speakers are permuted within their groups.
        n_permutations: number of permutations.
        seed: seed of the permutations.

    Returns:
        Spearman's correlation between similarity and negative distance over the pairs, and its one-sided p value, which
        is at least 1 / (n_permutations + 1).

    Raises:
        ValueError: if there are fewer than three pairs.
    """
    kept = np.flatnonzero(np.isfinite(distances).sum(axis=1) > 1)
    groups = np.zeros(len(distances)) if groups is None else np.asarray(groups)
    similarities, groups = similarities[np.ix_(kept, kept)], groups[kept]
    nearness = -distances[np.ix_(kept, kept)]
    pairs = np.triu(groups[:, None] == groups, 1)
    if pairs.sum() < 3:
        raise ValueError(f"There are {pairs.sum()} pairs of speakers; the test needs at least three.")
    ranks = rankdata(nearness[pairs])
    ranks = (ranks - ranks.mean()) / max(ranks.std(), 1e-12)

    # Permuted speakers have the same pairs in another order, so the pairs are ranked once only.
    others = np.zeros(similarities.shape)
    others[pairs] = rankdata(similarities[pairs])
    others[pairs] = (others[pairs] - others[pairs].mean()) / max(others[pairs].std(), 1e-12)
    others += others.T

    def correlation(order: np.ndarray) -> float:
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
