"""A network becomes an ONNX model: features `[B, T, F]` to embeddings or masks.

Each layer becomes a few operators of ONNX with the weights of the layer. An LSTM layer becomes ONNX's own operator
LSTM, which runtimes compute faster than a loop over the frames. B and T are dynamic; T is fixed for a network that
was built for a fixed number of frames.

The output of each layer has the name of the layer, so that `onnx.utils.extract_model` can cut the graph between two
layers, for example before the last layer, whose output is large.
"""

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from lab41_sce.errors import UserError
from lab41_sce.models.mask_estimation import RATIO_FLOOR
from lab41_sce.models.onnx_convolutions import (
    add_batch_norm,
    add_convolution,
    add_convolution_over_time,
    add_cropping,
    add_doubling,
    add_padding,
    add_permutation,
    add_pooling,
)
from lab41_sce.models.onnx_operators import Graph, add_activation
from lab41_sce.models.saved_network import SavedLayer, SavedNetwork

OPSET, IR_VERSION = 17, 8  # of 2022, so that older runtimes read the file, too
RESIDUAL_EPSILON = 1e-6  # of the norm in a `ResidualBLSTM`, which is Keras's default
WITHOUT_EFFECT = ("Dropout", "SpatialDropout1D")  # outside of training


def onnx_model(network: SavedNetwork, output: str, unit_norm: bool = False, mask: str | None = None) -> ModelProto:
    """Convert a network, with the unit length of its embeddings or the step from outputs to masks.

    Args:
        network: the network.
        output: name of the output, such as "embeddings".
        unit_norm: scale each embedding to length one.
        mask: kind of the masks, "softmax" or "ratio"; None for embeddings or the outputs of hidden layers.

    Returns:
        The ONNX model. The input `features` is float32 `[B, T, F]`; the output is `[B, T, F, K]` for embeddings, and
        `[B, S, T, F]` for masks.

    Raises:
        UserError: a layer is of an unknown kind, or a layer has an input that is no output of a layer before it.
    """
    graph, name = Graph(), "features"
    outputs_of = {network.input_name: name}
    batch, frames = "batch", network.n_frames or "frames"
    for layer in network.layers:
        name = outputs_of[layer.name] = _add_layer(graph, outputs_of, layer)
    *_, bins, size = network.layers[-1].settings.get("target_shape", (None, None))
    shape = [batch, frames, bins, size]
    if network.layers[-1].kind == "Conv2D":
        shape = [batch, frames, "bins", "numbers"]
    if mask:
        shape = [batch, size, frames, bins]
        name = _add_masks(graph, name, mask, size)
    elif unit_norm:
        name = _add_unit_length(graph, name)
    graph.add("Identity", name, output=output)
    inputs = helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, frames, network.n_inputs])
    outputs = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape if shape[-1] else None)
    proto = helper.make_graph(graph.nodes, network.name, [inputs], [outputs], graph.constants)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                             producer_name="lab41_sce")


def _add_layer(graph: Graph, outputs_of: dict[str, str], layer: SavedLayer) -> str:
    """Add a layer of a network, and return the name of its output: that of the layer.

    Args:
        graph: the graph so far.
        outputs_of: names of the outputs in the graph, by the name of the layer.
        layer: the layer.
    """
    if unknown := [name for name in layer.inputs if name not in outputs_of]:
        raise UserError(f"the layer {layer.name} has the input {unknown[0]}, which is no layer before it, so this "
                        "network cannot be exported to ONNX; export to saved_model.")
    names = [outputs_of[name] for name in layer.inputs]
    if layer.kind in WITHOUT_EFFECT:
        return names[0]
    if layer.kind in JOINED_AS:
        output = JOINED_AS[layer.kind](graph, names, layer)
    elif layer.kind in ADDED_AS and len(names) == 1:
        output = ADDED_AS[layer.kind](graph, names[0], layer)
    else:
        raise UserError(f"the layer {layer.name} is of the kind {layer.kind}, which cannot be exported to ONNX; export "
                        "to saved_model.")
    return graph.add("Identity", output, output=layer.name)


