"""The thresholds of a confidence are kept beside the model, and decide whether it is low."""

import json
import math

import numpy as np
import pytest

from lab41_sce.errors import UserError
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.calibration_file import calibration_path, weights_checksum
from lab41_sce.separation.confidence import ConfidenceThresholds, read_thresholds
from lab41_sce.separation.separator import Separator


def test_each_number_of_voices_has_a_threshold():
    thresholds = ConfidenceThresholds(1, 5.0, {"2": 0.5, "3": 0.4}, {})
    assert [thresholds.is_low(0.45, n) for n in (1, 2, 3, 7)] == [False, True, False, False]
    assert thresholds.is_low(0.39, 7)  # as with the largest number that was measured
    assert not thresholds.is_low(math.nan, 2)


def test_thresholds_are_read_from_the_file_beside_the_model(tiny_model, tmp_path):
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    file = tmp_path / "model.keras"
    assert read_thresholds(file, tiny_model) is None
    thresholds = ConfidenceThresholds(weights_checksum(tiny_model), 5.0, {"2": 0.5, "10": 0.3}, {"mixtures": 9})
    assert thresholds.write(file) == tmp_path / "model.confidence.json"
    assert read_thresholds(file, tiny_model) == thresholds
    ConfidenceThresholds(1, 5.0, {"2": 0.5}, {}).write(file)
    with pytest.raises(UserError, match="made for another network than that of model.keras; calibrate the model again"):
        read_thresholds(file, tiny_model)


@pytest.mark.parametrize("thresholds", [{}, {"2": 1.5}, {"2": "high"}, {"two": 0.5}, {"3": 0.4, "2": 0.5}, [0.5], None])
def test_damaged_thresholds_are_refused(tiny_model, tmp_path, thresholds):
    (tmp_path / "model.confidence.json").write_text(
        json.dumps({"network": 1, "limit_db": 5.0, "thresholds": thresholds, "calibration": {}}))
    with pytest.raises(UserError, match="is damaged.*or delete model.confidence.json to separate without warnings"):
        read_thresholds(tmp_path / "model.keras", tiny_model)


def test_the_shipped_thresholds_lie_within_what_mixtures_reach():
    shipped = json.loads(calibration_path(MODEL, "confidence").read_text())
    assert [*shipped["thresholds"]] == ["2", "3", "4"] and shipped["limit_db"] == 5
    two, three, four = shipped["thresholds"].values()
    assert 0.2 < min(three, four) and max(three, four) < two < 0.8  # more voices have a lower confidence


def test_binary_masks_are_not_judged(tiny_model):
    """Their confidence is 1, whatever they are worth."""
    signal = 0.1 * np.random.default_rng(0).standard_normal(10000)
    separator = Separator(tiny_model, confidence_thresholds=ConfidenceThresholds(1, 5.0, {"2": 0.5}, {}))
    assert separator.separate(signal, 10000, 2).low_confidence in (False, True)
    assert separator.separate(signal, 10000, 2, binary_masks=True).low_confidence is None
