"""A model that onnxruntime computes separates as Keras does, and a file of another kind is left to Keras."""

import io
import json
import pickle
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from models.test_export import METHODS, trained, with_last_layer

from lab41_sce.errors import UserError
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.mask_estimation import AttractorMasks, EmbeddingMasks, SegmentMasks
from lab41_sce.models.onnx_network import load_onnx_model
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.calibration_file import weights_checksum
from lab41_sce.separation.separator import Separator

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SIGNAL = np.random.default_rng(3).standard_normal(9000).astype(np.float32)
MAX_DIFFERENCE_DB = -80
CLASSES = {"attractor": AttractorMasks, "attractor_fixed": AttractorMasks, "pit_blstm": SegmentMasks,
           "pit_cnn": SegmentMasks, "pit_temporal_cnn": SegmentMasks, "recurrent_mask": SegmentMasks}


def saved(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def difference_db(one, other):
    return 20 * np.log10(max(np.linalg.norm(one - other), 1e-12) / np.linalg.norm(other))


@pytest.mark.parametrize(("method", "network", "n_speakers"), [
    *((method, "blstm", 2) for method in METHODS), ("sce", "residual", 2), ("sce", "band_split", 2),
    ("attractor", "residual", 3), ("recurrent_mask", "residual", 3),
])
def test_the_voices_are_those_of_keras(method, network, n_speakers, tmp_path):
    model = trained(method, network, n_speakers)
    if hasattr(model, "fixed_attractors"):
        model.fixed_attractors.assign(np.random.default_rng(5).standard_normal(model.fixed_attractors.shape))
    if hasattr(model, "hop_reduction"):
        model.hop_reduction = 2
    light = Separator.load(saved(model, tmp_path))
    assert type(light.model) is CLASSES.get(method, EmbeddingMasks)
    expected = Separator(model).separate(SIGNAL, 10000, n_speakers).voices
    assert difference_db(light.separate(SIGNAL, 10000, n_speakers).voices, expected) < MAX_DIFFERENCE_DB
    assert weights_checksum(light.model) == weights_checksum(model)


def test_keras_computes_a_network_without_onnx_form(tmp_path):
    file = saved(with_last_layer(trained("pit_cnn"), keras.layers.LayerNormalization(name="layer_norm")), tmp_path)
    assert load_onnx_model(file) is None
    separator = Separator.load(file)
    assert isinstance(separator.model, keras.Model)
    assert np.isfinite(separator.separate(SIGNAL, 10000, 2).voices).all()


def test_keras_computes_on_request(tmp_path):
    file = saved(trained("sce"), tmp_path)
    assert isinstance(Separator.load(file, runtime="keras").model, EmbeddingModel)
    with pytest.raises(UserError, match="the runtime torch is unknown; choose from onnx, keras"):
        Separator.load(file, runtime="torch")


@pytest.mark.parametrize("package", ["onnxruntime", "onnx"])
def test_keras_computes_where_a_package_is_missing(package, tmp_path, monkeypatch):
    file = saved(trained("sce"), tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "lab41_sce.models.onnx_graph", raising=False)
    assert isinstance(Separator.load(file).model, EmbeddingModel)


def test_the_arguments_are_those_of_the_keras_model(tmp_path):
    model = trained("sce")
    model.cluster_variance, model.verification_threshold, model.hop_reduction = 0.5, 0.25, 3
    light = load_onnx_model(saved(model, tmp_path))
    for name in ("unit_norm", "range_db", "soft_scale", "cluster_variance", "verification_threshold", "hop_reduction"):
        assert getattr(light, name) == getattr(model, name)
    assert vars(light.front_end) == {name: getattr(model.front_end, name) for name in vars(light.front_end)}


def test_the_shipped_model_needs_no_keras():
    model = load_onnx_model(MODEL)
    assert isinstance(model, EmbeddingMasks) and model.hop_reduction == 2 and model.front_end.compression == "log"


def test_a_model_is_pickled(tmp_path):
    for method in ("sce", "pit_cnn"):
        separator = Separator.load(saved(trained(method), tmp_path))
        again = pickle.loads(pickle.dumps(separator))
        voices = separator.separate(SIGNAL, 10000, 2).voices
        np.testing.assert_array_equal(again.separate(SIGNAL, 10000, 2).voices, voices)


@pytest.mark.slow
def test_an_exported_waveform_model_is_that_of_the_file(tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = trained("sce")
    Separator.load(saved(model, tmp_path)).to_saved_model(tmp_path / "exported")
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(SIGNAL[None]), model.predict_on_batch(SIGNAL[None]), atol=1e-5)


def changed(file, tmp_path, change_config=None, change_weights=None):
    """Copy a `.keras` file with another configuration or other weights."""
    other = tmp_path / "changed.keras"
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(other, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json" and change_config:
                config = json.loads(content)
                change_config(config)
                content = json.dumps(config).encode()
            if name == "model.weights.h5" and change_weights:
                memory = io.BytesIO(content)
                with h5py.File(memory, "r+") as store:
                    change_weights(store)
                content = memory.getvalue()
            copy.writestr(name, content)
    return other


DENSE = "layers/functional/layers/dense/vars"


def elsewhere(store):
    """Put a weight into another place of the same file, and a link into its place."""
    store.move(f"{DENSE}/0", "elsewhere")
    store[f"{DENSE}/0"] = h5py.SoftLink("/elsewhere")


def not_stored(store):
    """Declare a weight without its numbers."""
    shape = store[f"{DENSE}/0"].shape
    del store[f"{DENSE}/0"]
    store.create_dataset(f"{DENSE}/0", shape, "f4", chunks=True)


def text(store):
    del store[f"{DENSE}/1"]
    store[f"{DENSE}/1"] = [b"text"] * 51


def missing(store):
    del store[f"{DENSE}/0"]


@pytest.mark.parametrize("change", [elsewhere, not_stored, text, missing])
def test_weights_that_are_not_numbers_in_their_place_are_left_to_keras(change, tmp_path):
    file = saved(trained("sce"), tmp_path)
    assert load_onnx_model(changed(file, tmp_path))  # a copy as it is can be loaded
    assert load_onnx_model(changed(file, tmp_path, change_weights=change)) is None


def half_precision(config):
    layer = config["config"]["network"]["config"]["layers"][-2]
    layer["config"]["dtype"]["config"]["name"] = "mixed_bfloat16"


def other_class(config):
    config["registered_name"] = "other>Model"


def other_width(config):
    config["config"]["network"]["config"]["layers"][0]["config"]["batch_shape"][2] = 18


def other_shape(config):
    config["config"]["network"]["config"]["layers"][-1]["config"]["target_shape"] = [-1, 17, 4]


@pytest.mark.parametrize("change", [half_precision, other_class, other_width, other_shape])
def test_configurations_of_other_networks_are_left_to_keras(change, tmp_path):
    file = saved(trained("sce"), tmp_path)
    assert load_onnx_model(changed(file, tmp_path, change_config=change)) is None


def test_files_that_are_no_models_are_left_to_keras(tmp_path, monkeypatch):
    file = saved(trained("sce"), tmp_path)
    (tmp_path / "text.keras").write_text("no archive")
    assert load_onnx_model(tmp_path / "text.keras") is None and load_onnx_model(tmp_path / "absent.keras") is None
    monkeypatch.setattr("lab41_sce.models.saved_network.MAX_WEIGHTS_BYTES", 1000)
    assert load_onnx_model(file) is None
