"""A trained model becomes a diagram of its network: Figure 4 of the article, drawn from the model itself."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from lab41_sce.reporting.figures import COLOURS, new_figure
from lab41_sce.reporting.ordering import words

LAYER_FACTS = ("frame_length", "hop_length", "pre_emphasis", "compression", "scaling",
               "units", "filters", "kernel_size", "strides", "pool_size", "rate", "activation")


def draw_network(model: Any, loss: str, n_known_speakers: int | None = None) -> Figure:
    """Draw the layers of a model, and below them the steps of inference and of training (Figure 4).

    Args:
        model: an `EmbeddingModel` or a `MaskModel` whose network is a chain of layers.
        loss: name of the loss that trained it, which a saved model does not contain.
        n_known_speakers: number of speaker vectors of that loss, if it has any; a saved model does not contain them.

    Returns:
        The figure.

    Raises:
        ValueError: if the network is not a chain of layers.
    """
    front_end, chain = model.front_end, model.network
    layers = [layer for layer in chain.layers if type(layer).__name__ != "InputLayer"]
    tensors = [chain.input, *(layer.output for layer in layers)]
    if any(layer.input is not tensor for layer, tensor in zip(layers, tensors)):
        raise ValueError(f"The network {chain.name!r} has parallel layers; only a chain of layers can be drawn.")
    texts = [f"waveform at {front_end.sample_rate_hz:,} Hz", *map(_layer_text, [front_end, *layers])]
    shapes = ["[B, " + ", ".join(str(size or "T") for size in tensor.shape[1:]) + "]" for tensor in tensors]
    if hasattr(model, "clusters"):  # an EmbeddingModel
        result = "vectors of unit length" if model.unit_norm else "vectors"
        inference = "k-means clustering" if model.clusters else "fixed attractors"
    else:
        result, inference = f"masks by {model.mask} over the speakers", "no clustering"
    texts[-1] += f"\n{shapes[-1]}: {result}"
    training = f"training: {loss}"
    if n_known_speakers is not None:
        size = chain.output.shape[-1]
        training += f"\nwith speaker vectors [{n_known_speakers}, {size}]\n{n_known_speakers * size:,} parameters"
    figure = new_figure(height=0.72 * (len(texts) + 1))
    panel = figure.subplots()
    panel.set(xlim=(-1, 1), ylim=(-len(texts) - 0.5, 0.5), title=f"{model.count_params():,} parameters")
    panel.axis("off")
    box = None
    for row, (text, shape) in enumerate(zip(texts, ["[B, N]", *shapes[:-1], ""], strict=True)):
        box = _box(panel, 0, row, text, box)
        panel.text(0.02, -row - 0.5, shape, va="center", fontsize="small")
    inference = f"inference: {inference}\nmasks [S, T, {front_end.n_bins}] times mixture"
    _box(panel, -0.5, len(texts), inference, box, edgecolor=COLOURS[0])
    _box(panel, 0.5, len(texts), training, box, edgecolor=COLOURS[1], linestyle="--")
    return figure


def _layer_text(layer: Any) -> str:
    """Describe a layer: name, class, number of parameters and settings."""
    inner = getattr(layer, "forward_layer", layer)
    facts = {name: getattr(inner, name) for name in LAYER_FACTS if getattr(inner, name, None) is not None}
    settings = words(", ".join(f"{name} {getattr(value, '__name__', value)}" for name, value in facts.items()))
    count = sum(int(np.prod(weight.shape)) for weight in layer.weights)
    each = "" if inner is layer else f"{type(inner).__name__} in each direction: "
    size = f", {count:,} parameters" if count else ""
    return f"{layer.name}: {type(layer).__name__}{size}\n{each}{settings}".rstrip()


def _box(panel: Axes, x: float, row: int, text: str, before: Annotation | None, **style: Any) -> Annotation:
    """Draw a box around a text, and an arrow from the box before it if there is one."""
    arrow = {"arrowstyle": "<|-", "color": "black", "patchB": before.get_bbox_patch()} if before else None
    outline = {"boxstyle": "round,pad=0.4", "facecolor": "#f4f4f4", **style}
    return panel.annotate(text, xy=before.xyann if before else (x, -row), xytext=(x, -row), arrowprops=arrow,
                          bbox=outline, ha="center", va="center", fontsize="small", parse_math=False)
