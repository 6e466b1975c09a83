"""Training: budget, best model, resumption after a kill, broken losses."""

import json
import math
import shutil
import time

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import blstm

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.settings import MixtureSettings
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.methods.base import Setup
from lab41_sce.models.loading import load_model
from lab41_sce.training import callbacks, trainer
from lab41_sce.training.history import totals
from lab41_sce.training.settings import TrainingSettings
from lab41_sce.yaml_defaults import with_yaml_defaults


def settings(**changes):
    defaults = {"updates": 6, "minutes": None, "validate_every": 2, "patience": None, "learning_rate": 0.01,
                "beta_2": 0.999, "warmup_updates": 0, "decay": "cosine", "clip_norm": 5.0, "tensorboard": False}
    return TrainingSettings(**defaults | changes)


@pytest.fixture(scope="module")
def mixtures(corpus_root):
    utterances = splits.split(load_corpus(corpus_root, ["train"]), 2)
    speakers = splits.trained_speakers(utterances)
    speech = Speech(utterances, 10000)
    return {split: TrainingMixtures(speech, utterances[utterances["split"] == split], speakers,
                                    MixtureSettings(seconds=0.5, batch_size=2), pre_emphasis=0.95, seed=0)
            for split in ("train", "train-validation")}


def train(mixtures, folder, scores=None, **changes):
    """Train a tiny method; validation scores come from an iterator."""
    from lab41_sce.models.front_end import FrontEnd

    keras.utils.set_random_seed(0)
    setup = Setup(FrontEnd(), lambda **sizes: blstm(**sizes, n_layers=1, units=2), 2, speakers=tuple(range(20)))
    build = with_yaml_defaults("method/sce_article", embedding_size=2, num_negatives=2, unit_norm=True, seed=0)
    method = build(setup)
    scores = iter(scores if scores is not None else range(100))
    history = trainer.train(method, mixtures["train"], [mixtures["train-validation"].batch(0)],
                             lambda: {"validation_si_sdri_db": float(next(scores))}, settings(**changes), folder)
    return method, history


def test_history_and_files(mixtures, tmp_path):
    start = time.monotonic()
    method, history = train(mixtures, tmp_path, tensorboard=True)
    elapsed = time.monotonic() - start
    assert history["update"].to_list() == [2, 4, 6]
    assert np.isfinite(history[["loss", "minutes"]]).all(axis=None)
    assert history["seconds_per_update"].min() > 1e-4 and 2 * history["seconds_per_update"].sum() < elapsed
    direct = float(method(mixtures["train-validation"].batch(0), training=False))
    assert history["validation_loss"].iloc[-1] == pytest.approx(direct, abs=0.02)  # negatives are drawn
    assert history["learning_rate"].is_monotonic_decreasing
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), history)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.npz", "checkpoint_previous.npz", "history.csv", "model.keras", "tensorboard"]


def test_an_error_while_tensorboard_writes_becomes_one_sentence(mixtures, tmp_path):
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="tensorboard could not be written .*training.tensorboard=false"):
        train(mixtures, tmp_path, tensorboard=True)


def test_the_best_model_is_kept(mixtures, tmp_path):
    """Without decay, the first four of six updates are those of a run of four."""
    until_best, _ = train(mixtures, make(tmp_path / "shorter"), scores=[1, 5, 2], decay="none", updates=4)
    steady, _ = train(mixtures, make(tmp_path / "steady"), scores=[1, 5, 2], decay="none")
    kept = keras.saving.load_model(tmp_path / "steady" / "model.keras").get_weights()
    for a, b in zip(kept, until_best.model.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert not all(np.allclose(a, b, atol=1e-5) for a, b in zip(kept, steady.model.get_weights()))


@pytest.mark.slow
@pytest.mark.parametrize(("scores", "best"), [([1, 3, 3], 4), ([math.nan, 1, 0], 4), ([2, math.nan, 1], 2)])
def test_the_kept_model_is_that_of_the_reported_update(mixtures, tmp_path, scores, best):
    """The first of equal scores counts, and a score that is not a number is worse than all others."""
    until_best, _ = train(mixtures, make(tmp_path / "shorter"), decay="none", updates=best)
    _, history = train(mixtures, make(tmp_path / "all"), scores=scores, decay="none")
    assert totals(history)["best_update"] == best
    kept = keras.saving.load_model(tmp_path / "all" / "model.keras").get_weights()
    for a, b in zip(kept, until_best.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_patience_stops(mixtures, tmp_path):
    _, history = train(mixtures, tmp_path, scores=[3, 2, 1, 0, 0, 0], updates=100, patience=2)
    assert len(history) == 3


def test_minutes_stop(mixtures, tmp_path):
    _, history = train(mixtures, tmp_path, updates=None, minutes=0.01)
    assert len(history) == 1 and 0.01 <= history["minutes"].iloc[0] < 0.5


def test_learning_rate_follows_whichever_budget_is_further_on():
    both = settings(updates=1000, minutes=10, warmup_updates=100, learning_rate=0.01)
    assert both.rate(0, 0) == pytest.approx(0.0001)
    assert both.rate(500, 1) == both.rate(200, 5) == pytest.approx(0.01 * (0.01 + 0.99 * 0.5))
    assert both.rate(1000, 1) == both.rate(500, 10) == pytest.approx(0.0001)
    assert settings(decay="none").rate(5, 0) == 0.01


class Killed(BaseException):
    """Stands in for a kill: no code of this package may catch it."""


POINTS = (*(pytest.param(point, marks=pytest.mark.slow)
            for point in ("in validation", "before the checkpoint is renamed", "before the history")), "in an update")


@pytest.mark.parametrize("point", POINTS)
def test_resumed_training_equals_uninterrupted(mixtures, tmp_path, monkeypatch, point):
    whole, expected = train(mixtures, make(tmp_path / "whole"))
    folder = make(tmp_path / "killed")

    def dying_scores():
        yield 0.0
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        if point == "in validation":
            train(mixtures, folder, dying_scores())
        elif point == "in an update":
            end = callbacks.UpdateCounter.on_train_batch_end
            patch.setattr(callbacks.UpdateCounter, "on_train_batch_end",
                          lambda self, batch, logs=None: die() if self.state.update == 4 else end(self, batch, logs))
            train(mixtures, folder)
        elif point == "before the history":
            write, calls = callbacks.write_history, []
            patch.setattr(callbacks, "write_history",
                          lambda *arguments: (calls.append(1), die() if len(calls) == 3 else write(*arguments)))
            train(mixtures, folder)
        else:
            savez, calls = np.savez, []
            patch.setattr(np, "savez", lambda *a, **k: (savez(*a, **k), calls.append(1), len(calls) == 2 and die()))
            train(mixtures, folder)
    resumed, history = train(mixtures, folder, scores=range(len(pd.read_csv(folder / "history.csv")), 9))
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), history)
    columns = ["update", "learning_rate", "loss", "validation_loss", "validation_si_sdri_db"]
    pd.testing.assert_frame_equal(history[columns], expected[columns], rtol=1e-4)
    for a, b in zip(resumed.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-4)


