"""Intended attacks by models and configurations that would run other code."""

import contextlib
import io
import itertools
import json
import os
import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from lab41_sce.errors import UserError
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.runs import config_schema
from lab41_sce.separation.chunked_inference import estimate_masks
from lab41_sce.separation.separator import Separator
from reliability.campaign import Lost

pytestmark = pytest.mark.torture(part="inputs")
SIGNAL = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
PLACES = ("method.build", "network", "front_end", "others.unprocessed.build", "method.build.more", "network.more.inner",
          "method.build.more.0", "others.x.build", "new")
TARGETS = (
    "os.system", "os.popen", "subprocess.run", "builtins.exec", "builtins.eval", "builtins.__import__", "shutil.rmtree",
    "pathlib.Path.unlink", "pickle.loads", "importlib.import_module", "hydra.utils.instantiate", "numpy.load",
    "keras.saving.load_model", "keras.utils.get_file", "lab41_sce.runs.versions.subprocess.run",
    "lab41_sce.atomic_write.write_text", "lab41_sce.models.networks.keras.utils.get_file",
    "lab41_sce.evaluation.saved_model.Path.unlink", "lab41_sce.methods.sce", "lab41_sce.methods.sce.build.__globals__",
    "lab41_sce.methods..sce.build", "lab41_sce.methods.sce.build ", " lab41_sce.methods.sce.build",
    "lab41_sce.methods.sce.build\n", "lab41_sce/networks/blstm", "lab41_sce_networks.blstm",
    "xlab41_sce.models.networks.blstm", "lab41_sce.models.networks.blstm;os.system", "", "os", None, 5,
    ["os.system"], {"a": "os.system"}, "${hidden}", "${oc.env:HOME}")
INDIRECT = ("${oc.create:{_target_: os.system}}", "${oc.create:${text}}", "${oc.create:[{_target_: os.system}]}",
            ["${oc.create:{_target_: os.system}}"], [[{"_target_": "os.system"}]])


class PickleTrap:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self._marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self._marker}'",)


def lambda_layer(marker):
    """Return a layer that makes a file when it is called."""
    command = f"touch {str(marker)!r}"
    return keras.layers.Lambda(eval(f"lambda x: (__import__('os').system({command!r}), x)[1]"), name="trap")


