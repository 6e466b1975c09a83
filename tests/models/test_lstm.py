"""`BidirectionalLSTM` has the outputs, gradients and weights of Keras's own layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lab41_sce.models.lstm import BidirectionalLSTM, fastest_dtype


def layer(kind, units=5):
    options = {"training_dtype": "float32"} if kind is BidirectionalLSTM else {}
    return kind(keras.layers.LSTM(units, return_sequences=True, bias_initializer="random_normal"), **options)


@pytest.fixture
def pair():
    """Keras's layer and ours, with the same weights."""
    theirs, ours = layer(keras.layers.Bidirectional), layer(BidirectionalLSTM)
    theirs.build((None, None, 7))
    ours.build((None, None, 7))
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def outputs_and_gradients(network, sequences, training=False):
    sequences = tf.constant(sequences)
    with tf.GradientTape() as tape:
        tape.watch(sequences)
        outputs = network(sequences, training=training)
        loss = tf.reduce_sum(tf.sin(3.0 * outputs))
    return outputs, tape.gradient(loss, [sequences, *network.trainable_variables])


@pytest.mark.parametrize("n_frames", [1, 2, 30])
@pytest.mark.parametrize(("batch", "training"), [(1, False), (3, False), (3, True)])
def test_outputs_and_gradients_are_those_of_keras(pair, batch, n_frames, training):
    sequences = np.random.default_rng(0).standard_normal((batch, n_frames, 7)).astype(np.float32)
    (expected, expected_gradients), (found, found_gradients) = (outputs_and_gradients(layer, sequences, training)
                                                               for layer in pair)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(found_gradients) == len(expected_gradients) == 7
    for ours, theirs in zip(found_gradients, expected_gradients, strict=True):
        assert n_frames == 1 or np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_bfloat16_is_for_training_only_and_about_the_same(pair):
    sequences = np.random.default_rng(0).standard_normal((3, 30, 7)).astype(np.float32)
    theirs, ours = pair
    ours.training_dtype = "bfloat16"
    np.testing.assert_allclose(ours(sequences), theirs(sequences), atol=1e-5)
    expected, expected_gradients = outputs_and_gradients(theirs, sequences, training=True)
    found, found_gradients = outputs_and_gradients(ours, sequences, training=True)
    assert 1e-4 < np.abs(found - expected).max() < 0.02  # eight bits of a number
    for ours, theirs in zip(found_gradients, expected_gradients, strict=True):
        assert ours.dtype == tf.float32
        assert np.linalg.norm(ours - theirs) < 0.05 * np.linalg.norm(theirs)


def test_the_fastest_dtype_is_measured(pair):
    sequences = np.random.default_rng(0).standard_normal((3, 5, 7)).astype(np.float32)
    fastest, same = pair[1], BidirectionalLSTM(keras.layers.LSTM(5, return_sequences=True),
                                             training_dtype=fastest_dtype())
    same.build((None, None, 7))
    same.set_weights(fastest.get_weights())
    fastest.training_dtype = "fastest"
    np.testing.assert_array_equal(tf.function(fastest)(sequences, training=True), same(sequences, training=True))


def test_known_shapes_stay_known(pair):
    shapes = []
    tf.function(lambda x: shapes.append(pair[1](x, training=True).shape))(tf.zeros((3, 5, 7)))
    assert shapes == [(3, 5, 10)]


def test_other_dtypes_are_refused():
    with pytest.raises(ValueError, match="'float16' is not possible; give float32, bfloat16 or fastest"):
        BidirectionalLSTM(keras.layers.LSTM(2, return_sequences=True), training_dtype="float16")


@pytest.mark.parametrize("options", [
    {"activation": "relu"}, {"recurrent_activation": "hard_sigmoid"}, {"use_bias": False}, {"dropout": 0.5},
    {"recurrent_dropout": 0.5}, {"return_sequences": False}, {"return_state": True}, {"stateful": True},
    {"activity_regularizer": "l2"}])
def test_an_lstm_that_it_would_not_compute_is_refused(options):
    [name] = options
    with pytest.raises(ValueError, match=f"cannot compute {name}=.*; give .*, or use keras.layers.Bidirectional"):
        BidirectionalLSTM(keras.layers.LSTM(2, **{"return_sequences": True} | options), training_dtype="float32")


@pytest.mark.parametrize(("options", "name"), [
    ({"merge_mode": "sum"}, "merge_mode='sum'"), ({"weights": [np.zeros(3)]}, "weights="),
    ({"backward_layer": {"units": 3}}, "units of the backward layer=3"),
    ({"backward_layer": {"units": 2, "activation": "relu"}}, "activation='relu'")])
def test_options_that_it_would_ignore_are_refused(options, name):
    if "backward_layer" in options:
        given = {"return_sequences": True, "go_backwards": True} | options["backward_layer"]
        options = {"backward_layer": keras.layers.LSTM(**given)}
    with pytest.raises(ValueError, match=f"cannot compute {name}"):
        BidirectionalLSTM(keras.layers.LSTM(2, return_sequences=True), training_dtype="float32", **options)


def test_other_layers_than_lstm_are_refused():
    with pytest.raises(ValueError, match="cannot wrap GRU; give a keras.layers.LSTM"):
        BidirectionalLSTM(keras.layers.GRU(2, return_sequences=True), training_dtype="float32")


def test_a_direction_that_computes_in_half_precision_runs_in_keras():
    lstm = keras.layers.LSTM(5, return_sequences=True, dtype="mixed_bfloat16")
    theirs, ours = keras.layers.Bidirectional(lstm), BidirectionalLSTM(lstm, training_dtype="float32")
    sequences = np.random.default_rng(0).standard_normal((2, 6, 7)).astype(np.float32)
    theirs.build((None, None, 7))
    ours.build((None, None, 7))
    ours.set_weights(theirs.get_weights())
    np.testing.assert_array_equal(ours(sequences), theirs(sequences))


@pytest.mark.slow
def test_a_network_of_it_is_trained_saved_and_loaded(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, 3))
    network = keras.Model(inputs, keras.layers.Dense(1)(layer(BidirectionalLSTM)(inputs)))
    network.compile(keras.optimizers.Adam(0.02), "mse")
    sequences = np.random.default_rng(0).standard_normal((16, 12, 3)).astype(np.float32)
    targets = np.cumsum(sequences[..., :1], axis=1) - sequences[:, ::-1, 1:2].cumsum(axis=1)[:, ::-1]  # both directions
    history = network.fit(sequences, targets, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.2 * history[0]
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(again.predict_on_batch(sequences), network.predict_on_batch(sequences))


def test_masks_run_the_loop_of_keras(pair):
    sequences = np.random.default_rng(0).standard_normal((2, 6, 7)).astype(np.float32)
    mask = tf.constant([[True] * 6, [True] * 4 + [False] * 2])
    theirs, ours = (layer(sequences, mask=mask) for layer in pair)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.abs(ours - pair[1](sequences)).max() > 1e-3
