"""Layers over images and frames become operators of ONNX: convolutions and what stands between them.

Each function adds one layer to a graph. Its arguments are the graph so far, the name of the layer's input in the graph,
and the layer; it returns the name of the output, and raises UserError for settings that have no form here. Images are
`[B, T, F, C]`, frames `[B, T, C]`.
"""

from typing import Any

import numpy as np

from lab41_sce.errors import UserError
from lab41_sce.models.onnx_operators import Graph, add_activation
from lab41_sce.models.saved_network import SavedLayer

PADDINGS = {"same": "SAME_UPPER", "valid": "VALID"}


def add_convolution(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add a convolution over an image; Keras has the channels last, ONNX first."""
    settings, (kernel, *bias) = layer.settings, layer.weights
    dilations = settings["dilation_rate"]
    padding: dict[str, Any] = {"auto_pad": PADDINGS[settings["padding"]]}
    if max(dilations) > 1:
        if max(settings["strides"]) > 1 or settings["padding"] != "same":
            raise UserError(f"the layer {layer.name} has dilations with strides, or with another padding than "
                            "\"same\", which cannot be exported to ONNX; export to saved_model.")
        sides = [(size - 1) * dilation for size, dilation in zip(kernel.shape, dilations, strict=False)]
        # onnxruntime 1.32 has no automatic padding of a dilated convolution
        padding = {"pads": [*(side // 2 for side in sides), *(side - side // 2 for side in sides)]}
    outputs = graph.add("Conv", graph.add("Transpose", name, perm=(0, 3, 1, 2)),
                        *map(graph.weights, (np.transpose(kernel, (3, 2, 0, 1)), *bias)),
                        strides=settings["strides"], dilations=dilations, **padding)
    return add_activation(graph, graph.add("Transpose", outputs, perm=(0, 2, 3, 1)), layer)


def add_convolution_over_time(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add a convolution over frames, of all channels together or, for a depthwise layer, of each channel alone."""
    settings, (kernel, *bias) = layer.settings, layer.weights
    depthwise = layer.kind == "DepthwiseConv1D"
    usual = (settings["strides"], settings["padding"], settings.get("groups", 1), settings.get("depth_multiplier", 1))
    if usual not in (([1], "same", 1, 1), (1, "same", 1, 1)):
        raise UserError(f"the layer {layer.name} has strides, groups, several filters for each channel, or another "
                        "padding than \"same\", which cannot be exported to ONNX; export to saved_model.")
    kernel = np.transpose(kernel, (1, 2, 0) if depthwise else (2, 1, 0))
    [dilation] = settings["dilation_rate"]
    padding = (kernel.shape[2] - 1) * dilation  # onnxruntime 1.32 has no automatic padding of a dilated convolution
    outputs = graph.add("Conv", graph.add("Transpose", name, perm=(0, 2, 1)), *map(graph.weights, (kernel, *bias)),
                        dilations=[dilation], pads=[padding // 2, padding - padding // 2],
                        group=len(kernel) if depthwise else 1)
    return add_activation(graph, graph.add("Transpose", outputs, perm=(0, 2, 1)), layer)


def add_batch_norm(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add the linear function that the norm is outside of training."""
    scale, offset, mean, variance = (weights.astype(np.float32) for weights in layer.weights)
    factor = scale / np.sqrt(variance + layer.settings["epsilon"])
    return graph.add("Add", graph.add("Mul", name, graph.constant(factor)), graph.constant(offset - mean * factor))


def add_doubling(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Repeat the elements of an image along both axes."""
    if layer.settings["interpolation"] != "nearest":
        raise UserError(f"the layer {layer.name} interpolates, which cannot be exported to ONNX; export to "
                        "saved_model.")
    return graph.add("Resize", name, "", graph.constant((1, *layer.settings["size"], 1)), mode="nearest",
                     coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def add_cropping(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Remove elements at the ends of both axes of an image."""
    starts, stops = zip(*layer.settings["cropping"], strict=True)
    last = np.iinfo(np.int64).max
    return graph.add("Slice", name, graph.constant(starts, np.int64),
                     graph.constant([-stop if stop else last for stop in stops], np.int64),
                     graph.constant((1, 2), np.int64))


def add_padding(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Add zeros at the ends of both axes of an image."""
    starts, stops = zip(*layer.settings["padding"], strict=True)
    return graph.add("Pad", name, graph.constant((0, *starts, 0, 0, *stops, 0), np.int64))


def add_permutation(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Exchange axes."""
    return graph.add("Transpose", name, perm=(0, *layer.settings["dims"]))


def add_pooling(graph: Graph, name: str, layer: SavedLayer) -> str:
    """Keep the largest of neighbouring elements of an image."""
    outputs = graph.add("MaxPool", graph.add("Transpose", name, perm=(0, 3, 1, 2)),
                        kernel_shape=layer.settings["pool_size"], strides=layer.settings["strides"],
                        auto_pad=PADDINGS[layer.settings["padding"]])
    return graph.add("Transpose", outputs, perm=(0, 2, 3, 1))
