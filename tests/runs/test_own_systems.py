"""What a `build` function of one's own returns is checked before the training."""

import keras
import numpy as np
import pytest
from test_initial_model import setup

from lab41_sce.errors import UserError
from lab41_sce.methods import oracles
from lab41_sce.methods.base import Method
from lab41_sce.runs.config_schema import compose_config
from lab41_sce.runs.systems import build_systems


def fails(setup):
    raise KeyError("x")


@pytest.mark.parametrize(("build", "message"), [
    (lambda setup: None, "lab41_sce.methods.oracles.unprocessed returned NoneType; it must return a Method, or a func"),
    (lambda setup: np.ones(3), "returned ndarray"),
    (lambda setup: keras.Sequential([keras.layers.Dense(2)]), "returned Sequential; it must return a Method"),
    (lambda setup: Method(keras.Sequential([keras.layers.Dense(2)])), "unprocessed trains a Sequential; its attr"),
    (fails, r"the system unprocessed cannot be built \(KeyError: 'x', in test_own_systems.py, line \d+\); correct"),
])
def test_mistakes_are_one_sentence(monkeypatch, build, message):
    monkeypatch.setattr(oracles, "unprocessed", build)
    with pytest.raises(UserError, match=message):
        build_systems(compose_config(["+exp=smoke"]), setup())
