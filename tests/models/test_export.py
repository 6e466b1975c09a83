"""Exported networks compute what the Keras model computes, or nothing is written."""

import errno
import json
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from conftest import blstm

from lab41_sce.commands import export as command
from lab41_sce.errors import UserError
from lab41_sce.methods.base import Setup
from lab41_sce.models import export as module
from lab41_sce.models.band_split import band_split
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.export import export, network_to_export, settings
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.lstm import BidirectionalLSTM
from lab41_sce.models.networks import residual_blstm
from lab41_sce.yaml_defaults import CONFIG_PATH, with_yaml_defaults

REASON = "the export to ONNX is an extra"
WITHOUT_NETWORK = {"ideal_binary_mask", "ideal_ratio_mask", "phase_sensitive_mask", "nmf_blind", "nmf_supervised",
                   "unprocessed", "waveform"}
OF_A_SAVED_MODEL = {"pretrained", "pretrained_soft_masks", "saved", "complex_masks", "band_split_masks"}
METHODS = {"sce": {"embedding_size": 3, "seed": 0}, "sce_article": {"embedding_size": 3, "seed": 0},
           "deep_clustering": {"embedding_size": 3}, "attractor": {"embedding_size": 3},
           "attractor_fixed": {"embedding_size": 3}, "pit_blstm": {}, "pit_cnn": {}, "pit_temporal_cnn": {},
           "recurrent_mask": {}}
FRONT_END = FrontEnd(frame_length=32, hop_length=16)  # F = 17
NETWORKS = {
    "blstm": partial(blstm, n_layers=2, units=4, dropout=0.1),
    "residual": partial(residual_blstm, n_layers=2, units=4, width=6, bottleneck_rank=5, training_dtype="fastest",
                        dropout=0.1),
    "band_split": partial(band_split, band_bins=4, width=5, hidden_width=6, dilations=[1, 2], bottleneck_rank=5),
}


def trained(method, network="blstm", n_speakers=2):
    """Return the model of a method; its weights are random, those too that start at zero or at one."""
    keras.utils.set_random_seed(1)
    setup = Setup(FRONT_END, NETWORKS[network], n_speakers, tuple("ABC"[:n_speakers]))
    model = with_yaml_defaults(f"method/{method}", **METHODS.get(method, {}))(setup).model
    for number, weights in enumerate(model.network.weights):
        noise = np.random.default_rng(number).standard_normal(weights.shape)
        weights.assign(weights + (0.3 * noise if weights.ndim == 1 else 0.0))
    return model


def features(model, n_frames, seed=7):
    magnitudes = np.random.default_rng(seed).random((2, n_frames, 17)).astype(np.float32)
    return magnitudes, keras.ops.convert_to_numpy(model.front_end(magnitudes))


@pytest.fixture(autouse=True)
def few_lengths(monkeypatch):
    """Compare at two lengths; Keras takes a second for each new length."""
    monkeypatch.setattr(module, "COMPARED", ((1, 1), (2, 37)))


@pytest.fixture
def onnxruntime():
    pytest.importorskip("onnx", reason=REASON)
    return pytest.importorskip("onnxruntime", reason=REASON)


def test_the_methods_here_are_all_methods():
    assert {file.stem for file in (CONFIG_PATH / "method").glob("*.yaml")} == (
        set(METHODS) | WITHOUT_NETWORK | OF_A_SAVED_MODEL)


def with_last_layer(model, layer):
    """Return a mask model whose network has a further layer."""
    network = keras.Model(model.network.input, layer(model.network.output))
    return type(model)(model.front_end, network, model.n_speakers, model.mask, model.segment_frames)


def test_an_unknown_layer_is_exported_as_saved_model_only(tmp_path, onnxruntime):
    model = with_last_layer(trained("pit_cnn"), keras.layers.LayerNormalization(name="layer_norm"))  # has no ONNX form
    with pytest.raises(UserError, match="of the kind LayerNormalization, which cannot be exported to ONNX; export to "
                                        "saved_model"):
        export(model, tmp_path / "net.onnx", "onnx")
    assert export(model, tmp_path / "net", "saved_model") < 1e-5 and [*tmp_path.iterdir()] == [tmp_path / "net"]


