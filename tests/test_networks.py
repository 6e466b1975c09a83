"""Shapes and parameter counts of the networks, counted here by hand."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lab41_sce.networks import ConvolutionBlock, blstm, segment_cnn, tcn


@pytest.mark.parametrize(("n_layers", "dropout"), [(1, 0.0), (2, 0.5)])
def test_blstm_has_the_size_of_its_layers_and_takes_any_length(n_layers, dropout):
    n_bins, n_outputs, units = 9, 5, 4
    network = blstm(n_bins, n_outputs, n_layers, units, dropout)
    count, width = 0, n_bins
    for _ in range(n_layers):
        count += 2 * 4 * units * (width + units + 1)  # directions, gates
        width = 2 * units
    assert network.count_params() == count + (width + 1) * n_bins * n_outputs
    for n_frames in (1, 7):
        assert network(np.zeros((3, n_frames, n_bins), np.float32)).shape == (3, n_frames, n_bins, n_outputs)


@pytest.mark.parametrize(("n_layers", "rank"), [(1, None), (3, 2)])
def test_tcn_has_the_size_of_its_layers_and_takes_any_length(n_layers, rank):
    n_bins, n_outputs, units = 9, 5, 4
    network = tcn(n_bins, n_outputs, n_layers, units, (1, 3), rank)
    count = (n_bins + 1) * units + n_layers * (units + 3 * units * units + units) + units  # scales of norms, too
    outputs = n_bins * n_outputs
    count += (units + 1) * outputs if rank is None else units * rank + (rank + 1) * outputs
    assert network.count_params() == count
    for n_frames in (1, 7):
        assert network(np.zeros((3, n_frames, n_bins), np.float32)).shape == (3, n_frames, n_bins, n_outputs)


@pytest.mark.parametrize("n_frames", [1, 4, 11])
@pytest.mark.parametrize("dilation", [1, 2, 5])
def test_a_block_adds_what_frames_around_say(n_frames, dilation):
    """By hand; and a model that is saved and loaded says the same."""
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((2, n_frames, 3)).astype(np.float32)
    inputs = keras.Input((None, 3))
    block = ConvolutionBlock(dilation)
    model = keras.Model(inputs, block(inputs))
    block.set_weights([rng.standard_normal(weight.shape) for weight in block.get_weights()])
    weights = {weight.name: np.asarray(weight) for weight in block.weights}
    normed = frames / np.sqrt((frames**2).mean(axis=-1, keepdims=True)) * weights["scale"]
    padded = np.pad(normed, [(0, 0), (dilation, dilation), (0, 0)])
    parts = [padded[:, place * dilation : place * dilation + n_frames] @ weights["kernel"][place] for place in range(3)]
    expected = frames + np.maximum(sum(parts) + weights["bias"], 0)
    np.testing.assert_allclose(model.predict_on_batch(frames), expected, rtol=1e-4, atol=1e-4)
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict_on_batch(frames), model.predict_on_batch(frames))


def test_a_block_learns_as_with_keras_convolution():
    """Gradients through TensorFlow's conv1d with frames apart are those through Keras's."""
    rng = np.random.default_rng(0)
    frames = tf.constant(rng.standard_normal((2, 9, 3)), tf.float32)
    block = ConvolutionBlock(2)
    block(frames)
    theirs = keras.layers.Conv1D(3, 3, padding="same", dilation_rate=2, activation="relu")
    theirs.build((None, None, 3))
    theirs.set_weights([np.asarray(block.kernel), np.asarray(block.bias)])
    gradients = []
    for call, weights in ((block, [block.kernel, block.bias]),
                          (lambda x: x + theirs(block.norm(x)), [theirs.kernel, theirs.bias])):
        with tf.GradientTape() as tape:
            tape.watch(frames)
            loss = tf.reduce_sum(tf.sin(call(frames)))
        gradients.append(tape.gradient(loss, [frames, *(weight.value for weight in weights)]))
    for ours, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


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
    network = segment_cnn(257, 2, convolutions=convolutions)
    assert network.input_shape == (None, 51, 257) and network.output_shape == (None, 51, 257, 2)
    assert network.count_params() == cnn_size(51, 257, 2, convolutions, (64, 128, 256), 1024)


@pytest.mark.parametrize(("n_frames", "n_bins"), [(17, 17), (18, 129), (51, 257)])
def test_segment_cnn_of_any_size_puts_every_output_in_its_place(n_frames, n_bins):
    options = {"convolutions": (1, 2, 1), "filters": (2, 3, 4), "dense_units": 5}
    network = segment_cnn(n_bins, 3, n_frames, **options)
    assert network.count_params() == cnn_size(n_frames, n_bins, 3, **options)
    kernel, _ = network.get_layer("dense").get_weights()
    bias = np.arange(n_frames * n_bins * 3, dtype=np.float32)
    network.get_layer("dense").set_weights([0 * kernel, bias])
    outputs = network.predict_on_batch(np.ones((2, n_frames, n_bins), np.float32))
    np.testing.assert_array_equal(outputs[1], bias.reshape(n_frames, n_bins, 3))


def test_segment_cnn_sees_the_whole_segment():
    """A change in any corner of the segment changes the outputs in every other."""
    network = segment_cnn(257, 2, filters=(8, 8, 8), dense_units=8)
    features = np.random.default_rng(0).random((1, 51, 257)).astype(np.float32)
    outputs = network.predict_on_batch(features)
    for frames, bins in itertools.product((slice(0, 4), slice(47, 51)), (slice(0, 4), slice(253, 257))):
        changed = features.copy()
        changed[0, frames, bins] += 10.0
        difference = np.abs(network.predict_on_batch(changed) - outputs)[0].max(axis=-1)
        assert min(difference[0, 0], difference[0, -1], difference[-1, 0], difference[-1, -1]) > 0
