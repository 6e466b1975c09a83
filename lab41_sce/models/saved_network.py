"""A `.keras` file becomes the arguments of its model and the layers of its network, without Keras.

A `.keras` file is a ZIP archive. `config.json` describes the model and each layer of its network; `model.weights.h5`
contains the weights, in groups that are named after the classes of the layers. A file may be a stranger's: it is
limited in size, and a reference to another file is refused.
"""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lab41_sce.errors import UserError

MAX_CONFIG_BYTES, MAX_WEIGHTS_BYTES = 2**24, 2**31  # an ONNX file is limited to 2 GiB
# The groups of a layer's weights, in the order in which Keras lists its weights; other layers have one group.
DIRECTIONS = ("forward_layer/cell", "backward_layer/cell")
GROUPS = {"lab41_sce>BidirectionalLSTM": DIRECTIONS,
          "lab41_sce>ResidualBLSTM": ("norm", *(f"lstm/{direction}" for direction in DIRECTIONS), "dense")}


@dataclass(frozen=True)
class SavedLayer:
    """Hold a layer of a network.

    Attributes:
        kind: class, such as "Dense" or "lab41_sce>ResidualBLSTM".
        name: of the layer.
        inputs: names of the layers whose outputs are its inputs, in their order.
        settings: arguments of the class.
        weights: arrays in the order of Keras.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    settings: dict[str, Any]
    weights: list[np.ndarray]


@dataclass(frozen=True)
class SavedNetwork:
    """Hold a network.

    Attributes:
        name: of the network.
        n_inputs: numbers of each input frame: F of a whole network.
        n_frames: T of a network for a fixed number of frames; None for any number.
        input_name: name of the layer of the inputs.
        layers: in the order of computation, without the layer of the inputs.
    """

    name: str
    n_inputs: int
    n_frames: int | None
    input_name: str
    layers: list[SavedLayer]

    def get_weights(self) -> list[np.ndarray]:
        """Return all weights, in the order of Keras."""
        return [weights for layer in self.layers for weights in layer.weights]

    def split(self) -> tuple["SavedNetwork", "SavedNetwork"]:
        """Split before the last layer with weights, which has a large output."""
        place = max(number for number, layer in enumerate(self.layers) if layer.weights)
        last = self.layers[place]
        return (SavedNetwork(self.name, self.n_inputs, self.n_frames, self.input_name, self.layers[:place]),
                SavedNetwork(self.name, last.weights[0].shape[0], self.n_frames, last.inputs[0], self.layers[place:]))


@dataclass(frozen=True)
class SavedModel:
    """Hold a separation model.

    Attributes:
        kind: class, such as "lab41_sce>EmbeddingModel".
        front_end: arguments of the front end.
        arguments: other arguments of the model.
        network: the network.
        mask_network: the network that makes the masks complex (`mask_network.py`), or None.
        own_weights: weights of the model itself, besides those of its networks.
    """

    kind: str
    front_end: dict[str, Any]
    arguments: dict[str, Any]
    network: SavedNetwork
    mask_network: SavedNetwork | None
    own_weights: list[np.ndarray]


def read_model(file: Path) -> SavedModel:
    """Read a `.keras` file.

    Raises:
        UserError: a layer does not compute in float32.
        Exception: the file is damaged, or it is not a separation model.
    """
    with zipfile.ZipFile(file) as archive:
        config = json.loads(_member(archive, "config.json", MAX_CONFIG_BYTES))
        weights = io.BytesIO(_member(archive, "model.weights.h5", MAX_WEIGHTS_BYTES))
    arguments = dict(config["config"])
    front_end = arguments.pop("front_end")["config"]
    described = [arguments.pop("network"), arguments.pop("mask_network", None)]
    for name in ("name", "trainable", "dtype"):
        arguments.pop(name, None)
    with h5py.File(weights) as store:
        names = Counter[str]()
        network, mask_network = [_read_stored(store, item, names) if item else None for item in described]
        assert network is not None
        return SavedModel(_kind(config), front_end, arguments, network, mask_network, _arrays(store, ""))


def _read_stored(store: h5py.File, network: dict[str, Any], names: Counter[str]) -> SavedNetwork:
    """Read a network of a model from the file of its weights; `names` counts the networks before."""
    place, names_of_layers = f"layers/{_unique_name(network, names)}", Counter[str]()

    def weights_of(layer: dict[str, Any]) -> list[np.ndarray]:
        group = f"{place}/layers/{_unique_name(layer, names_of_layers)}"
        return [array for part in GROUPS.get(_kind(layer), ("",)) for array in _arrays(store, f"{group}/{part}")]

    return read_network(network, weights_of)


def read_network(network: dict[str, Any], weights_of: Callable[[dict[str, Any]], list[np.ndarray]]) -> SavedNetwork:
    """Read the layers of a network.

    Args:
        network: Keras's description of the network, as in `config.json`.
        weights_of: called with the description of each layer in turn; returns the weights of the layer.

    Raises:
        UserError: a layer does not compute in float32.
    """
    settings = network["config"]
    inputs, *described = settings["layers"]
    n_frames, n_inputs = inputs["config"]["batch_shape"][1:]
    before = inputs["config"]["name"]
    weights_of(inputs)
    layers = []
    for layer in described:
        name = layer["config"]["name"]
        if _dtype(layer) != "float32":
            raise UserError(f"the layer {name} computes in {_dtype(layer)}, which cannot be exported to ONNX; "
                            "export to saved_model.")
        layers.append(SavedLayer(_kind(layer), name, _sources(layer) or (before,), layer["config"], weights_of(layer)))
        before = name
    return SavedNetwork(settings["name"], n_inputs, n_frames, inputs["config"]["name"], layers)


def _member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """Read a member of an archive that is not larger than a limit."""
    with archive.open(name) as member:
        content = member.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"{name} has more than {max_bytes:,} bytes")
    return content


def _kind(described: dict[str, Any]) -> str:
    """Return the class of a described object: its registered name, or for Keras's own classes their name."""
    return described["registered_name"] or described["class_name"]


def _unique_name(described: dict[str, Any], names: Counter[str]) -> str:
    """Return the name of an object's group of weights: its class in snake case, numbered from the second on."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", described["class_name"])
    name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
    number = names[name]
    names[name] += 1
    return f"{name}_{number}" if number else name


def _arrays(store: h5py.File, path: str) -> list[np.ndarray]:
    """Read the arrays of a group of weights."""
    group: Any = store
    for part in [*filter(None, path.split("/")), "vars"]:
        group = _inner(group, part)
    arrays = [_inner(group, str(number)) for number in range(len(group))]
    for array in arrays:
        stored = array.id.get_storage_size()  # in this file; less than the array, if the file does not hold all of it
        if array.external or array.is_virtual or array.nbytes > stored or array.dtype.kind != "f":
            raise ValueError(f"the weights {array.name} are not stored in this file as floating-point numbers")
    return [array[()] for array in arrays]


def _inner(group: Any, name: str) -> Any:
    """Return a part of a group; raise ValueError for a link to another place."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"the weights {group.name}/{name} are missing, or in another file")
    return group[name]


def _sources(layer: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the layers whose outputs a layer receives; none in a sequential network."""
    return tuple(re.findall(r'"keras_history": \["([^"]*)"', json.dumps(layer.get("inbound_nodes", []))))


def _dtype(layer: dict[str, Any]) -> str:
    """Return the name of a layer's dtype policy."""
    policy = layer["config"].get("dtype", "float32")
    return policy if isinstance(policy, str) else policy["config"]["name"]