def _add_dense(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add x W + b, and the activation."""
    name = _add_product(graph, name, *layer.weights)
    return add_activation(graph, name, layer)


def _add_product(graph: Graph, name: str, kernel: np.ndarray, bias: np.ndarray | None = None) -> str:
    """Add x W + b, or x W without a bias."""
    product = graph.add("MatMul", name, graph.weights(kernel))
    return product if bias is None else graph.add("Add", product, graph.weights(bias))


def _add_lstm(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add an LSTM of both directions."""
    return _add_directions(graph, name, layer.weights)


def _add_directions(graph: Graph, name: str, weights: list[np.ndarray]) -> str:
    """Add an LSTM, `[B, T, D]` to `[B, T, 2 U]`; for each direction, kernel, recurrent kernel and bias are given."""
    units = weights[1].shape[0]

    def for_onnx(weights: np.ndarray) -> np.ndarray:
        """Transpose `[n, 4 U]` to `[4 U, n]`, and reorder the gates from Keras's i, f, c, o to ONNX's i, o, f, c."""
        return weights.reshape(-1, 4, units)[:, [0, 3, 1, 2]].reshape(-1, 4 * units).T

    kernels, recurrent = (np.stack([for_onnx(array) for array in weights[place::3]]) for place in (0, 1))
    # ONNX has a second bias for the recurrent product.
    biases = np.stack([np.append(for_onnx(bias), np.zeros(4 * units, bias.dtype)) for bias in weights[2::3]])
    frames_first = graph.add("Transpose", name, perm=(1, 0, 2))
    outputs = graph.add("LSTM", frames_first, *map(graph.weights, (kernels, recurrent, biases)),
                        direction="bidirectional", hidden_size=units)  # [T, 2, B, U]
    return graph.add("Reshape", graph.add("Transpose", outputs, perm=(2, 0, 1, 3)),
                     graph.constant((0, 0, 2 * units), np.int64))


def _add_rms_norm(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add a norm of the last axis."""
    if layer.settings["axis"] not in (-1, [-1]):
        raise UserError(f"the layer {layer.name} has the axis {layer.settings['axis']}, which cannot be exported to "
                        "ONNX; export to saved_model.")
    return _add_norm(graph, name, layer.weights[0], layer.settings["epsilon"])


def _add_norm(graph: Graph, name: str, scale: np.ndarray, epsilon: float) -> str:
    """Add x / sqrt(mean(x^2) + epsilon) times the scale."""
    mean = graph.add("ReduceMean", graph.add("Mul", name, name), axes=(-1,))
    length = graph.add("Sqrt", graph.add("Add", mean, graph.constant(epsilon)))
    return graph.add("Mul", graph.add("Div", name, length), graph.weights(scale))


def _add_residual(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add x + dense(blstm(norm(x)))."""
    scale, *directions, kernel, bias = layer.weights
    hidden = _add_directions(graph, _add_norm(graph, name, scale, RESIDUAL_EPSILON), directions)
    return graph.add("Add", name, _add_product(graph, hidden, kernel, bias))


def _add_reshape(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add a new shape; 0 keeps the size of the batch."""
    return graph.add("Reshape", name, graph.constant((0, *layer.settings["target_shape"]), np.int64))


def _add_flatten(graph: Graph, name: str, layer: SavedLayer) -> str:
    return graph.add("Flatten", name)


def _join(graph: Graph, names: list[str], layer: SavedLayer) -> str:
    """Join several inputs along their last axis."""
    if layer.settings["axis"] != -1:
        raise UserError(f"the layer {layer.name} has the axis {layer.settings['axis']}, which cannot be exported to "
                        "ONNX; export to saved_model.")
    return graph.add("Concat", *names, axis=-1)


def _sum(graph: Graph, names: list[str], layer: SavedLayer) -> str:
    return graph.add("Sum", *names)


ADDED_AS: dict[str, Any] = {
    "Dense": _add_dense, "RMSNormalization": _add_rms_norm, "Reshape": _add_reshape, "Flatten": _add_flatten,
    "Conv2D": add_convolution, "MaxPooling2D": add_pooling, "lab41_sce>BidirectionalLSTM": _add_lstm,
    "lab41_sce>ResidualBLSTM": _add_residual, "Conv1D": add_convolution_over_time,
    "DepthwiseConv1D": add_convolution_over_time, "BatchNormalization": add_batch_norm,
    "Activation": add_activation, "UpSampling2D": add_doubling, "Cropping2D": add_cropping,
    "ZeroPadding2D": add_padding, "Permute": add_permutation,
}
JOINED_AS: dict[str, Any] = {"Concatenate": _join, "Add": _sum}  # layers with several inputs


def _add_unit_length(graph: Graph, name: str) -> str:
    """Add `embedding_model.unit_length`."""
    squares = graph.add("ReduceSum", graph.add("Mul", name, name), graph.constant((-1,), np.int64))
    return graph.add("Div", name, graph.add("Sqrt", graph.add("Max", squares, graph.constant(1e-12))))


def _add_masks(graph: Graph, name: str, mask: str, n_speakers: int) -> str:
    """Add `mask_model.softmax_masks` or `mask_model.ratio_masks`: `[B, T, F, S]` to `[B, S, T, F]`."""
    outputs = graph.add("Transpose", name, perm=(0, 3, 1, 2))
    if mask == "softmax":
        return graph.add("Softmax", outputs, axis=1)
    sizes = graph.add("Abs", outputs)
    total = graph.add("ReduceSum", sizes, graph.constant((1,), np.int64))
    return graph.add("Div", graph.add("Add", sizes, graph.constant(RATIO_FLOOR / n_speakers)),
                     graph.add("Add", total, graph.constant(RATIO_FLOOR)))
