"""`load_model`: files, folders of runs, and files that are no model."""

import importlib
import sys
import zipfile

import keras
import numpy as np
import pytest
import yaml
from conftest import blstm

from lab41_sce import methods
from lab41_sce.errors import UserError
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.loading import load_model
from lab41_sce.models.model_file import model_file
from lab41_sce.pretrained import MODEL


def test_a_run_gives_the_model_of_its_method(tiny_model, tmp_path):
    folder = tmp_path / "systems" / "sce"
    folder.mkdir(parents=True)
    (tmp_path / "config.yaml").write_text(yaml.dump({"method": {"name": "sce"}}))
    tiny_model.save(folder / "model.keras")
    for path in (tmp_path, folder, folder / "model.keras"):
        assert isinstance(load_model(path), EmbeddingModel)
    assert model_file("pretrained") == model_file(MODEL) == MODEL
    with pytest.raises(UserError, match="there is no model at .*absent"):
        load_model(tmp_path / "absent")


def test_a_model_that_cannot_separate_is_refused(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match="other.keras contains a Keras model that cannot separate"):
        load_model(tmp_path / "other.keras")


def test_loading_an_untrusted_model_runs_no_code(tmp_path):
    """A Lambda layer contains code; Keras's safe mode refuses it before any of it runs."""
    trap = f"__import__('pathlib').Path({str(tmp_path / 'run')!r}).touch()"
    layer = keras.layers.Lambda(eval(f"lambda x: ({trap}, x)[1]"), output_shape=(3,))
    model = keras.Sequential([keras.Input((3,)), layer])
    (tmp_path / "run").unlink(missing_ok=True)  # building the model may have run the code
    model.save(tmp_path / "strange.keras")
    with pytest.raises(UserError, match=r"strange.keras cannot be loaded as a model \(.*Lambda"):
        load_model(tmp_path / "strange.keras")
    assert not (tmp_path / "run").exists()
    keras.saving.load_model(tmp_path / "strange.keras", safe_mode=False)(np.ones((1, 3)))
    assert (tmp_path / "run").exists()  # the code would have run


@pytest.mark.parametrize("config", [b"null", b"5", b"[" * 100_000, b"{}", b'{"class_name": "EmbeddingModel"}'])
def test_files_that_are_no_model_are_refused(tmp_path, config):
    with zipfile.ZipFile(tmp_path / "strange.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", b"{}")
    with pytest.raises(UserError, match="strange.keras (cannot be loaded as a|contains a Keras) model"):
        load_model(tmp_path / "strange.keras")


def test_a_file_with_unknown_classes_is_refused_in_one_short_sentence(tiny_model, tmp_path):
    tiny_model.save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(tmp_path / "new.keras", "w") as new:
        for name in whole.namelist():
            new.writestr(name, whole.read(name).replace(b"lab41_sce>EmbeddingModel", b"lab41_sce>ModelOfTheFuture"
                                                        ).replace(b'"EmbeddingModel"', b'"ModelOfTheFuture"'))
    with pytest.raises(UserError, match="new.keras cannot be loaded as a model .*ModelOfTheFuture") as error:
        load_model(tmp_path / "new.keras")
    assert len(str(error.value)) < 500


def test_layers_of_a_new_system_are_found_by_another_process(front_end, tmp_path, monkeypatch):
    """The process that loads a model has not imported the file of the system that defines a layer."""
    (tmp_path / "mine.py").write_text("import keras\n\n\n@keras.saving.register_keras_serializable('tests')\n"
                                      "class Twice(keras.layers.Layer):\n"
                                      "    def call(self, inputs):\n        return 2 * inputs\n")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    network = blstm(front_end.n_bins, n_outputs=3, n_layers=1, units=2)
    layer = importlib.import_module("lab41_sce.methods.mine").Twice()
    EmbeddingModel(front_end, keras.Model(network.inputs, layer(network.outputs[0]))).save(tmp_path / "model.keras")
    del sys.modules["lab41_sce.methods.mine"], keras.saving.get_custom_objects()["tests>Twice"]
    model = load_model(tmp_path / "model.keras")
    assert type(model.network.layers[-1]).__name__ == "Twice"
    del sys.modules["lab41_sce.methods.mine"], keras.saving.get_custom_objects()["tests>Twice"]
    (tmp_path / "mine.py").unlink()
    with pytest.raises(UserError, match=r"cannot be loaded as a model \(No module named 'lab41_sce.methods.mine'\)"):
        load_model(tmp_path / "model.keras")
