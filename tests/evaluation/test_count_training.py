"""The network that counts is the same in NumPy as in Keras, whatever a batch holds besides; and it learns."""

import numpy as np
import pandas as pd
import pytest

from lab41_sce.errors import UserError
from lab41_sce.evaluation import count_training
from lab41_sce.models.count_network import CountedFrames, CountNetwork

MEAN, DEVIATION = np.full(6, 0.5, np.float32), np.full(6, 2.0, np.float32)


@pytest.fixture
def small(monkeypatch):
    for name, value in {"WIDTH": 8, "DILATIONS": (1, 2), "POOLED": 10, "LAST": 7, "EPOCHS": 3}.items():
        monkeypatch.setattr(count_training, name, value)


def part(rng, n_frames):
    """Return a window of which the last frame belongs to the context."""
    with_speech = rng.random(n_frames) < 0.7
    with_speech[0], with_speech[-1] = True, False
    return CountedFrames(rng.standard_normal((n_frames, 6)).astype(np.float32), with_speech)


def write_examples(folder, parts, numbers, file="0000.npz"):
    folder.mkdir(exist_ok=True)
    np.savez(folder / file, hidden=np.concatenate([part.hidden for part in parts]).astype(np.float16),
             with_speech=np.concatenate([part.with_speech for part in parts]),
             lengths=[len(part.hidden) for part in parts], numbers=numbers, made_for=0)


def test_scores_are_those_of_keras_in_any_batch(small, tmp_path):
    rng = np.random.default_rng(0)
    parts = [part(rng, n_frames) for n_frames in (3, 40, 9, 65)]
    write_examples(tmp_path / "examples", parts, [1, 2, 3, 5])
    examples, model = count_training.Examples(tmp_path / "examples", 1), count_training.count_model(MEAN, DEVIATION)
    model.set_weights([weights + 0.1 * rng.standard_normal(weights.shape) for weights in model.get_weights()])
    network = count_training.count_network_of(model, MEAN, DEVIATION)
    (batch, numbers), = examples
    scores = model.predict_on_batch(batch)
    rows = {number: row for row, number in enumerate(numbers)}
    for each, number in zip(parts, (1, 2, 3, 5), strict=True):
        rounded = each._replace(hidden=each.hidden.astype(np.float16).astype(np.float32))
        np.testing.assert_allclose(network.scores([rounded]), scores[rows[number - 1]], atol=1e-5)


def test_windows_without_speech_change_nothing_and_the_order_of_windows_neither(small):
    rng = np.random.default_rng(1)
    network = count_training.count_network_of(count_training.count_model(MEAN, DEVIATION), MEAN, DEVIATION)
    first, second = part(rng, 20), part(rng, 30)
    silent = CountedFrames(first.hidden, np.zeros(20, bool))
    expected = network.scores([first, second])
    np.testing.assert_allclose(network.scores([second, silent, first]), expected, atol=1e-6)
    assert not np.allclose(network.scores([first]), expected, atol=1e-3)
    everything = CountedFrames(first.hidden, np.ones(20, bool))
    np.testing.assert_allclose(network.scores([silent]), network.scores([everything]), atol=1e-6)


def test_the_plain_data_are_the_network_in_half_precision(small):
    network = count_training.count_network_of(count_training.count_model(MEAN, DEVIATION), MEAN, DEVIATION)
    again, frames = CountNetwork.from_json(network.to_json()), [part(np.random.default_rng(2), 30)]
    np.testing.assert_allclose(again.scores(frames), network.scores(frames), atol=0.02)
    assert again.to_json() == network.to_json()


@pytest.mark.parametrize("change", [
    {"dilations": [1]}, {"dilations": [1, 0]}, {"dilations": ["x", 1]}, {"weights": []}, {"weights": 3},
    {"weights": [{"shape": [2], "float16": "AAAA"}]}, {"weights": [{"shape": [1], "float16": "%%"}]}])
def test_damaged_plain_data_are_refused(small, change):
    network = count_training.count_network_of(count_training.count_model(MEAN, DEVIATION), MEAN, DEVIATION)
    with pytest.raises((ValueError, TypeError, KeyError)):
        CountNetwork.from_json(network.to_json() | change)


