"""The magnitudes of a voice `[T, F]` become a description by which the person is recognised in another recording.

    magnitudes [T, F] -> cepstra of active frames [n, C] -> counts [M] and sums [M, C] over M classes of sounds

The cepstra describe the shape of the spectrum, that is, the vocal tract and the microphone. A Gaussian mixture model
with M components (`verification.py`) sorts the frames into classes of sounds, so that people who say different words
can be compared class by class (D. Reynolds, T. Quatieri and R. Dunn, "Speaker verification using adapted Gaussian
mixture models", 2000). The descriptions of several recordings are added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab41_sce.errors import UserError
from lab41_sce.models.numpy_front_end import NumpyFrontEnd

N_BANDS, N_CEPSTRA = 24, 19  # C; the first cepstrum, the level, is left out
LOWEST_HZ, HIGHEST_SHARE = 80.0, 0.45  # of the bands; the highest frequency as a share of the sample rate
RANGE_DB, FLOOR_DB = 30.0, 60.0  # of active frames, and of the bands, below the loudest frame and the loudest bin
# Of 5 s of 226 training speakers, alone or with noise at 10 dB, none varies less; all steady noise does.
MIN_SPEECH_VARIATION_DB, VARIATION_SECONDS = 3.0, 5.0
# Of 100 mixtures of validation speakers with noise as loud as the speech, 5 vary less; with noise at 5 dB, none does.
MAX_NOISE_VARIATION_DB = 2.5


@dataclass(frozen=True)
class VoiceDescription:
    """Describe a voice.

    Attributes:
        centroid: of the voice's embeddings, `[K]`.
        counts: number of active frames in each class of sounds, `[M]`; None of a model without verification.
        sums: of the cepstra of the frames in each class, `[M, C]`; None of a model without verification.
    """

    centroid: np.ndarray
    counts: np.ndarray | None = None
    sums: np.ndarray | None = None


def join_descriptions(descriptions: Sequence[VoiceDescription]) -> VoiceDescription:
    """Join the descriptions of one voice in several recordings; the centroid has length one."""
    centroid = np.mean([description.centroid for description in descriptions], axis=0)
    centroid = centroid / max(float(np.linalg.norm(centroid)), 1e-12)
    counts = [description.counts for description in descriptions if description.counts is not None]
    sums = [description.sums for description in descriptions if description.sums is not None]
    if not counts:
        return VoiceDescription(centroid)
    return VoiceDescription(centroid, np.sum(counts, axis=0), np.sum(sums, axis=0))


def cepstra(magnitudes: np.ndarray, front_end: NumpyFrontEnd) -> np.ndarray:
    """Compute the cepstra of the active frames of a voice.

    Args:
        magnitudes: float32 `[T, F]`.
        front_end: that of the magnitudes.

    Returns:
        `[n, C]`; no rows for silence.
    """
    powers = np.square(magnitudes, dtype=np.float64)
    levels = powers.sum(axis=1)
    active = (levels > levels.max(initial=0.0) * 10 ** (-RANGE_DB / 10)) & (levels > 0)
    floor = powers.max(initial=0.0) * 10 ** (-FLOOR_DB / 10)
    return frame_cepstra(powers[active], max(floor, 1e-30), front_end)


def frame_cepstra(powers: np.ndarray, floor: float, front_end: NumpyFrontEnd) -> np.ndarray:
    """Compute the cepstra `[n, C]` of frames with powers `[n, F]`, whose bands have at least the power `floor`."""
    orders, places = np.arange(1, N_CEPSTRA + 1), (np.arange(N_BANDS) + 0.5) / N_BANDS
    cosines = np.sqrt(2 / N_BANDS) * np.cos(np.pi * orders * places[:, None])  # discrete cosine transform [N_BANDS, C]
    return np.log(powers @ mel_bands(front_end).T + floor) @ cosines


def check_speech(name: str, magnitudes: np.ndarray, front_end: NumpyFrontEnd) -> None:
    """Check that a recording contains speech.

    Args:
        name: of the recording.
        magnitudes: float32 `[T, F]`.
        front_end: that of the magnitudes.

    Raises:
        UserError: the shape of the spectrum varies as little as that of steady noise.
    """
    variation_db = spectral_variation_db(magnitudes, front_end)
    if variation_db < MIN_SPEECH_VARIATION_DB:
        raise UserError(f"{name} contains no speech: its spectrum varies by {variation_db:.1f} dB, and that of speech "
                        f"by at least {MIN_SPEECH_VARIATION_DB:g} dB; give a few seconds of one person who talks "
                        "alone.")


def spectral_variation_db(magnitudes: np.ndarray, front_end: NumpyFrontEnd) -> float:
    """Measure how much the shape of the spectrum varies over time, which distinguishes speech from steady noise.

    Args:
        magnitudes: float32 `[T, F]`.
        front_end: that of the magnitudes.

    Returns:
        The standard deviation over time of the level of a band relative to the mean level of all bands, in dB, as a
        mean over the bands. A long recording is divided into parts of about `VARIATION_SECONDS`, of which the one with
        the largest variation counts.
    """
    powers = np.square(magnitudes, dtype=np.float64) @ mel_bands(front_end).T  # [T, N_BANDS]
    part_frames = VARIATION_SECONDS * front_end.sample_rate_hz / front_end.hop_length
    variations = []
    for part in np.array_split(powers, max(round(len(powers) / part_frames), 1)):
        totals = part.sum(axis=1)
        part = part[totals >= totals.max(initial=0.0) * 10 ** (-FLOOR_DB / 10)]  # without digital silence
        levels_db = 10 * np.log10(part + max(part.mean() * 10 ** (-FLOOR_DB / 10), 1e-30))
        variations.append((levels_db - levels_db.mean(axis=1, keepdims=True)).std(axis=0).mean())
    return float(max(variations))


def mel_bands(front_end: NumpyFrontEnd) -> np.ndarray:
    """Return triangular filters that are equally wide on the mel scale, `[N_BANDS, F]`."""
    lowest, highest = _mel(np.array([LOWEST_HZ, HIGHEST_SHARE * front_end.sample_rate_hz])).tolist()
    edges = np.linspace(lowest, highest, N_BANDS + 2)
    bins = _mel(np.linspace(0, front_end.sample_rate_hz / 2, front_end.n_bins))
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(np.minimum(rising, falling), 0.0)


def _mel(hz: np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(hz / 700.0)
