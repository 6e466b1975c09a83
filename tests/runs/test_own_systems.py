"""What a `build` function of one's own returns is checked before the training."""

from unittest.mock import Mock

import keras
import numpy as np
import pytest
from test_initial_model import setup

from lab41_sce import methods
from lab41_sce.errors import UserError
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Method
from lab41_sce.runs import named_systems, stages
from lab41_sce.runs.config_schema import compose_config
from lab41_sce.runs.named_systems import check_targets
from lab41_sce.runs.systems import build_systems


def fails(setup):
    raise KeyError("x")


class WithoutModel(Method):
    def __init__(self):
        keras.Model.__init__(self)


@pytest.mark.parametrize(("build", "message"), [
    (lambda setup: None, "lab41_sce.methods.oracles.unprocessed returned NoneType; it must return a Method, or a func"),
    (lambda setup: np.ones(3), "returned ndarray"),
    (lambda setup: keras.Sequential([keras.layers.Dense(2)]), "returned Sequential; it must return a Method"),
    (lambda setup: Method(keras.Sequential([keras.layers.Dense(2)])), "unprocessed trains a Sequential; its attr"),
    (lambda setup: WithoutModel(), "unprocessed trains a NoneType; its attribute"),
    (fails, r"the system unprocessed cannot be built \(KeyError: 'x', in test_own_systems.py, line \d+\); correct"),
])
def test_mistakes_are_one_sentence(monkeypatch, build, message):
    monkeypatch.setattr(oracles, "unprocessed", build)
    with pytest.raises(UserError, match=message):
        build_systems(compose_config(["+exp=smoke"]), setup())


def test_an_import_that_fails_in_the_file_of_a_system_gives_its_reason(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("import no_such_package\n\n\ndef build(setup):\n    return None\n")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    config = compose_config(["+exp=smoke"])
    config.method.build = {"_target_": "lab41_sce.methods.mine.build"}
    with pytest.raises(UserError, match=r"\(ModuleNotFoundError: No module named 'no_such_package', in mine.py"):
        build_systems(config, setup())


@pytest.mark.parametrize("content", [b"def build(setup:\n", b"# caf\xe9\n"])
def test_a_file_that_is_no_python_is_one_sentence(tmp_path, monkeypatch, content):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "mine.py").write_bytes(content)
    monkeypatch.setattr(named_systems, "PACKAGE", tmp_path)
    with pytest.raises(UserError, match=r"methods.mine.py cannot be read as Python \(.*\); correct it.$"):
        check_targets({"method": {"build": {"_target_": "lab41_sce.methods.mine.build"}}})


def test_every_system_is_tried_before_the_first_is_trained(tmp_path, monkeypatch):
    systems = build_systems(compose_config(["+exp=smoke", "+method@others.deep_clustering=deep_clustering"]), setup())
    monkeypatch.setattr(stages.trainer, "train", lambda *arguments: pytest.fail("a training began"))
    monkeypatch.setattr(systems["deep_clustering"], "call", lambda batch, training=False: None)
    batch = {"sources": np.ones((1, 2, 4000), np.float32), "speaker_ids": np.array([[0, 1]], np.int32)}
    prepared = Mock(mixtures=lambda *arguments: Mock(batch=lambda number: batch), held_out_batches=lambda: [])
    with pytest.raises(UserError, match="the method of deep_clustering returned NoneType"):
        stages.train_systems(systems, prepared, tmp_path, Mock())