@pytest.mark.slow
def test_it_learns_and_is_not_trained_twice(small, tmp_path, monkeypatch):
    """The frames with speech show the number; frames without speech show others."""
    for name, value in {"WIDTH": 32, "LAST": 32, "EPOCHS": 8, "LEARNING_RATE": 0.01, "WARMUP_UPDATES": 10,
                        "INPUT_DROPOUT": 0.0, "DROPOUT": 0.0}.items():
        monkeypatch.setattr(count_training, name, value)
    rng, parts = np.random.default_rng(3), []
    numbers = rng.integers(1, 6, 400)
    for number in numbers:
        each = part(rng, int(rng.integers(10, 40)))
        each.hidden[:, 0] = np.where(each.with_speech, number, rng.integers(1, 6, len(each.hidden)))
        parts.append(each)
    write_examples(tmp_path / "examples", parts[:300], numbers[:300])
    epochs = []
    network = count_training.train_count_network(tmp_path / "examples", 1, epochs.append)
    found = [1 + network.scores([each]).argmax() for each in parts[300:]]
    assert np.mean(np.equal(found, numbers[300:])) > 0.8 and epochs == [1, 2, 3, 4, 5, 6, 7, 8]
    again = count_training.train_count_network(tmp_path / "examples", 1, epochs.append)
    assert again.to_json() == network.to_json() and len(epochs) == 8


def test_a_damaged_file_is_one_sentence(tmp_path):
    write_examples(tmp_path, [part(np.random.default_rng(5), 20)], [1])
    path = tmp_path / "0000.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="0000.npz is damaged .*; delete it, and repeat the command"):
        count_training.Examples(tmp_path, 1)


@pytest.mark.slow
def test_an_interrupted_training_continues_with_the_same_mixtures(small, tmp_path, monkeypatch):
    rng, epochs = np.random.default_rng(4), []
    write_examples(tmp_path / "examples", [part(rng, 20) for _ in range(40)], [1, 2, 3, 4] * 10)

    def interrupt(epoch):
        epochs.append(epoch)
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count_training.train_count_network(tmp_path / "examples", 1, interrupt)
    write_examples(tmp_path / "examples", [part(rng, 20) for _ in range(40)], [1, 2, 3, 4] * 10, "0001.npz")
    with pytest.raises(KeyboardInterrupt):
        count_training.train_count_network(tmp_path / "examples", 251, interrupt)
    assert epochs == [1, 2, 1, 2]
    network = count_training.train_count_network(tmp_path / "examples", 1, epochs.append)
    assert epochs == [1, 2, 1, 2, 3]
    more = count_training.train_count_network(tmp_path / "examples", 251, epochs.append)
    assert epochs == [1, 2, 1, 2, 3, 3] and more.to_json() != network.to_json()


def test_the_network_learns_from_people_who_neither_calibrate_nor_were_held_out(monkeypatch, tmp_path):
    """Of people in splits.csv only the training's utterances are used; of the others everything."""
    table = pd.DataFrame({"utterance": ["1-a", "1-b", "2-a", "3-a", "4-a"], "speaker": ["1", "1", "2", "3", "4"]})
    monkeypatch.setattr(count_training, "load_every_subset", lambda folder: table)
    monkeypatch.setattr(count_training, "MIN_SPEAKERS", 2)
    pd.DataFrame({"utterance": ["1-a", "3-a"], "speaker": ["1", "3"], "split": ["train", "unseen"]}).to_csv(
        tmp_path / "splits.csv", index=False)
    calibrating = table[table["speaker"] == "2"]
    speech = count_training.load_training_speech([tmp_path], tmp_path / "splits.csv", calibrating)
    assert [*speech["utterance"]] == ["1-a", "4-a"]
    assert [*count_training.load_training_speech([tmp_path], None, calibrating)["utterance"]] == [
        "1-a", "1-b", "3-a", "4-a"]
    monkeypatch.setattr(count_training, "MIN_SPEAKERS", 3)
    assert count_training.load_training_speech([tmp_path], tmp_path / "splits.csv", calibrating).empty
