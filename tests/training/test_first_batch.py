"""Mistakes of a method of one's own are found before its training."""

import keras
import numpy as np
import pytest
from conftest import blstm
from keras import ops

from lab41_sce.errors import UserError
from lab41_sce.methods.base import Method
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.training.first_batch import try_method

BATCH = {"sources": np.ones((1, 2, 4000), np.float32), "speaker_ids": np.zeros((1, 2), np.int32)}


@keras.saving.register_keras_serializable(package="tests")
class Registered(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


class Plain(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


class WithArgument(Registered):
    def __init__(self, function):
        super().__init__()
        self.function = function


def method(loss, layer=None):
    """Make a method with a loss of its model, and a layer on top of its network."""

    class Mine(Method):
        def call(self, batch):
            return loss(self.model(ops.sum(batch["sources"], axis=1)))

    front_end = FrontEnd()
    network = blstm(front_end.n_bins, n_outputs=3, n_layers=1, units=2)
    if layer is not None:
        network = keras.Model(network.inputs, layer(network.outputs[0]))
    return Mine(EmbeddingModel(front_end, network))


@pytest.mark.parametrize("layer", [None, Registered()])
def test_a_method_that_works_is_built(layer):
    tried = method(ops.mean, layer)
    try_method(tried, BATCH, "mine")
    assert tried.model.built and tried.trainable_variables


@pytest.mark.parametrize(("loss", "message"), [
    (lambda embeddings: {}["x"], r"the loss of mine cannot be computed \(KeyError: 'x', in test_first_batch.py, line"),
    (lambda embeddings: ops.matmul(embeddings, np.ones((5, 1), np.float32)),
     r"cannot be computed \(InvalidArgumentError: .*, in test_first_batch.py, line"),
    (lambda embeddings: None, "the method of mine returned NoneType; its call must return the loss, one floating"),
    (lambda embeddings: ops.cast(ops.sum(embeddings), "int32"), r"mine returned int32 of the shape \(\);"),
    (lambda embeddings: 0.5, "the method of mine returned float; its call must return"),
    (lambda embeddings: ops.sum(embeddings, axis=(1, 2, 3)), r"mine returned float32 of the shape \(1,\);"),
])
def test_a_loss_that_is_none_is_one_sentence(loss, message):
    with pytest.raises(UserError, match=message):
        try_method(method(loss), BATCH, "mine")


@pytest.mark.parametrize(("layer", "reason"), [
    (Plain(), "Could not locate class 'Plain'"), (keras.layers.Lambda(lambda inputs: 2 * inputs), ".*Lambda"),
    (WithArgument(len), ".*WithArgument")])
def test_a_model_that_cannot_be_loaded_again_is_refused(layer, reason):
    message = rf"^the model of mine could not be loaded after its training \({reason}.*; decorate .*register_keras_ser"
    with pytest.raises(UserError, match=message) as error:
        try_method(method(ops.mean, layer), BATCH, "mine")
    assert "model.keras" not in str(error.value) and "\n" not in str(error.value)