def test_a_dilated_convolution_without_padding_is_not_exported(tmp_path, onnxruntime):
    model = with_last_layer(trained("pit_cnn"), keras.layers.Conv2D(2, 3, dilation_rate=2, name="dilated"))
    with pytest.raises(UserError, match="the layer dilated has dilations with strides, or with another padding"):
        export(model, tmp_path / "net.onnx", "onnx")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "network", "n_speakers"), [
    *((method, "blstm", 2) for method in METHODS), ("sce", "residual", 2), ("recurrent_mask", "residual", 3),
    ("sce", "band_split", 2),
])
def test_onnx_computes_what_keras_computes(method, network, n_speakers, tmp_path, onnxruntime):
    model = trained(method, network, n_speakers)
    assert export(model, tmp_path / "net.onnx", "onnx") < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    magnitudes, inputs = features(model, 51)
    expected = (model.embeddings if isinstance(model, EmbeddingModel) else model.estimate)(magnitudes)
    found = session.run(None, {"features": inputs})[0]
    assert session.get_outputs()[0].name == ("embeddings" if isinstance(model, EmbeddingModel) else "masks")
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(expected))
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    assert json.loads(session.get_modelmeta().custom_metadata_map["lab41_sce"]) == settings(model)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sce", "pit_cnn"])
def test_a_saved_model_computes_what_keras_computes(method, tmp_path):
    model = trained(method)
    assert export(model, tmp_path / "net", "saved_model") < 1e-5
    inputs = features(model, 51)[1]
    expected = network_to_export(model)(inputs)
    loaded = tf.saved_model.load(tmp_path / "net")
    np.testing.assert_allclose(loaded.serve(inputs), expected, atol=1e-5 * np.ptp(expected))
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    assert json.loads((tmp_path / "net/assets.extra/lab41_sce.json").read_text()) == settings(model)


def test_the_settings_are_all_that_separation_needs_besides_the_network():
    model = trained("attractor_fixed")
    model.fixed_attractors.assign(np.arange(6.0).reshape(2, 3))
    found = settings(model)
    assert found["model"] == "AttractorModel" and found["fixed_attractors"] == [[0, 1, 2], [3, 4, 5]]
    assert FrontEnd(**found["front_end"]).get_config()["frame_length"] == 32
    again = type(model)(FRONT_END, model.network, **{name: value for name, value in found.items() if name not in
                                                     ("model", "front_end", "fixed_attractors")})
    assert settings(again) | {"fixed_attractors": found["fixed_attractors"]} == found


def test_a_network_that_onnxruntime_cannot_run_is_refused(tmp_path, monkeypatch, onnxruntime):
    monkeypatch.setattr(module, "_write_onnx", lambda model, part, path: path.write_bytes(b"no network"))
    with pytest.raises(UserError, match="onnxruntime cannot run the exported network .*nothing was written"):
        export(trained("sce"), tmp_path / "net.onnx", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "name"), [("onnx", "net.onnx"), ("saved_model", "net")])
def test_a_network_that_is_exported_wrongly_is_refused(format, name, tmp_path, monkeypatch, request):
    if format == "onnx":
        request.getfixturevalue("onnxruntime")
    model, write = trained("sce"), f"_write_{format}"
    right = getattr(module, write)

    def write_wrongly(model, part, path):
        """Write a network with the backward direction reversed in one weight."""
        kernel = model.network.get_layer("blstm_1").backward_layer.cell.kernel
        value = kernel.numpy()
        kernel.assign(value[::-1])
        right(model, part, path)
        kernel.assign(value)

    monkeypatch.setattr(module, write, write_wrongly)
    with pytest.raises(UserError, match=r"differ from those of the Keras model by .* of their range.*nothing was"):
        export(model, tmp_path / name, format)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_comparison_notices_small_errors_missing_numbers_and_wrong_shapes():
    model = trained("sce")
    right = network_to_export(model).predict_on_batch
    assert module.largest_difference(model, right) < 1e-6

    def with_one_missing_number(outputs):
        outputs[0, 0, 0, 0] = np.nan
        return outputs

    for run, message in ((lambda outputs: outputs * (1 + 5e-4), "differ from those of the Keras model by"),
                         (lambda outputs: outputs[..., ::-1], "differ from those of the Keras model by"),
                         (with_one_missing_number, "by nan of their range"),
                         (lambda outputs: outputs[:, :-1], "returns the shape")):
        with pytest.raises(UserError, match=message):
            module.largest_difference(model, lambda features, run=run: run(right(features)))


def test_a_model_with_values_that_are_not_finite_is_refused():
    model = trained("sce")
    model.network.weights[0].assign(np.full(model.network.weights[0].shape, np.nan))
    with pytest.raises(UserError, match="the Keras model returns values that are not finite"):
        module.largest_difference(model, lambda features: features)


def test_unknown_layers_and_activations_are_refused(onnxruntime, tmp_path):
    inputs = keras.Input((None, 17))
    outputs = keras.layers.Reshape((-1, 17, 2))(keras.layers.Dense(34, "gelu", name="last")(inputs))
    hidden = keras.layers.UnitNormalization(name="odd")(inputs)
    odd = keras.layers.Reshape((-1, 17, 2))(keras.layers.Dense(34)(hidden))
    taken = keras.layers.Reshape((-1, 17, 1))(keras.layers.Dense(17, name="embeddings")(inputs))
    for network, message in ((outputs, "last has the activation gelu"), (odd, "odd is of the kind UnitNormalization"),
                             (taken, "cannot be written as ONNX .*'embeddings' has been used")):
        with pytest.raises(UserError, match=f"{message}.*[Ee]xport to saved_model"):
            export(EmbeddingModel(FRONT_END, keras.Model(inputs, network)), tmp_path / "net.onnx", "onnx")
        assert not list(tmp_path.iterdir())


