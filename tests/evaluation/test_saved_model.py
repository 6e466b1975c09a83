"""A saved model is scored with changed settings, and a change without effect is refused."""

from pathlib import Path

import keras
import pytest

from lab41_sce.errors import UserError
from lab41_sce.evaluation.saved_model import build, splits_file
from lab41_sce.methods.base import Setup
from lab41_sce.models.attractor_model import AttractorModel
from lab41_sce.models.front_end import FrontEnd


@pytest.mark.parametrize(("name", "value"), [("soft_scale", None), ("colour", 1), ("name", "other"), ("network", 1)])
def test_a_change_that_the_model_would_ignore_is_refused(tmp_path, name, value):
    front_end = FrontEnd(frame_length=4, hop_length=2)
    inputs = keras.Input((None, 3))
    network = keras.Model(inputs, keras.layers.Reshape((-1, 3, 2))(keras.layers.Dense(6)(inputs)))
    AttractorModel(front_end, network, 2, mask="softmax").save(tmp_path / "model.keras")
    build(Setup(front_end, None, 2), tmp_path / "model.keras", {"mask": "sigmoid"})
    with pytest.raises(UserError, match=f"changes.{name}={value} is not possible.* give one of attractors, .*, scale"):
        build(Setup(front_end, None, 2), tmp_path / "model.keras", {name: value})


@pytest.mark.parametrize(("folder", "path"), [(".", "run/systems/sce/model.keras"), ("run/systems", "sce"),
                                              ("run/systems/sce", "model.keras"), ("run", ".")])
def test_the_splits_of_a_model_are_found_from_within_its_run(tmp_path, monkeypatch, folder, path):
    (tmp_path / "run/systems/sce").mkdir(parents=True)
    (tmp_path / "run/systems/sce/model.keras").write_text("model")
    (tmp_path / "run/splits.csv").write_text("splits")
    monkeypatch.chdir(tmp_path / folder)
    assert splits_file(Path(path)) == tmp_path / "run/splits.csv"
