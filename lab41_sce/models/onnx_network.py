"""A `.keras` file becomes a model for separation that onnxruntime computes, without TensorFlow and Keras.

    .keras file -> layers and weights (`saved_network.py`) -> ONNX graphs (`onnx_graph.py`) -> functions

onnxruntime is imported in a fraction of the time of TensorFlow and needs a fraction of its memory. The graphs are made
when the file is read, so there is no second file that could belong to another model.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from lab41_sce.models.mask_estimation import AttractorMasks, EmbeddingMasks, SegmentMasks, renamed_arguments
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.models.saved_network import SavedNetwork, read_model
from lab41_sce.models.settings import FrontEndSettings
from lab41_sce.threads import in_parallel, n_threads

logger = logging.getLogger(__name__)

MAX_SEQUENCES = 8  # that a thread computes at once; more need more memory, and are no faster
SILENT = 4  # log level of onnxruntime: fatal errors only; all errors are raised as exceptions, too

Function = Callable[[np.ndarray], np.ndarray]
OnnxModel = EmbeddingMasks | AttractorMasks | SegmentMasks


def load_onnx_model(file: Path) -> OnnxModel | None:
    """Load a model for onnxruntime.

    Args:
        file: a `.keras` file.

    Returns:
        The model; None if onnxruntime or onnx is not installed, if the network has no ONNX form, or if the file cannot
        be read. `loading.load_model` loads such models with Keras, or explains what is wrong with the file.
    """
    try:
        return _load(file)
    except Exception as error:  # a damaged or foreign file can raise anything
        logger.info("%s is computed with Keras, because onnxruntime cannot be used: %s", file, error)
        return None


def _load(file: Path) -> OnnxModel:
    """Load a model; raise an exception of any kind if it cannot be computed with onnxruntime."""
    saved = read_model(file)
    names = [item.name for item in fields(FrontEndSettings)]
    front_end = NumpyFrontEnd(**{name: value for name, value in saved.front_end.items() if name in names})
    model: OnnxModel
    if saved.kind == "lab41_sce>EmbeddingModel":
        network = EmbeddingNetwork(saved.network)
        mask_network = saved.mask_network and MaskNetwork(saved.mask_network, None)
        model = EmbeddingMasks(front_end, network, mask_network=mask_network, **renamed_arguments(saved.arguments))
    elif saved.kind == "lab41_sce>AttractorModel":
        network, (fixed_attractors,) = EmbeddingNetwork(saved.network), saved.own_weights
        model = AttractorMasks(front_end, network, fixed_attractors=fixed_attractors, **saved.arguments)
    elif saved.kind == "lab41_sce>MaskModel":
        model = SegmentMasks(front_end, MaskNetwork(saved.network, saved.arguments["mask"]), **saved.arguments)
    else:
        raise ValueError(f"the class {saved.kind} is unknown")
    return model


class EmbeddingNetwork:
    """Compute a network from features to embeddings; `EmbeddingMasks` describes the functions `hidden` and `last`.

    Args:
        saved: the network.
    """

    def __init__(self, saved: SavedNetwork):
        hidden, last = saved.split()
        dense = last.layers[0]
        if [layer.kind for layer in last.layers] != ["Dense", "Reshape"] or dense.settings["activation"] != "linear":
            raise ValueError("the last layers are not one linear dense layer and the shape of its outputs")
        self.saved, self._hidden = saved, onnx_function(hidden, threads=1)
        self._kernel, *self._bias = [weights.astype(np.float32) for weights in dense.weights]
        self._shape = last.layers[1].settings["target_shape"][1:]
        self.last(np.zeros((1, 1, last.n_inputs), np.float32))  # raises now what it would raise later

    def hidden(self, features: np.ndarray) -> np.ndarray:
        """Compute all layers but the last: float32 `[B, T, F]` to `[B, T, D]`.

        Each thread computes some of the B sequences. The threads of onnxruntime itself would share the small products
        of a recurrent layer, and wait for each other more than they compute.
        """
        n_parts = max(math.ceil(len(features) / MAX_SEQUENCES), min(n_threads(), len(features)))
        return np.concatenate([*in_parallel(self._hidden, np.array_split(features, n_parts))])

    def last(self, hidden: np.ndarray) -> np.ndarray:
        """Compute the last layer: float32 `[B, T, D]` to `[B, T, F, K]`.

        NumPy makes no further copy of the large result, as onnxruntime does. The frames come first in memory, because
        the caller interleaves the B sequences.
        """
        batch, n_frames, width = hidden.shape
        outputs = np.swapaxes(hidden, 0, 1).reshape(-1, width) @ self._kernel
        for bias in self._bias:
            outputs += bias
        return np.swapaxes(outputs.reshape(n_frames, batch, *self._shape), 0, 1)

    def get_weights(self) -> list[np.ndarray]:
        """Return all weights, in the order of Keras."""
        return self.saved.get_weights()

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the state for pickle: sessions of onnxruntime cannot be pickled."""
        return EmbeddingNetwork, (self.saved,)


class MaskNetwork:
    """Compute a network from features to masks; `SegmentMasks` describes the function `run`.

    Args:
        saved: the network.
        mask: kind of the masks, "softmax" or "ratio"; None for the outputs of the network.
    """

    def __init__(self, saved: SavedNetwork, mask: str | None):
        self.saved, self.mask = saved, mask
        self._run, self._lock = onnx_function(saved, mask), Lock()

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Compute the outputs; one call at a time, since each uses all threads, and much memory."""
        with self._lock:
            return self._run(inputs)

    __call__ = run

    def get_weights(self) -> list[np.ndarray]:
        """Return all weights, in the order of Keras."""
        return self.saved.get_weights()

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the state for pickle: sessions of onnxruntime cannot be pickled."""
        return MaskNetwork, (self.saved, self.mask)


def onnx_function(network: SavedNetwork, mask: str | None = None, threads: int | None = None) -> Function:
    """Return the function of a network: float32 `[B, T, F]` to its outputs, or to masks of a kind `[B, S, T, F]`."""
    from lab41_sce.models.onnx_graph import onnx_model  # onnx and onnxruntime are optional

    if not network.layers:
        return np.asarray
    run = session_function(onnx_model(network, "outputs", mask=mask).SerializeToString(), threads)
    run(np.zeros((1, network.n_frames or 1, network.n_inputs), np.float32))  # raises now what it would raise later
    return run


def session_function(model: bytes | str, threads: int | None = None) -> Function:
    """Return the function of an ONNX model with the input `features`: its contents, or the path of its file.

    onnxruntime computes in the given number of threads; None: as many as `threads.n_threads` returns.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or n_threads()
    options.log_severity_level = SILENT
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest input
    # Waiting threads sleep, so that several processes do not take the cores from each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session._model_bytes = None  # onnxruntime 1.32 keeps the contents, to try other providers if one fails
    return partial(_run, session)


def _run(session: Any, features: np.ndarray) -> np.ndarray:
    return session.run(None, {"features": np.ascontiguousarray(features, np.float32)})[0]