def test_a_forked_network_is_exported(onnxruntime, tmp_path):
    inputs = keras.Input((None, 17))
    first, second = keras.layers.Dense(17, name="first")(inputs), keras.layers.Dense(17, name="second")(inputs)
    joined = keras.layers.Concatenate()([second, keras.layers.Add()([first, second])])
    outputs = keras.layers.Reshape((-1, 17, 2))(keras.layers.Dense(34)(joined))
    assert export(EmbeddingModel(FRONT_END, keras.Model(inputs, outputs)), tmp_path / "net.onnx", "onnx") < 1e-5


def test_nothing_is_replaced_and_leftovers_are_removed(tmp_path):
    model = trained("sce")
    for leftover in (tmp_path / ".net.part", tmp_path / ".net.part/variables"):
        leftover.mkdir()
    export(model, tmp_path / "net", "saved_model")
    with pytest.raises(UserError, match="net exists; delete it, or choose another name"):
        export(model, tmp_path / "net", "saved_model")
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    with pytest.raises(UserError, match="exists; delete it"):
        export(model, "", "saved_model")
    with pytest.raises(UserError, match="absent cannot be written to"):
        export(model, tmp_path / "absent" / "net", "saved_model")
    with pytest.raises(UserError, match="the format tflite is unknown; choose from onnx, saved_model"):
        export(model, tmp_path / "other", "tflite")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   tf.errors.ResourceExhaustedError(None, None, "/x/part; No space left on device")])
def test_a_full_disk_leaves_nothing(error, tmp_path, monkeypatch):
    def write_half(network, folder, **options):
        Path(folder).mkdir()
        (Path(folder) / "saved_model.pb").write_bytes(b"half")
        raise error

    monkeypatch.setattr(keras.Model, "export", write_half)
    with pytest.raises(UserError, match=r"net could not be written \(No space left on device\); free some space"):
        export(trained("sce"), tmp_path / "net", "saved_model")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(UserError, match=r"needs onnxruntime, .*pip install onnx onnxruntime"):
        module.require_packages("onnx")
    module.require_packages("saved_model")


def test_the_command_names_its_file_after_the_model(tmp_path, monkeypatch, capsys, onnxruntime):
    monkeypatch.chdir(tmp_path)
    trained("sce").save("voices.v2.keras")
    assert command.main(["voices.v2.keras", "--format", "onnx"]) == 0
    assert capsys.readouterr().out.startswith("voices.v2.onnx: differs from the Keras model by at most ")
    assert {path.name for path in tmp_path.iterdir()} == {"voices.v2.keras", "voices.v2.onnx"}
    assert command.main(["voices.v2.keras", "--format", "onnx"]) == 1
    assert "voices.v2.onnx exists" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(WITHOUT_NETWORK))
def test_a_run_of_a_system_without_a_network_is_refused(name, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(yaml.dump({"method": {"name": name}}))
    assert command.main([str(tmp_path), "--format", "saved_model", "--out", str(tmp_path / "net")]) == 1
    assert f"error: there is no model at {tmp_path / 'systems' / name / 'model.keras'}" in capsys.readouterr().err
    assert not (tmp_path / "net").exists()


def test_the_export_of_keras_is_right(tmp_path, onnxruntime):
    """Keras exports through tf2onnx, which ignores the place of a write to an array."""
    pytest.importorskip("tf2onnx", reason=REASON)
    inputs = keras.Input((None, 7))
    lstm = keras.layers.LSTM(5, return_sequences=True)
    network = keras.Model(inputs, BidirectionalLSTM(lstm, training_dtype="float32")(inputs))
    network.export(tmp_path / "net.onnx", format="onnx", verbose=False,
                   input_signature=[keras.InputSpec(dtype="float32", shape=(None, None, 7))])
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    sequences = np.random.default_rng(0).standard_normal((3, 20, 7)).astype(np.float32)
    found = session.run(None, {session.get_inputs()[0].name: sequences})[0]
    np.testing.assert_allclose(found, network(sequences), atol=1e-5)


@pytest.mark.parametrize("method", ["sce", "attractor", "recurrent_mask"])
def test_keras_does_not_export_a_transform_that_no_runtime_loads(method, tmp_path):
    with pytest.raises(UserError, match="lab41-sce export MODEL --format onnx"):
        trained(method).export(tmp_path / "net.onnx", format="onnx")
    assert not list(tmp_path.iterdir())


def test_keras_exports_waveforms_to_embeddings_rightly_and_no_segments(tmp_path):
    model, waveforms = trained("sce"), np.random.default_rng(0).standard_normal((2, 700)).astype(np.float32)
    signature = [keras.InputSpec(dtype="float32", shape=(None, None))]
    model.export(tmp_path / "net", verbose=False, input_signature=signature)
    loaded = tf.saved_model.load(tmp_path / "net")
    np.testing.assert_allclose(loaded.serve(waveforms), model(waveforms), atol=1e-5)
    with pytest.raises(UserError, match="cuts waveforms into segments .* lab41-sce export MODEL --format saved_model"):
        trained("pit_cnn").export(tmp_path / "other")
