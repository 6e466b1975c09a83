"""Mixtures of speakers that a model does not know become thresholds for the confidence of its separations.

    speakers -> mixtures of 2 to 4 -> confidence, SI-SDR improvement -> thresholds

Everybody talks at once: voices of people who take turns are nearly always far above or far below the thresholds. Half
of the mixtures that are not plain have noise, and half have reverberation, which costs most. The number
of people is given, as if it had been counted without error. How often the recordings of users cannot be separated is
not known, so good and bad separations weigh the same.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from lab41_sce.data.noise import Noise
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.evaluation.count_calibration import N_FOLDS, noise_kinds
from lab41_sce.evaluation.counted_mixtures import VARIED_SHARES, draw_sources
from lab41_sce.evaluation.metrics import si_sdr_improvement
from lab41_sce.separation.confidence import ConfidenceThresholds
from lab41_sce.separation.separator import Separator
from lab41_sce.threads import in_parallel

NUMBERS = (2, 3, 4)  # of people, in turns
SHARES = VARIED_SHARES | {"noise": 0.5, "reverberation": 0.5}
LIMIT_DB = 5.0  # a voice that gains less holds a clearly audible part of another


def measure_confidence(separator: Separator, utterances: pd.DataFrame, n_mixtures: int, noise_folder: Path | None,
                       progress: Callable[[int], object]) -> pd.DataFrame:
    """Draw mixtures and separate them.

    Args:
        separator: with the model to calibrate.
        utterances: result of `load_speech`.
        n_mixtures: number of mixtures.
        noise_folder: see `count_calibration.measure`.
        progress: called with the number of mixtures finished since the last call.

    Returns:
        A row for each mixture: `speakers` (their number), `folder`, `fold`, the description of `draw_sources`,
        `confidence`, and `si_sdri_db` (mean over the voices).
    """
    front_end = separator.model.front_end
    speech, kinds = Speech(utterances, front_end.sample_rate_hz), noise_kinds(noise_folder)
    noise = Noise(speech, utterances, kinds, noise_folder)

    def row(mixture: int) -> dict[str, Any]:
        rng, number = np.random.default_rng([3, mixture]), NUMBERS[mixture % len(NUMBERS)]
        folder, fold = int(rng.integers(utterances["folder"].max() + 1)), int(rng.integers(N_FOLDS))
        among = utterances[(utterances["folder"] == folder) & (utterances["fold"] == fold)]
        sources, drawn_noise, described = draw_sources(rng, speech, among, number, noise, front_end.pre_emphasis,
                                                       varied_shares=SHARES)
        signal = sources.sum(axis=0) + drawn_noise
        result = separator.separate(signal, front_end.sample_rate_hz, number)
        assert result.voices is not None  # they are not written to files
        return {"speakers": number, "folder": folder, "fold": fold, **described, "confidence": result.confidence,
                "si_sdri_db": si_sdr_improvement(sources, signal, result.voices)}

    rows = []
    for finished in in_parallel(row, range(n_mixtures)):
        rows.append(finished)
        progress(1)
    return pd.DataFrame(rows)


def fit_confidence(rows: pd.DataFrame, network: int) -> ConfidenceThresholds:
    """Fit the thresholds.

    Args:
        rows: result of `measure_confidence`.
        network: checksum of the weights of the network.

    Returns:
        The thresholds. Their `calibration` has, for each number of speakers, the share of the mixtures with a warning
        among those that gain less than the limit (`found`) and among the others (`false`), if the threshold is fitted
        to the speakers of the other folds.

    Raises:
        UserError: separations with a higher confidence are not better.
    """
    thresholds, shares = {}, {"found": {}, "false": {}}
    for number, some in rows.groupby("speakers"):
        confidence, below = some["confidence"].to_numpy(), (some["si_sdri_db"] < LIMIT_DB).to_numpy()
        thresholds[str(number)] = _threshold(confidence, below, str(number))
        warned = np.zeros(len(some), bool)
        for held_out in (some["fold"].to_numpy() == fold for fold in range(N_FOLDS)):
            limit = _threshold(confidence[~held_out], below[~held_out], str(number))
            warned[held_out] = confidence[held_out] < limit
        for name, of_kind in (("found", below), ("false", ~below)):
            shares[name][str(number)] = round(float((warned & of_kind).sum() / max(of_kind.sum(), 1)), 3)
    calibration = {"mixtures": len(rows), "speakers": len({*itertools.chain(*rows["names"].str.split())}),
                   **shares}
    return ConfidenceThresholds(network, LIMIT_DB, thresholds, calibration)


def _threshold(confidence: np.ndarray, below: np.ndarray, number: str) -> float:
    """Fit the confidence that best divides gains below the limit from the others, to `[n]` mixtures of each."""
    if below.all() or not below.any():
        return float(below.all())  # always warn, or never
    fitted = LogisticRegression(C=1e6, class_weight="balanced").fit(confidence[:, None], below)
    if fitted.coef_[0, 0] >= 0:
        raise UserError(f"with {number} voices, separations of this model with a higher confidence are not better; "
                        "train the model longer, or give more --mixtures.")
    return round(float(np.clip(-fitted.intercept_[0] / fitted.coef_[0, 0], 0, 1)), 3)
