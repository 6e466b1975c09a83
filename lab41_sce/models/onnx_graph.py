"""The network of a trained model becomes an ONNX model: features `[B, T, F]` to embeddings or masks.

Each layer becomes a few operators of ONNX with the weights of the layer. An LSTM layer becomes ONNX's own operator
LSTM, which runtimes compute faster than a loop over the frames. B and T are dynamic; T is fixed for a network that
was built for a fixed number of frames.

The output of each layer has the name of the layer, so that `onnx.utils.extract_model` can cut the graph between two
layers, for example before the last layer, whose output is large.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import layers, ops

from lab41_sce.errors import UserError
from lab41_sce.models.loading import SeparationModel
from lab41_sce.models.lstm import BidirectionalLSTM
from lab41_sce.models.mask_model import RATIO_FLOOR, MaskModel
from lab41_sce.models.networks import ResidualBLSTM

if TYPE_CHECKING:  # an extra
    import onnx

OPSET, IR_VERSION = 17, 8  # of 2022, so that older runtimes read the file, too
WITHOUT_EFFECT = (layers.InputLayer, layers.Dropout, layers.SpatialDropout1D)  # outside of training


def onnx_model(model: SeparationModel) -> "onnx.ModelProto":
    """Convert the network of a model, with the unit length of its embeddings or the step from outputs to masks.

    Args:
        model: the trained model.

    Returns:
        The ONNX model. The input `features` is float32 `[B, T, F]`; the output is `embeddings`, `[B, T, F, K]`, or
        `masks`, `[B, S, T, F]`.

    Raises:
        UserError: the layers are no chain, or one of them is of an unknown kind.
    """
    from onnx import TensorProto, helper

    network, graph, name = model.network, _Graph(), "features"
    batch, frames = "batch", network.input_shape[1] or "frames"
    bins, size = network.output_shape[2:]
    before = network.input
    for layer in network.layers:
        if not isinstance(layer, layers.InputLayer) and layer.input is not before:
            raise UserError(f"the layer {layer.name} has another input than the output of the layer before, so this "
                            "network cannot be exported to ONNX; export to saved_model.")
        name, before = _add_layer(graph, name, layer), layer.output
    if isinstance(model, MaskModel):
        shape, kind = [batch, size, frames, bins], "masks"
        name = _add_masks(graph, name, model.mask, size)
    else:
        shape, kind = [batch, frames, bins, size], "embeddings"
        name = _add_unit_length(graph, name) if model.unit_norm else name
    graph.add("Identity", name, output=kind)
    inputs = helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, frames, network.input_shape[2]])
    outputs = helper.make_tensor_value_info(kind, TensorProto.FLOAT, shape)
    proto = helper.make_graph(graph.nodes, network.name, [inputs], [outputs], graph.constants)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                             producer_name="lab41_sce")


class _Graph:
    """The operators and constants of a graph; each operator has one output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(ops.convert_to_numpy(values).astype(dtype), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add an operator of ONNX and return the name of its output."""
        from onnx import helper

        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output


def _add_layer(graph: _Graph, name: str, layer: layers.Layer) -> str:
    """Add a layer of a network, and return the name of its output: that of the layer."""
    if isinstance(layer, WITHOUT_EFFECT):
        return name
    add = ADDED_AS.get(type(layer))
    if add is None:
        raise UserError(f"the layer {layer.name} is of the kind {type(layer).__name__}, which cannot be exported to "
                        "ONNX; export to saved_model.")
    return graph.add("Identity", add(graph, name, layer), output=layer.name)


def _add_dense(graph: _Graph, name: str, layer: layers.Dense) -> str:
    """Add x W + b."""
    product = graph.add("MatMul", name, graph.constant(layer.kernel))
    biased = graph.add("Add", product, graph.constant(layer.bias)) if layer.use_bias else product
    return _add_activation(graph, biased, layer)


def _add_activation(graph: _Graph, name: str, layer: Any) -> str:
    """Add the activation of a layer."""
    function = layer.activation.__name__
    if function not in ("linear", "relu"):
        raise UserError(f"the layer {layer.name} has the activation {function}, which cannot be exported to ONNX; "
                        "export to saved_model.")
    return graph.add("Relu", name) if function == "relu" else name


def _add_lstm(graph: _Graph, name: str, layer: BidirectionalLSTM) -> str:
    """Add an LSTM of both directions: `[B, T, D]` to `[B, T, 2 U]`."""
    cells = layer.forward_layer.cell, layer.backward_layer.cell
    units = layer.forward_layer.units

    def for_onnx(weights: Any) -> np.ndarray:
        """Transpose `[n, 4 U]` to `[4 U, n]`, and reorder the gates from Keras's i, f, c, o to ONNX's i, o, f, c."""
        return ops.convert_to_numpy(weights).reshape(-1, 4, units)[:, [0, 3, 1, 2]].reshape(-1, 4 * units).T

    kernels = [for_onnx(cell.kernel) for cell in cells]
    recurrent = [for_onnx(cell.recurrent_kernel) for cell in cells]
    # ONNX has a second bias for the recurrent product.
    biases = [np.append(for_onnx(cell.bias), np.zeros(4 * units)) for cell in cells]
    frames_first = graph.add("Transpose", name, perm=(1, 0, 2))
    outputs = graph.add("LSTM", frames_first, *map(graph.constant, (kernels, recurrent, biases)),
                        direction="bidirectional", hidden_size=units)  # [T, 2, B, U]
    return graph.add("Reshape", graph.add("Transpose", outputs, perm=(2, 0, 1, 3)),
                     graph.constant((0, 0, 2 * units), np.int64))


def _add_rms_norm(graph: _Graph, name: str, layer: layers.RMSNormalization) -> str:
    """Add x / sqrt(mean(x^2) + epsilon) times the scale."""
    mean = graph.add("ReduceMean", graph.add("Mul", name, name), axes=(-1,))
    length = graph.add("Sqrt", graph.add("Add", mean, graph.constant(layer.epsilon)))
    return graph.add("Mul", graph.add("Div", name, length), graph.constant(layer.scale))


def _add_residual(graph: _Graph, name: str, layer: ResidualBLSTM) -> str:
    """Add x + dense(blstm(norm(x)))."""
    hidden = _add_lstm(graph, _add_rms_norm(graph, name, layer.norm), layer.lstm)
    return graph.add("Add", name, _add_dense(graph, hidden, layer.dense))


def _add_reshape(graph: _Graph, name: str, layer: layers.Reshape) -> str:
    """Add a new shape; 0 keeps the size of the batch."""
    return graph.add("Reshape", name, graph.constant((0, *layer.target_shape), np.int64))


def _add_flatten(graph: _Graph, name: str, layer: layers.Flatten) -> str:
    return graph.add("Flatten", name)


def _add_convolution(graph: _Graph, name: str, layer: layers.Conv2D) -> str:
    """Add a convolution; Keras has the channels last, ONNX first."""
    kernel = np.transpose(ops.convert_to_numpy(layer.kernel), (3, 2, 0, 1))
    padding = {"same": "SAME_UPPER", "valid": "VALID"}[layer.padding]
    outputs = graph.add("Conv", graph.add("Transpose", name, perm=(0, 3, 1, 2)), graph.constant(kernel),
                        graph.constant(layer.bias), strides=layer.strides, auto_pad=padding)
    return _add_activation(graph, graph.add("Transpose", outputs, perm=(0, 2, 3, 1)), layer)


def _add_pooling(graph: _Graph, name: str, layer: layers.MaxPooling2D) -> str:
    padding = {"same": "SAME_UPPER", "valid": "VALID"}[layer.padding]
    outputs = graph.add("MaxPool", graph.add("Transpose", name, perm=(0, 3, 1, 2)), kernel_shape=layer.pool_size,
                        strides=layer.strides, auto_pad=padding)
    return graph.add("Transpose", outputs, perm=(0, 2, 3, 1))


ADDED_AS: dict[type, Any] = {
    layers.Dense: _add_dense, layers.RMSNormalization: _add_rms_norm, layers.Reshape: _add_reshape,
    layers.Flatten: _add_flatten, layers.Conv2D: _add_convolution, layers.MaxPooling2D: _add_pooling,
    BidirectionalLSTM: _add_lstm, ResidualBLSTM: _add_residual,
}


def _add_unit_length(graph: _Graph, name: str) -> str:
    """Add `embedding_model.unit_length`."""
    squares = graph.add("ReduceSum", graph.add("Mul", name, name), graph.constant((-1,), np.int64))
    return graph.add("Div", name, graph.add("Sqrt", graph.add("Max", squares, graph.constant(1e-12))))


def _add_masks(graph: _Graph, name: str, mask: str, n_speakers: int) -> str:
    """Add `mask_model.softmax_masks` or `mask_model.ratio_masks`: `[B, T, F, S]` to `[B, S, T, F]`."""
    outputs = graph.add("Transpose", name, perm=(0, 3, 1, 2))
    if mask == "softmax":
        return graph.add("Softmax", outputs, axis=1)
    sizes = graph.add("Abs", outputs)
    total = graph.add("ReduceSum", sizes, graph.constant((1,), np.int64))
    return graph.add("Div", graph.add("Add", sizes, graph.constant(RATIO_FLOOR / n_speakers)),
                     graph.add("Add", total, graph.constant(RATIO_FLOOR)))
