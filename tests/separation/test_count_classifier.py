"""The file of a classifier is checked when it is read, and it belongs to one network."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lab41_sce.errors import UserError
from lab41_sce.models.count_network import CountedFrames, CountNetwork
from lab41_sce.separation.calibration_file import calibration_path, weights_checksum
from lab41_sce.separation.count_classifier import CountClassifier, read_classifier
from lab41_sce.separation.separator import Separator


@pytest.fixture
def classifier(tiny_model):
    return CountClassifier(weights_checksum(tiny_model), ["variance_1", "coherence_next_bin"], [0.0, 0.5],
                           [1.0, 2.0], [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [0.1, 0.0, -0.1], {"mixtures": 100})


def test_a_classifier_is_read_as_it_was_written(classifier, tiny_model, tmp_path):
    assert read_classifier(tmp_path / "model.keras", tiny_model) is None
    assert classifier.write(tmp_path / "model.keras") == tmp_path / "model.counting.json"
    assert read_classifier(tmp_path / "model.keras", tiny_model) == classifier


def test_probabilities_by_hand(classifier):
    shares = classifier.probabilities({"variance_1": 2.0, "coherence_next_bin": 0.5, "unused": 9.0})
    # The logits are 2.1, 0 and -0.1.
    assert shares == pytest.approx({1: 0.8109, 2: 0.0993, 3: 0.0898}, abs=1e-4)
    limited = classifier.probabilities({"variance_1": 2.0, "coherence_next_bin": 0.5}, 2, 3)
    assert limited == pytest.approx({2: 0.525, 3: 0.475}, abs=1e-4)


def test_far_numbers_are_clipped(classifier):
    far, further = (classifier.probabilities({"variance_1": value, "coherence_next_bin": 0.5})
                    for value in (5.0, 1e9))
    assert far == further


@pytest.mark.parametrize(("change", "message"), [
    ({"weights": [[1.0, 0.0], [0.0, 1.0]]}, "is damaged"), ({"scale": [1.0, 0.0]}, "is damaged"),
    ({"mean": [0.0]}, "is damaged"), ({"bias": [0.1, 0.0, float("nan")]}, "is damaged"),
    ({"weights": [[1.0, 0.0], [0.0, "x"], [0.0, 0.0]]}, "is damaged"), ({"features": []}, "is damaged"),
    ({"bias": 1.0}, "is damaged"), ({"mean": None}, "is damaged"),
    ({"features": ["a", "b"]}, "another version .*2 unknown features, such as a"),
    ({"features": [1, None]}, "2 unknown features, such as 1"), ({"features": [[], {}]}, "is damaged"),
    ({"network": 1}, "another network"), ({"more": 1}, "is damaged")])
def test_a_damaged_or_foreign_file_is_refused(classifier, tiny_model, tmp_path, change, message):
    path = classifier.write(tmp_path / "model.keras")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        read_classifier(tmp_path / "model.keras", tiny_model)


def test_a_file_that_is_no_json_is_refused(tiny_model, tmp_path):
    calibration_path(tmp_path / "model.keras", "counting").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        read_classifier(tmp_path / "model.keras", tiny_model)


@pytest.fixture
def with_network(classifier):
    """Return a classifier whose numbers are the scores of a small network."""
    kernel = np.zeros((2, 3), np.float32)
    kernel[0, 0] = 1
    identity, ones = np.eye(3, dtype=np.float32), np.ones(3, np.float32)
    last = [np.ones(6), np.eye(6)[:, :1], np.zeros(1), np.array([[-2.0, 0.0, 2.0]]), np.array([3.0, 1.0, -3.0])]
    network = CountNetwork([], [kernel, np.zeros(3), ones, identity, np.zeros(3), *last])
    names = ["score_1", "score_2", "score_3"]
    return replace(classifier, features=names, mean=[0.0] * 3, scale=[1.0] * 3, weights=np.eye(3).tolist(),
                   bias=[0.0] * 3, count_network=network.to_json())


def test_the_scores_of_a_network_are_numbers(with_network, tiny_model, tmp_path):
    with_network.write(tmp_path / "model.keras")
    read = read_classifier(tmp_path / "model.keras", tiny_model)
    assert read == with_network
    frames = CountedFrames(np.array([[5.0, 0.0], [99.0, 0.0]], np.float32), np.array([True, False]))
    scores = read.scores(lambda: [frames])
    assert [*scores] == ["score_1", "score_2", "score_3"] and sum(scores.values()) == pytest.approx(0, abs=1e-5)
    assert [*read.probabilities(scores)] == [1, 2, 3]
    # The second frame has no speech: without it, the scores are the same.
    alone = read.scores(lambda: [CountedFrames(frames.hidden[:1], frames.with_speech[:1])])
    assert scores == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("count_network", [None, {}, {"dilations": [], "weights": []}])
def test_scores_need_their_network(with_network, tiny_model, tmp_path, count_network):
    path = with_network.write(tmp_path / "model.keras")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"count_network": count_network}))
    with pytest.raises(UserError, match="is damaged, or was made by another version"):
        read_classifier(tmp_path / "model.keras", tiny_model)


@pytest.mark.parametrize(("numbers", "message"), [
    ((0, 2), "0 to 2 speakers cannot be counted; give a range within 1 to 3"), ((2, 4), "2 to 4"), ((3, 2), "3 to 2"),
    ((1, 2, 3), "cannot be separated"), ((1.0, 2), "cannot be separated"), ("2-3", "cannot be separated")])
def test_impossible_ranges(classifier, tiny_model, numbers, message):
    with pytest.raises(UserError, match=message):
        Separator(tiny_model, counting=classifier).possible_numbers(numbers)
