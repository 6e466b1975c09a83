"""Validation averages the improvement over all mixtures and by kind."""

import pandas as pd
import pytest

from lab41_sce.evaluation.validation import validate


def test_validation_reports_each_kind(tiny_model, evaluation_set):
    speech, mixtures = evaluation_set
    row = validate(tiny_model, speech, mixtures)
    assert list(row) == ["validation_si_sdri_db", *(f"validation_si_sdri_db_{kind}" for kind in ("FF", "FM", "MM"))]
    kinds = pd.Series(row)[1:]
    assert row["validation_si_sdri_db"] == pytest.approx((kinds.iloc[0] + 2 * kinds.iloc[1] + kinds.iloc[2]) / 4)
