"""The parts of an ONNX graph that several kinds of layers share: operators, constants and activations."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from lab41_sce.errors import UserError
from lab41_sce.models.saved_network import SavedLayer


class Graph:
    """The operators and constants of a graph; each operator has one output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def weights(self, values: np.ndarray) -> str:
        """Add weights and return their name; weights in half precision stay half as large in the model."""
        if values.dtype == np.float16:
            return self.add("Cast", self.constant(values, np.float16), to=TensorProto.FLOAT)
        return self.constant(values)

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add an operator of ONNX and return the name of its output."""
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output


def add_activation(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add the activation of a layer."""
    function = layer.settings["activation"]
    if function not in ("linear", "relu", "silu"):
        raise UserError(f"the layer {layer.name} has the activation {function}, which cannot be exported to ONNX; "
                        "export to saved_model.")
    if function == "silu":
        return graph.add("Mul", name, graph.add("Sigmoid", name))
    return graph.add("Relu", name) if function == "relu" else name