def payloads(marker: Path) -> list:
    """List what makes a file if Keras calls what a configuration names, and values that are no objects."""
    command, trap = f"touch '{marker}'", keras.saving.serialize_keras_object(lambda_layer(marker))

    def named(module, name, config, registered=None):
        return {"module": module, "class_name": name, "config": config, "registered_name": registered}

    return [
        trap, trap["config"]["function"], named("keras.config", "enable_unsafe_deserialization", {}),
        named("os", "system", command), named("os", "system", {"command": command}), named("builtins", "exec", command),
        named("subprocess", "Popen", {"args": ["touch", str(marker)]}), named("os", "function", "system"),
        named("builtins", "function", "system", "os>system"), named("keras", "src.os.system", command),
        named("keras.utils", "get_file", {"fname": str(marker), "origin": f"file://{__file__}"}),
        named("keras.layers", "TFSMLayer", {"filepath": str(marker.parent)}),
        named("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
        named("lab41_sce.atomic_write", "write_text", {"path": str(marker), "text": ""}),
        named("lab41_sce.runs.run_directory", "shutil", {}), {"class_name": "Nothing"}, None, 5, [],
    ]


def places_of(config, path=()):
    """Yield the paths of all dicts and lists in a configuration."""
    yield path
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        if isinstance(value, (dict, list)):
            yield from places_of(value, (*path, key))


def replaced(config, path, value):
    """Return a configuration with another value in one place."""
    if not path:
        return value
    inner = changed = json.loads(json.dumps(config))
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def lambda_models(folder, model, marker):
    """Make model files that run code where Keras's safe mode is off, which is verified."""
    features = keras.Input(model.network.input_shape[1:])
    networks = (keras.Model(features, lambda_layer(marker)(model.network(features))),
                keras.Model(features, model.network(lambda_layer(marker)(features))),
                keras.Model(features, model.network(keras.layers.TimeDistributed(lambda_layer(marker))(features))))
    for number, network in enumerate(networks):
        trap = folder / f"trap_{number}.keras"
        EmbeddingModel(FrontEnd.from_config(model.front_end.get_config()), network).save(trap)
        marker.unlink(missing_ok=True)  # building the network may have run the layer
        estimate_masks(keras.saving.load_model(trap, safe_mode=False), SIGNAL, 2)
        assert marker.exists(), f"trap {number} runs no code"
        marker.unlink()
        yield trap.read_bytes()


def hostile_models(folder, model, marker, quick):
    """List contents of model files: bytes, or the members of the archive."""
    honest = folder / "honest.keras"
    model.save(honest)
    with zipfile.ZipFile(honest) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    changed = [replaced(config, place, payload) for place in places_of(config) for payload in payloads(marker)]
    contents = [parts | {"config.json": json.dumps(other).encode()} for other in changed[:: 40 if quick else 2]]
    pickled, arrays = pickle.dumps(PickleTrap(marker)), io.BytesIO()
    np.savez(arrays, weights=np.array([PickleTrap(marker)], object))
    weights = parts["model.weights.h5"]
    contents += [parts | more for more in (
        {"model.weights.h5": pickled}, {"model.weights.h5": weights[:500]}, {"model.weights.h5": b""},
        {"config.json": b"{"}, {"config.json": b"null"}, {"config.json": b"[" * 100_000}, {"config.json": pickled},
        {"metadata.json": pickled}, {"../../evil": b"evil", "assets/../../evil": b"evil"})]
    bare = {"config.json": parts["config.json"], "metadata.json": parts["metadata.json"]}
    contents += [bare, bare | {"model.weights.npz": arrays.getvalue()}, {}, {"config.json": parts["config.json"]}]
    contents += [pickled, arrays.getvalue(), weights, b"", b"PK\3\4", honest.read_bytes()[:2000]]
    return contents + [*lambda_models(folder, model, marker)]


def load(folder, marker, content, check_message):
    """Load a model and separate with it; raise Lost if its code ran."""
    file = folder / "strange.keras"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in content.items():
                archive.writestr(name, part)
    try:
        separator = Separator.load(file)
        with contextlib.suppress(Exception):  # the model may be unusable; only its code matters here
            separator.separate(SIGNAL, 10000, 2)
    except UserError as error:
        check_message(error)
    finally:
        if marker.exists() or (folder.parent / "evil").exists():
            marker.unlink(missing_ok=True)
            raise Lost("its code ran")


def test_models(campaign, fuzz, separator, limited_memory, quick, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    marker = folder / "it ran"
    for content in hostile_models(folder, separator.model, marker, quick):
        campaign.run(lambda content=content: load(folder, marker, content, fuzz.is_clear))
    campaign.record("Models of strangers that would run code", campaign.time_and_memory())


def check_refusal(place, value, check_message):
    """Check that a configuration is refused which names other code in one place, openly or by OmegaConf's resolvers."""
    config = config_schema.compose_config(["+exp=smoke"])
    OmegaConf.set_struct(config, False)
    OmegaConf.update(config, "hidden", "os.system")
    OmegaConf.update(config, "text", "{_target_: os.system}")
    OmegaConf.update(config, place, value, merge=isinstance(value, dict), force_add=True)
    try:
        config_schema.check(config)
    except UserError as error:
        check_message(error)
    else:
        raise Lost(f"{place}={value} was accepted")


def test_configurations(campaign, fuzz, limited_memory, quick):
    values = [{"_target_": target} for target in TARGETS] + [*INDIRECT]
    for place, value in [*itertools.product(PLACES, values)][:: 40 if quick else 1]:
        campaign.run(lambda place=place, value=value: check_refusal(place, value, fuzz.is_clear))
    campaign.record("Configurations that would call other code", campaign.time_and_memory())