def die():
    raise Killed


def make(folder):
    folder.mkdir()
    return folder


def test_a_finished_training_is_not_repeated(mixtures, tmp_path):
    _, first = train(mixtures, tmp_path)
    _, again = train(mixtures, tmp_path, scores=[])
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.slow
def test_a_training_without_a_checkpoint_says_that_it_begins(mixtures, tmp_path, caplog):
    caplog.set_level("INFO")
    train(mixtures, tmp_path / "new")
    assert "no checkpoint" not in caplog.text
    (tmp_path / "interrupted/tensorboard").mkdir(parents=True)  # before the first validation
    train(mixtures, tmp_path / "interrupted")
    assert "There is no checkpoint yet: the training begins from the start." in caplog.text


@pytest.mark.slow
def test_training_continues_with_a_larger_limit(mixtures, tmp_path):
    train(mixtures, tmp_path, updates=4)
    _, history = train(mixtures, tmp_path, updates=8)
    assert history["update"].to_list() == [2, 4, 6, 8]


@pytest.mark.slow
def test_a_broken_loss_stops_and_keeps_the_last_good_weights(mixtures, tmp_path):
    train(mixtures, tmp_path, updates=2)
    good = (tmp_path / "model.keras").read_bytes()

    class Broken:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def dataset(self, start):
            def breaking(batch):
                return batch | {"sources": batch["sources"] * math.nan}
            return self.inner.dataset(start).map(breaking)

    with pytest.raises(UserError, match="not a finite number after update 3"):
        train({**mixtures, "train": Broken(mixtures["train"])}, tmp_path, updates=6)
    assert (tmp_path / "model.keras").read_bytes() == good
    with np.load(tmp_path / "checkpoint.npz") as arrays:
        assert json.loads(str(arrays["state"]))["update"] == 2


@pytest.mark.slow
def test_training_stops_when_speech_vanishes_and_continues_once_it_is_back(corpus_root, tmp_path):
    root = tmp_path / "corpus"
    shutil.copytree(corpus_root, root)
    utterances = splits.split(load_corpus(root, ["train"]), 2)
    train_table = utterances[utterances["split"] == "train"]
    mixtures = TrainingMixtures(Speech(utterances, 10000, in_memory=False), train_table,
                                splits.trained_speakers(utterances), MixtureSettings(seconds=0.5, batch_size=2),
                                pre_emphasis=0.95, seed=0)
    both = {"train": mixtures, "train-validation": mixtures}

    def scores():
        (root / "train").rename(root / "hidden")
        yield from [1.0] * 50  # some batches are there already

    folder = make(tmp_path / "run")
    with pytest.raises(UserError, match="no such file"):
        train(both, folder, scores(), updates=100)
    (root / "hidden").rename(root / "train")
    kept = pd.read_csv(folder / "history.csv")
    assert 1 <= len(kept) < 50
    _, history = train(both, folder, updates=int(kept["update"].iloc[-1]) + 4)
    assert history["update"].to_list() == [*range(2, 2 * len(kept) + 5, 2)]


