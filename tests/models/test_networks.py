"""Shapes and parameter counts of the networks, counted here by hand."""

import gc
import itertools
import weakref

import keras
import numpy as np
import pytest
from conftest import blstm

from lab41_sce.models.lstm import BidirectionalLSTM
from lab41_sce.models.networks import ResidualBLSTM, residual_blstm, segment_cnn, temporal_cnn


@pytest.mark.parametrize(("n_layers", "dropout"), [(1, 0.0), (2, 0.5)])
def test_blstm_has_the_size_of_its_layers_and_takes_any_length(n_layers, dropout):
    n_bins, n_outputs, units = 9, 5, 4
    network = blstm(n_bins, n_outputs, n_layers=n_layers, units=units, dropout=dropout)
    count, width = 0, n_bins
    for _ in range(n_layers):
        count += 2 * 4 * units * (width + units + 1)  # directions, gates
        width = 2 * units
    assert network.count_params() == count + (width + 1) * n_bins * n_outputs
    for n_frames in (1, 7):
        assert network(np.zeros((3, n_frames, n_bins), np.float32)).shape == (3, n_frames, n_bins, n_outputs)


def test_residual_blstm_has_the_size_of_its_layers_and_takes_any_length(tmp_path):
    n_bins, n_outputs, units, width, rank = 9, 5, 4, 6, 3
    network = residual_blstm(n_bins, n_outputs, n_layers=2, units=units, width=width, bottleneck_rank=rank, dropout=0.0,
                             training_dtype="bfloat16")
    layer = width + 2 * 4 * units * (width + units + 1) + (2 * units + 1) * width  # norm, both directions, dense
    assert network.count_params() == ((n_bins + 1) * width + 2 * layer + width + width * rank
                                      + (rank + 1) * n_bins * n_outputs)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert again.get_layer("blstm_2").lstm.training_dtype == "bfloat16"
    for n_frames in (1, 7):
        features = np.random.default_rng(0).random((3, n_frames, n_bins)).astype(np.float32)
        outputs = network(features)
        assert outputs.shape == (3, n_frames, n_bins, n_outputs)
        np.testing.assert_array_equal(again(features), outputs)


def test_a_residual_layer_with_zero_output_returns_its_input():
    layer = ResidualBLSTM(4, training_dtype="float32", dropout=0.0)
    frames = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    assert np.abs(layer(frames) - frames).max() > 0.01
    layer.dense.set_weights([0 * weight for weight in layer.dense.get_weights()])
    np.testing.assert_array_equal(layer(frames), frames)


def test_dropout_removes_what_a_layer_adds_in_training_only():
    layer = ResidualBLSTM(4, training_dtype="float32", dropout=0.5)
    frames = np.random.default_rng(0).standard_normal((8, 5, 60)).astype(np.float32)
    unchanged = [float(np.mean(layer(frames, training=training) == frames)) for training in (False, True)]
    assert unchanged[0] == 0 and 0.4 < unchanged[1] < 0.6
    assert ResidualBLSTM.from_config(layer.get_config()).dropout == 0.5


