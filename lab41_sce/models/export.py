"""A trained model becomes a file for other runtimes: ONNX, or TensorFlow's SavedModel.

Exported is the network, from the scaled features `[B, T, F]` to embeddings `[B, T, F, K]` (of unit length where the
model has them) or masks `[B, S, T, F]`; or the mask network of a model that has one, `[B, T, 4 F]` to `[B, T, F, 2]`
(`complex_masks.py`). The transform of signals to features, clustering and resynthesis stay outside:
they are a few lines of NumPy, and their settings are in the exported file (`settings`).

The exported file is loaded again and computes outputs for features of several seeds and lengths. It is put in place
only if these outputs are those of the Keras model.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lab41_sce.atomic_write import lock, lock_name, put_in_place, temporary_name
from lab41_sce.errors import UserError
from lab41_sce.models.attractor_model import AttractorModel
from lab41_sce.models.embedding_model import unit_length
from lab41_sce.models.loading import SeparationModel
from lab41_sce.models.mask_model import MASKS, MaskModel
from lab41_sce.models.mask_network import INPUTS
from lab41_sce.models.onnx_network import session_function
from lab41_sce.models.saved_network import SavedNetwork, read_network
from lab41_sce.models.settings import FrontEndSettings

FORMATS = ("onnx", "saved_model")
PARTS = ("network", "mask_network")
TOLERANCE = 1e-4  # largest difference from the Keras model, relative to the range of its outputs
COMPARED = ((1, 1), (3, 2), (2, 37), (1, 250), (1, 1000))  # B and T of the features that are compared
SETTINGS = "lab41_sce.json"  # in a SavedModel; ONNX has the same text as metadata "lab41_sce"

Run = Callable[[np.ndarray], np.ndarray]


def export(model: SeparationModel, path: str | Path, format: str, part: str = "network") -> float:
    """Write a network of a model for another runtime, if the outputs are those of the Keras model.

    Args:
        model: the trained model.
        path: the file (ONNX) or folder (SavedModel) to create.
        format: "onnx" or "saved_model".
        part: "network", or "mask_network" for the network that makes soft masks complex.

    Returns:
        The largest difference from the Keras model that was found, relative to the range of its outputs.

    Raises:
        UserError: `path` exists or cannot be written, a package is missing, the model has no such network, the network
            cannot be converted, or the outputs differ by more than `TOLERANCE`. Nothing is written then.
    """
    for value, possible, name in ((format, FORMATS, "format"), (part, PARTS, "part")):
        if value not in possible:
            raise UserError(f"the {name} {value} is unknown; choose from {', '.join(possible)}.")
    if part == "mask_network" and getattr(model, "mask_network", None) is None:
        raise UserError("this model has no mask network; export the part network.")
    require_packages(format)
    path = Path(path)
    write, load = (_write_onnx, _load_onnx) if format == "onnx" else (_write_saved_model, _load_saved_model)
    _refuse_existing(path)
    temporary = temporary_name(path)
    with lock(lock_name(path)):
        _refuse_existing(path)  # another process may have written it meanwhile
        try:
            _remove(temporary)  # left by a process that was killed
            write(model, part, temporary)
            difference = largest_difference(model, load(temporary), part)
            put_in_place(temporary, path)
        except OSError as error:
            raise UserError(f"{path} could not be written ({error.strerror or error}); free some space or choose "
                            "another folder.") from None
        finally:
            _remove(temporary)
    return difference


def require_packages(format: str) -> None:
    """Raise UserError if the packages that a format needs are not installed."""
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None] if format == "onnx" else []
    if missing:
        raise UserError(f"the export to ONNX needs {' and '.join(missing)}, not installed here; run "
                        "pip install onnx onnxruntime, or export to saved_model.")


def network_to_export(model: SeparationModel, part: str = "network") -> keras.Model:
    """Return the Keras model that is exported; its arguments are as in `export`."""
    if part == "mask_network":
        return model.mask_network
    outputs = model.network.output
    if isinstance(model, MaskModel):
        outputs = MASKS[model.mask](outputs)
    elif model.unit_norm:
        outputs = unit_length(outputs)
    return keras.Model(model.network.input, outputs)


def saved_network(network: keras.Model) -> SavedNetwork:
    """Return the layers of a Keras network with their weights, as `saved_network.read_model` reads them from a file.

    Raises:
        UserError: a layer does not compute in float32.
    """
    described = json.loads(json.dumps(keras.saving.serialize_keras_object(network)))
    weights = {layer.name: layer.get_weights() for layer in network.layers}
    return read_network(described, lambda layer: weights.get(layer["config"]["name"], []))


def settings(model: SeparationModel) -> dict[str, Any]:
    """Return what separation needs besides the network: class, front end, and the other arguments of the model."""
    left_out = ("name", "trainable", "dtype", "network", "mask_network", "front_end")
    arguments = {name: value for name, value in model.get_config().items() if name not in left_out}
    if isinstance(model, AttractorModel):
        arguments["fixed_attractors"] = keras.ops.convert_to_numpy(model.fixed_attractors).tolist()  # [S, K]
    front_end = {item.name: getattr(model.front_end, item.name) for item in fields(FrontEndSettings)}
    return {"model": type(model).__name__, "front_end": front_end, **arguments}


def largest_difference(model: SeparationModel, run: Run, part: str = "network") -> float:
    """Compare an exported network with the Keras model.

    Args:
        model: the trained model.
        run: maps the inputs of the exported network to its outputs, float32.
        part: as in `export`.

    Returns:
        The largest difference, relative to the range of the outputs of the Keras model.

    Raises:
        UserError: the difference is larger than `TOLERANCE`, or the model returns values that are not finite.
    """
    reference, fixed_frames, largest = network_to_export(model, part), model.network.input_shape[1], 0.0
    for seed, (batch, frames) in enumerate(COMPARED):
        shape = (batch, fixed_frames or frames, model.front_end.n_bins)
        magnitudes = np.exp(2 * np.random.default_rng(seed).standard_normal(shape))  # levels as uneven as in speech
        features = keras.ops.convert_to_numpy(model.front_end(magnitudes.astype(np.float32)))
        if part == "mask_network":
            features = np.repeat(features, INPUTS, axis=2)
        expected, found = reference.predict_on_batch(features), run(features)
        if not np.isfinite(expected).all():
            raise UserError("the Keras model returns values that are not finite, so it cannot be exported; train it "
                            "again with a smaller learning rate.")
        if found.shape != expected.shape:
            raise UserError(f"the exported network returns the shape {found.shape}, the Keras model {expected.shape}; "
                            "nothing was written. Export to the other format.")
        # Outputs that hardly differ from one another are compared relative to their size.
        scale = max(np.ptp(expected), 0.01 * np.abs(expected).max(), 1e-12)
        difference = float(np.abs(found - expected).max() / scale)
        if not difference <= TOLERANCE:  # also where it is not a number
            raise UserError(f"for {shape[1]} frames, the outputs of the exported network differ from those of the "
                            f"Keras model by {difference:.1e} of their range, more than {TOLERANCE:.0e}; nothing was "
                            "written. Export to the other format.")
        largest = max(largest, difference)
    return largest


def _write_onnx(model: SeparationModel, part: str, path: Path) -> None:
    """Write an ONNX file with the settings as metadata."""
    import onnx

    from lab41_sce.models.onnx_graph import onnx_model  # onnx is optional

    if part == "mask_network":
        converted = onnx_model(saved_network(model.mask_network), "changes")
    elif isinstance(model, MaskModel):
        converted = onnx_model(saved_network(model.network), "masks", mask=model.mask)
    else:
        converted = onnx_model(saved_network(model.network), "embeddings", unit_norm=model.unit_norm)
    onnx.helper.set_model_props(converted, {"lab41_sce": json.dumps(settings(model))})
    try:
        onnx.checker.check_model(converted)
    except onnx.checker.ValidationError as error:  # two layers with one name, for example
        raise UserError(f"the network cannot be written as ONNX ({str(error).splitlines()[0][:200]}); nothing was "
                        "written. Export to saved_model.") from None
    path.write_bytes(converted.SerializeToString())


def _load_onnx(path: Path) -> Run:
    """Return the function that an ONNX file computes."""
    try:
        return session_function(str(path))
    except Exception as error:  # the exceptions of onnxruntime have no common class
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"onnxruntime cannot run the exported network ({reason}); nothing was written. Export to "
                        "saved_model.") from None


def _write_saved_model(model: SeparationModel, part: str, folder: Path) -> None:
    """Write a SavedModel with the settings in its folder `assets.extra`."""
    import tensorflow as tf

    network = network_to_export(model, part)
    signature = [keras.InputSpec(dtype="float32", shape=network.input_shape)]
    try:
        network.export(str(folder), format="tf_saved_model", verbose=False, input_signature=signature)
    except tf.errors.OpError as error:  # a full disk, for example
        raise OSError(error.message.split("; ")[-1]) from None
    extra = folder / "assets.extra"  # the place that TensorFlow leaves to others
    extra.mkdir()
    (extra / SETTINGS).write_text(json.dumps(settings(model)), "utf-8")


def _load_saved_model(folder: Path) -> Run:
    """Return the function that a SavedModel computes."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    return lambda features: loaded.serve(features).numpy()


def _refuse_existing(path: Path) -> None:
    """Raise UserError if there is a file or folder."""
    if path.exists():
        raise UserError(f"{path} exists; delete it, or choose another name.")


def _remove(path: Path) -> None:
    """Delete a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
