"""Thresholds of the confidence, fitted to mixtures with known voices."""

import numpy as np
import pandas as pd
import pytest

from lab41_sce.errors import UserError
from lab41_sce.evaluation.confidence_calibration import fit_confidence


def measured(si_sdri_db, n=600):
    """Make rows of mixtures of two and three people; `si_sdri_db` gives the gain of confidences `[n]`."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0, 1, n)
    gain = si_sdri_db(confidence) + rng.normal(0, 1, n)
    return pd.DataFrame({"speakers": np.arange(n) % 2 + 2, "fold": np.arange(n) % 3, "names": "anna ben",
                         "confidence": confidence, "si_sdri_db": gain})


@pytest.mark.parametrize("copies_of_bad", [1, 20])
def test_the_threshold_divides_gains_below_the_limit_from_the_others(copies_of_bad):
    """However frequent bad separations are."""
    rows = measured(lambda confidence: 20 * confidence)
    rows = pd.concat([rows, *[rows[rows["si_sdri_db"] < 5]] * (copies_of_bad - 1)], ignore_index=True)
    fitted = fit_confidence(rows, 7)
    assert fitted.network == 7 and fitted.limit_db == 5 and [*fitted.thresholds] == ["2", "3"]
    assert [*fitted.thresholds.values()] == pytest.approx([0.25, 0.25], abs=0.05)
    assert fitted.calibration["mixtures"] == len(rows) and fitted.calibration["speakers"] == 2
    assert min(fitted.calibration["found"].values()) > 0.9 and max(fitted.calibration["false"].values()) < 0.1


@pytest.mark.parametrize(("gain_db", "threshold"), [(-20, 1), (60, 0)])
def test_a_model_whose_voices_are_all_alike_is_always_warned_of_or_never(gain_db, threshold):
    assert {*fit_confidence(measured(lambda confidence: gain_db), 1).thresholds.values()} == {threshold}


def test_a_confidence_without_meaning_is_refused():
    with pytest.raises(UserError, match="with 2 voices, separations of this model .* are not better; train"):
        fit_confidence(measured(lambda confidence: 10 - 10 * confidence), 1)