def cnn_size(n_frames, n_bins, n_outputs, convolutions, filters, dense_units):
    """Count the parameters of the CNN layer by layer."""
    count, channels, shape = 0, 1, [n_frames, n_bins]
    for repeats, width in zip(convolutions, filters, strict=True):
        shape = [-(-size // 2) for size in shape]  # the first one halves, rounded up
        for _ in range(repeats):
            count += (3 * 3 * channels + 1) * width
            channels = width
    pooled = channels * (shape[0] // 3) * (shape[1] // 3)
    return count + (pooled + 1) * dense_units + (dense_units + 1) * n_frames * n_bins * n_outputs


@pytest.mark.parametrize("convolutions", [(2, 1, 1), (5, 3, 3)])
def test_segment_cnn_has_the_size_of_its_layers(convolutions):
    network = segment_cnn(257, 2, segment_frames=51, convolutions=convolutions, filters=(64, 128, 256),
                          dense_units=1024)
    assert network.input_shape == (None, 51, 257) and network.output_shape == (None, 51, 257, 2)
    assert network.count_params() == cnn_size(51, 257, 2, convolutions, (64, 128, 256), 1024)


@pytest.mark.parametrize(("n_frames", "n_bins"), [(17, 17), (18, 129), (51, 257)])
def test_segment_cnn_of_any_size_puts_every_output_in_its_place(n_frames, n_bins):
    options = {"convolutions": (1, 2, 1), "filters": (2, 3, 4), "dense_units": 5}
    network = segment_cnn(n_bins, 3, segment_frames=n_frames, **options)
    assert network.count_params() == cnn_size(n_frames, n_bins, 3, **options)
    kernel, _ = network.get_layer("dense").get_weights()
    bias = np.arange(n_frames * n_bins * 3, dtype=np.float32)
    network.get_layer("dense").set_weights([0 * kernel, bias])
    outputs = network.predict_on_batch(np.ones((2, n_frames, n_bins), np.float32))
    np.testing.assert_array_equal(outputs[1], bias.reshape(n_frames, n_bins, 3))


@pytest.mark.parametrize(("n_frames", "n_bins"), [(16, 257), (3, 257), (51, 16)])
def test_segment_cnn_needs_something_to_pool(n_frames, n_bins):
    with pytest.raises(ValueError, match=f"{n_frames} frames and {n_bins} frequency bins; the CNN needs at least 17"):
        segment_cnn(n_bins, 2, segment_frames=n_frames, convolutions=(1, 1, 1), filters=(2, 2, 2), dense_units=2)


def test_segment_cnn_sees_the_whole_segment():
    """A change in any corner of the segment changes the outputs in every other."""
    network = segment_cnn(257, 2, segment_frames=51, convolutions=(2, 1, 1), filters=(8, 8, 8), dense_units=8)
    features = np.random.default_rng(0).random((1, 51, 257)).astype(np.float32)
    outputs = network.predict_on_batch(features)
    for frames, bins in itertools.product((slice(0, 4), slice(47, 51)), (slice(0, 4), slice(253, 257))):
        changed = features.copy()
        changed[0, frames, bins] += 10.0
        difference = np.abs(network.predict_on_batch(changed) - outputs)[0].max(axis=-1)
        assert min(difference[0, 0], difference[0, -1], difference[-1, 0], difference[-1, -1]) > 0


@pytest.mark.parametrize("rank", [None, 3])
def test_temporal_cnn_has_the_size_of_its_layers_and_takes_any_length(rank, tmp_path):
    n_bins, n_outputs, width = 9, 2, 6
    network = temporal_cnn(n_bins, n_outputs, width=width, dilations=(1, 2), bottleneck_rank=rank)
    layer = width + (3 * width + 1) * width + (width + 1) * width  # norm, convolution, dense
    last = (width + 1) * n_bins * n_outputs if rank is None else width * rank + (rank + 1) * n_bins * n_outputs
    assert network.count_params() == (n_bins + 1) * width + 2 * layer + width + last
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    for n_frames in (1, 7):
        features = np.random.default_rng(0).random((3, n_frames, n_bins)).astype(np.float32)
        assert network(features).shape == (3, n_frames, n_bins, n_outputs)
        np.testing.assert_array_equal(again(features), network(features))


def test_an_output_of_temporal_cnn_depends_on_the_frames_that_its_dilations_cover():
    network = temporal_cnn(5, 2, width=8, dilations=(1, 4), bottleneck_rank=None)
    features = np.random.default_rng(0).random((1, 30, 5)).astype(np.float32)
    changed = features.copy()
    changed[0, 15] += 10.0
    difference = np.abs(network(changed) - network(features))[0].max(axis=(1, 2))
    assert difference[10] > 0 and difference[15] > 0 and difference[20] > 0
    np.testing.assert_allclose(np.delete(difference, range(10, 21)), 0.0, atol=1e-6)


def test_the_template_of_the_two_directions_stays_alive():
    template = keras.layers.LSTM(2, return_sequences=True)
    alive, layer = weakref.ref(template), BidirectionalLSTM(template, training_dtype="float32")
    del template
    gc.collect()
    assert alive() is not None and len(layer.forward_layer.weights) == len(layer.backward_layer.weights)


def test_layers_of_older_files_load_with_the_values_that_they_had():
    """Files from before an argument existed lack it."""
    layer = ResidualBLSTM(4, training_dtype="bfloat16", dropout=0.5)
    old = {name: value for name, value in layer.get_config().items() if name not in ("training_dtype", "dropout")}
    loaded = ResidualBLSTM.from_config(old)
    assert (loaded.training_dtype, loaded.dropout) == ("float32", 0.0)
    old = {name: value for name, value in layer.lstm.get_config().items() if name != "training_dtype"}
    assert BidirectionalLSTM.from_config(old).training_dtype == "float32"
    assert BidirectionalLSTM.from_config(layer.lstm.get_config()).training_dtype == "bfloat16"


@pytest.mark.slow
def test_a_deep_network_loads_every_time(tmp_path):
    """Keras recognises shared objects by their address while it loads: layers that are freed meanwhile mislead it."""
    network = residual_blstm(n_bins=3, n_outputs=1, n_layers=40, units=1, width=2, bottleneck_rank=None, dropout=0.0,
                             training_dtype="float32")
    network.save(tmp_path / "network.keras")
    for _ in range(50):
        loaded = keras.saving.load_model(tmp_path / "network.keras")
        assert not any(layer.lstm.forward_layer is other.lstm.forward_layer
                       for layer, other in itertools.pairwise(loaded.layers[2:42]))