@pytest.mark.slow
def test_another_network_is_refused(mixtures, tmp_path):
    train(mixtures, tmp_path)
    with np.load(tmp_path / "checkpoint.npz") as arrays:
        contents = dict(arrays)
    state = json.loads(str(contents["state"]))
    state["shapes"][0] = [1, 2, 3]
    np.savez(tmp_path / "checkpoint.npz", **contents | {"state": json.dumps(state)})
    with pytest.raises(UserError, match="of another network"):
        train(mixtures, tmp_path)


def flipped(data):
    """Flip one bit in the middle."""
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


DAMAGE = {"emptied": lambda data: b"", "zeroed": lambda data: bytes(len(data)), "bit flipped": flipped,
          "cut": lambda data: data[: len(data) // 2]}


@pytest.fixture(scope="module")
def trained(mixtures, tmp_path_factory):
    """Return the folder of a finished training whose best validation was the second of three, and its history."""
    folder = tmp_path_factory.mktemp("trained")
    _, history = train(mixtures, folder, scores=[1, 3, 2])
    return folder, history


def best_weights(folder):
    return load_model(folder / "model.keras").get_weights()


SOME_DAMAGE = ["bit flipped", None,  # None: removed
               *(pytest.param(damage, marks=pytest.mark.slow) for damage in ("emptied", "zeroed", "cut"))]


@pytest.mark.slow
@pytest.mark.parametrize("damage", SOME_DAMAGE)
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(mixtures, trained, tmp_path, caplog, damage):
    """The updates since then are made again; model.keras is the best model of the new history, though it was newer."""
    folder, expected = shutil.copytree(trained[0], tmp_path / "run"), trained[1]
    path = folder / "checkpoint.npz"
    path.write_bytes(DAMAGE[damage](path.read_bytes())) if damage else path.unlink()
    _, history = train(mixtures, folder, scores=[2])
    assert "the training continues from" in caplog.text and "checkpoint.npz" in caplog.text
    columns = ["update", "learning_rate", "loss", "validation_loss", "validation_si_sdri_db"]
    pd.testing.assert_frame_equal(history[columns], expected[columns], rtol=1e-4)
    for a, b in zip(best_weights(folder), best_weights(trained[0]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_model_newer_than_the_checkpoint_is_not_kept(mixtures, tmp_path):
    """Validations whose checkpoint is lost are not in the history, so their model must not be called the best."""
    train(mixtures, tmp_path, scores=[1, 2], updates=4)
    (tmp_path / "checkpoint.npz").write_bytes(b"")
    with np.load(tmp_path / "checkpoint_previous.npz") as arrays:
        first = [arrays[name] for name in arrays if name.startswith("best_")]
    assert not all(np.array_equal(a, b) for a, b in zip(best_weights(tmp_path), first, strict=True))
    _, history = train(mixtures, tmp_path, scores=[0], updates=4)
    assert history["validation_si_sdri_db"].to_list() == [1, 0]
    for a, b in zip(best_weights(tmp_path), first, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("damage", SOME_DAMAGE)
def test_a_damaged_model_is_written_again(mixtures, trained, tmp_path, caplog, damage):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    path = folder / "model.keras"
    path.write_bytes(DAMAGE[damage](path.read_bytes())) if damage else path.unlink()
    train(mixtures, folder, scores=[])
    assert caplog.text.count("it is written again") == 1
    for a, b in zip(best_weights(folder), best_weights(trained[0]), strict=True):
        np.testing.assert_array_equal(a, b)
    whole = path.read_bytes()
    train(mixtures, folder, scores=[])
    assert path.read_bytes() == whole and caplog.text.count("it is written again") == 1


def test_without_a_readable_checkpoint_nothing_changes(mixtures, trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    for name, damage in (("checkpoint.npz", DAMAGE["cut"]), ("checkpoint_previous.npz", DAMAGE["emptied"])):
        (folder / name).write_bytes(damage((folder / name).read_bytes()))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=r"checkpoint\.npz cannot be read .*checkpoint_previous\.npz cannot be read .*"
                                        "delete it to train this system from its beginning"):
        train(mixtures, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_checkpoint_of_an_earlier_version_is_resumed(mixtures, trained, tmp_path):
    """It holds neither the best weights nor the checksum of the model."""
    folder = shutil.copytree(trained[0], tmp_path / "run")
    (folder / "checkpoint_previous.npz").unlink()
    with np.load(folder / "checkpoint.npz") as arrays:
        contents = {name: array for name, array in arrays.items() if not name.startswith("best_")}
    state = json.loads(str(contents["state"]))
    del state["model_checksum"]
    np.savez(folder / "checkpoint.npz", **contents | {"state": json.dumps(state)})
    model = (folder / "model.keras").read_bytes()
    _, history = train(mixtures, folder, scores=[0], updates=8)
    assert history["update"].to_list() == [2, 4, 6, 8] and (folder / "model.keras").read_bytes() == model


@pytest.mark.parametrize(("changes", "wanted"), [
    ({"updates": None}, "never end"),
    ({"updates": None, "patience": 3}, "needs an end"),
])
def test_settings_that_contradict_each_other_are_refused(changes, wanted):
    with pytest.raises(UserError, match=wanted):
        settings(**changes)
