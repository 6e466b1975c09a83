"""Adam for tables of many rows: small ones as ever, of large ones the used rows only."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lab41_sce.methods.sce import SpeakerVectors
from lab41_sce.training import optimizer
from lab41_sce.training.optimizer import RowAdam


def train(make, n_rows, batches, dense=5):
    """Make updates of a table and a matrix; a batch is the rows that are looked up."""
    keras.utils.set_random_seed(0)
    layer = SpeakerVectors(n_rows, 3, unit_norm=False, speaker_lr_multiplier=1.0)
    matrix = keras.Variable(np.linspace(-1, 1, 3 * dense).reshape(3, dense), dtype="float32")
    first, adam = layer.stored.numpy(), make()
    weights = [layer.stored, matrix]
    adam.build(weights)
    for rows in batches:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(np.array(rows)) @ tf.convert_to_tensor(matrix)))
        adam.apply(tape.gradient(loss, weights), weights)
    return first, layer.stored.numpy(), matrix.numpy()


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_a_small_table_is_moved_as_by_adam(clip_norm):
    batches = [[0, 2, 2], [1, 1, 1], [4, 0, 3]]
    ours = train(lambda: RowAdam(0.1, 0.99, clip_norm), 6, batches)
    # Without clipping, Keras squares the gradients of a row that is used twice before it adds them up.
    theirs = train(lambda: keras.optimizers.Adam(0.1, beta_2=0.99, global_clipnorm=clip_norm or 1e9), 6, batches)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert np.abs(ours[1] - ours[0]).min(axis=1)[:5].min() > 0.01


def test_of_a_large_table_only_the_used_rows_move(monkeypatch):
    batches = [[7, 2, 2], [7, 2, 7], [2, 7, 7]]
    monkeypatch.setattr(optimizer, "DENSE_ROWS", 8)
    before, after, matrix = train(lambda: RowAdam(0.1, 0.99, 0.1), 9, batches)
    assert set(np.flatnonzero((before != after).any(axis=1))) == {2, 7}
    monkeypatch.setattr(optimizer, "DENSE_ROWS", 9)  # every batch uses both rows, so Adam moves them alike
    _, dense, dense_matrix = train(lambda: RowAdam(0.1, 0.99, 0.1), 9, batches)
    np.testing.assert_allclose(after, dense, atol=1e-6)
    np.testing.assert_allclose(matrix, dense_matrix, atol=1e-6)


def test_a_row_that_is_not_used_waits(monkeypatch):
    monkeypatch.setattr(optimizer, "DENSE_ROWS", 0)
    _, once, _ = train(lambda: RowAdam(0.1), 4, [[1]])
    _, waited, _ = train(lambda: RowAdam(0.1), 4, [[1], [2], [2]])
    np.testing.assert_array_equal(once[1], waited[1])
