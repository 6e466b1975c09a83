"""True sources and their estimates `[S, N]` become STOI, ESTOI, PESQ and word accuracy of each source.

STOI and ESTOI (pystoi) estimate how much of the speech is understood, PESQ (pesq) how good it sounds, and the word
accuracy how much a recogniser understands (`words.py`). The packages are in the extra `metrics`. A value is NaN if its
package finds too little speech in the reference.
"""

import math
import warnings
from collections.abc import Iterable
from importlib.util import find_spec

import numpy as np

from lab41_sce import audio
from lab41_sce.errors import UserError
from lab41_sce.evaluation.definitions import PACKAGES, PERCEPTUAL_METRICS
from lab41_sce.evaluation.words import word_accuracy

PESQ_RATES_HZ = {"PESQ-NB": 8000, "PESQ-WB": 16000}
# pesq 0.0.4 keeps at most 50 utterances, in memory of fixed size; each takes 0.4 s or more.
PESQ_WINDOW_SECONDS = 19.0
MIN_PESQ_SECONDS = 0.25  # pesq scores nothing shorter


def check_metrics(metrics: Iterable[str], sample_rate_hz: int | None = None) -> None:
    """Raise UserError if a package is missing, or the sample rate of the mixtures is too low for a metric.

    Args:
        metrics: names, such as "SDR" and "STOI".
        sample_rate_hz: of the mixtures; None checks the packages only.
    """
    for metric in metrics:
        if metric in PACKAGES and find_spec(PACKAGES[metric]) is None:
            raise UserError(f"{metric} needs the package {PACKAGES[metric]}; pip install {PACKAGES[metric]}, or leave "
                            f"out {metric}.")
        rate_hz = PESQ_RATES_HZ.get(metric, 0)
        if sample_rate_hz is not None and sample_rate_hz < rate_hz:
            raise UserError(f"{metric} needs mixtures of {rate_hz} Hz or more, these have {sample_rate_hz} Hz; leave "
                            f"out {metric}{' or choose PESQ-NB' if metric == 'PESQ-WB' else ''}.")


def perceptual_scores(references: np.ndarray, estimates: np.ndarray, sample_rate_hz: int,
                      metrics: Iterable[str]) -> dict[str, np.ndarray]:
    """Score each estimate against its reference.

    Args:
        references: true sources, float `[S, N]`.
        estimates: float `[S, N]`, in the order of the references, none of them silent.
        sample_rate_hz: of the signals.
        metrics: those of `PERCEPTUAL_METRICS` to compute; others are ignored.

    Returns:
        Scores by metric, float64 `[S]`; NaN without enough speech in the reference.

    Raises:
        UserError: see `check_metrics`.
    """
    wanted = [metric for metric in PERCEPTUAL_METRICS if metric in set(metrics)]
    check_metrics(wanted, sample_rate_hz)
    functions = {"STOI": _stoi, "ESTOI": _stoi, "PESQ-NB": _pesq, "PESQ-WB": _pesq, "WAcc": _word_accuracy}
    return {metric: np.array([functions[metric](metric, reference, estimate, sample_rate_hz)
                              for reference, estimate in zip(references, estimates, strict=True)])
            for metric in wanted}


def _stoi(metric: str, reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    """Compute STOI or ESTOI."""
    from pystoi import stoi

    if not np.ptp(reference):
        return math.nan
    state = np.random.get_state()  # pystoi 0.4.1 draws from NumPy's global generator for ESTOI
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        np.random.seed(0)
        try:
            return float(stoi(np.asarray(reference, np.float64), np.asarray(estimate, np.float64), sample_rate_hz,
                              extended=metric == "ESTOI"))
        except RuntimeWarning:
            return math.nan
        finally:
            np.random.set_state(state)


def _pesq(metric: str, reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    """Compute the mean PESQ over windows of equal length in which the reference contains speech."""
    from pesq import BufferTooShortError, NoUtterancesError, pesq

    rate_hz = PESQ_RATES_HZ[metric]
    pair = np.stack([audio.resample(signal, sample_rate_hz, rate_hz) for signal in (reference, estimate)])
    scores = []
    for window in np.array_split(pair, math.ceil(pair.shape[1] / (PESQ_WINDOW_SECONDS * rate_hz)), axis=1):
        peaks = np.abs(window).max(axis=1, keepdims=True)
        if not np.ptp(window[0]) or window.shape[1] <= MIN_PESQ_SECONDS * rate_hz:
            continue
        if not np.ptp(window[1]):  # as a silent estimate is scored
            window[1] = np.random.default_rng(len(scores)).standard_normal(window.shape[1])
            peaks[1, 0] = np.abs(window[1]).max()
        try:
            scores.append(pesq(rate_hz, *(window / peaks), mode=metric[-2:].lower()))
        except (NoUtterancesError, BufferTooShortError):
            continue
    return float(np.mean(scores)) if scores else math.nan


def _word_accuracy(metric: str, reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    """Compute the word accuracy."""
    return word_accuracy(reference, estimate, sample_rate_hz)
