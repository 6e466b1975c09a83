"""What a stranger would send on purpose: archives, models, configurations, lists.

Each function yields cases for `torture_inputs.py`: functions that raise if something is wrong.
"""

import contextlib
import gzip
import io
import itertools
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import soundfile
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from test_download import SUBSET, catalogue_of, tar_gz
from test_fuzz import Lost, said_clearly

from lab41_sce.data import evaluation_set as evaluation_lists
from lab41_sce.data import librispeech
from lab41_sce.data.download import download
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.runs import config_schema
from lab41_sce.separation.separator import Separator

FLAC = f"LibriSpeech/{SUBSET}/19/198/19-198-0000.flac"
MEGABYTE = bytes(1_000_000)
LARGE = 250  # megabytes


def archives(folders, quick: bool):
    """Unpack archives: nothing may appear outside the corpus's folder, nor be anything but files and folders."""
    rng = np.random.default_rng(0)
    kinds = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
             tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z")
    parts = ("..", ".", "a", "LibriSpeech", SUBSET, "", "C:", "\\..", "~", "/", "\0", "*", "ü")
    goals = ("..", "../../evil", "/etc/passwd", ".", FLAC, f"LibriSpeech/{SUBSET}/link")
    sound, link, evil = (FLAC, b"sound"), f"LibriSpeech/{SUBSET}/link", folders.mktemp("elsewhere") / "evil"
    listed = [[_member(name, kind, goals[0]), sound] for kind in kinds
              for name in ("../evil", str(evil), f"LibriSpeech/{SUBSET}/../../../evil", link)]
    listed += [
        [_member(link, tarfile.SYMTYPE, "../../.."), (f"{link}/evil", b"evil")],  # would be written through the link
        [_member(FLAC, tarfile.REGTYPE, pax={"path": "../../evil"}), sound],
        [_member(FLAC, tarfile.SYMTYPE, pax={"linkpath": "/etc/passwd"})],
        [(f"LibriSpeech/{SUBSET}/{'a/' * 2000}x", b"deep")], [("n" * 5000, b"long"), sound]]
    for _ in range(4 if quick else 150):
        name = "/".join(rng.choice(parts, rng.integers(1, 6)))
        listed.append([_member(name, kinds[rng.integers(len(kinds))], str(rng.choice(goals))), sound])
    contents = [tar_gz(*members) for members in listed]
    whole = gzip.decompress(tar_gz(sound, (f"LibriSpeech/{SUBSET}/b.flac", b"more")))
    for _ in range(4 if quick else 150):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 10)):
            damaged[place] = rng.integers(256)
        contents.append(_packed(bytes(damaged)))
    for content in contents:
        yield lambda content=content: _unpack(folders, content, evil)

    sparse = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,0", "GNU.sparse.name": FLAC,
              "GNU.sparse.size": str(10**12)}
    empty = b"".join(_member(f"LibriSpeech/{SUBSET}/{number}", tarfile.REGTYPE).tobuf() for number in range(1000))
    many = MEGABYTE, LARGE
    for grow in (lambda: tar_gz((FLAC, 30 * MEGABYTE)), lambda: _packed(empty, 100),
                 lambda: _packed(_member(FLAC, tarfile.REGTYPE, pax=sparse).tobuf(tarfile.PAX_FORMAT) + bytes(1024)),
                 lambda: _packed(_sized(tarfile.XHDTYPE)) + _packed(*many),
                 lambda: _packed(_sized(tarfile.GNUTYPE_LONGNAME)) + _packed(*many),
                 lambda: _packed(_sized(tarfile.REGTYPE, 10**12)) + _packed(*many)):
        yield lambda grow=grow: _unpack(folders, grow(), evil)


def _unpack(folders, content, evil):
    """Download an archive that lies there already, and look what it did, and whether it wrote to `evil`."""
    around = folders.mktemp("archive")
    root = around / "deep" / "corpus"
    root.mkdir(parents=True)
    (root / f"{SUBSET}.tar.gz").write_bytes(content)
    try:
        download([SUBSET], root, catalogue=catalogue_of(content))
        refused = False
    except UserError as error:
        said_clearly(error)
        refused = True
    found = {*around.rglob("*")} - {around / "deep", root, root / f"{SUBSET}.tar.gz"}
    if os.path.lexists(evil) or [path for path in found if root not in path.parents]:
        evil.unlink(missing_ok=True)
        raise Lost("it wrote outside the folder")
    assert not [path for path in found if path.is_symlink() or not (path.is_file() or path.is_dir())]
    assert not (refused and found), "something is left of an archive that was refused"
    shutil.rmtree(around)


def _member(name, kind, goal="", pax=None):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.pax_headers = kind, goal, pax or {}
    return member


def _sized(kind, size=LARGE * 1_000_000):
    """Make the header of what is so large."""
    member = _member(FLAC, kind)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _packed(content, times=1):
    """Compress the same content so many times in a row."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        for _ in range(times):
            packed.write(content)
    return file.getvalue()


def models(folders, separator, quick: bool):
    """Load models with something to run in every place of their configuration: the file it would make must not be."""
    folder = folders.mktemp("models")
    marker, honest = folder / "it ran", folder / "honest.keras"
    separator.model.save(honest)
    with zipfile.ZipFile(honest) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    changed = [_replaced(config, place, payload) for place in _places(config) for payload in payloads(marker)]
    contents = [parts | {"config.json": json.dumps(other).encode()} for other in changed[:: 40 if quick else 2]]

    pickled, arrays = pickle.dumps(_Trap(marker)), io.BytesIO()
    np.savez(arrays, weights=np.array([_Trap(marker)], object))
    weights = parts["model.weights.h5"]
    contents += [parts | more for more in (
        {"model.weights.h5": pickled}, {"model.weights.h5": weights[:500]}, {"model.weights.h5": b""},
        {"config.json": b"{"}, {"config.json": b"null"}, {"config.json": b"[" * 100_000}, {"config.json": pickled},
        {"metadata.json": pickled}, {"../../evil": b"evil", "assets/../../evil": b"evil"})]
    bare = {"config.json": parts["config.json"], "metadata.json": parts["metadata.json"]}
    contents += [bare, bare | {"model.weights.npz": arrays.getvalue()}, {}, {"config.json": parts["config.json"]}]
    contents += [pickled, arrays.getvalue(), weights, b"", b"PK\3\4", honest.read_bytes()[:2000]]
    contents += _sharp(folder, separator.model, marker)
    for content in contents:
        yield lambda content=content: _load(folder, marker, content)


def _sharp(folder, model, marker):
    """Make models that do run something where Keras's safe mode is off: it is tried, or they would prove nothing."""
    spring = eval(f"lambda x: (__import__('os').system({f'touch {str(marker)!r}'!r}), x)[1]")
    features = keras.Input(model.network.input_shape[1:])
    behind = keras.Model(features, keras.layers.Lambda(spring, name="spring")(model.network(features)))
    before = keras.Model(features, model.network(keras.layers.Lambda(spring, name="spring")(features)))
    hidden = keras.layers.TimeDistributed(keras.layers.Lambda(spring, name="spring"))(features)
    files = []
    for number, network in enumerate((behind, before, keras.Model(features, model.network(hidden)))):
        trap = folder / f"sharp_{number}.keras"
        EmbeddingModel(FrontEnd.from_config(model.front_end.get_config()), network).save(trap)
        marker.unlink(missing_ok=True)  # building it may have run it
        loaded = keras.saving.load_model(trap, safe_mode=False)
        loaded.masks(np.random.default_rng(0).standard_normal(5000).astype(np.float32), 2)
        assert marker.exists(), f"trap {number} is blunt"
        marker.unlink()
        files.append(trap.read_bytes())
    return files


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, marker):
        self._marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self._marker}'",)


def payloads(marker: Path) -> list:
    """List what would make a file if Keras called what a configuration names, and what is no object at all."""
    command = f"touch '{marker}'"
    layer = keras.layers.Lambda(eval(f"lambda x: (__import__('os').system({command!r}), x)[1]"), name="trap")
    trap = keras.saving.serialize_keras_object(layer)

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
        named("lab41_sce.runs", "shutil", {}), {"class_name": "Nothing"}, None, 5, [],
    ]


def _places(config, path=()):
    """List where in a configuration something can stand."""
    yield path
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        if isinstance(value, (dict, list)):
            yield from _places(value, (*path, key))


def _replaced(config, path, value):
    """Return a configuration with another value in one place."""
    if not path:
        return value
    inner = changed = json.loads(json.dumps(config))
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def _load(folder, marker, content):
    """Load a model from the bytes of a file or of the members of an archive; separate with it, if that is possible."""
    file = folder / "strange.keras"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in content.items():
                archive.writestr(name, part)
    try:
        separator = Separator.load(file)
        with contextlib.suppress(Exception):  # it may lack what it takes: here counts only that nothing ran
            separator.separate(np.random.default_rng(0).standard_normal(5000), 10000, 2)
    except UserError as error:
        said_clearly(error)
    finally:
        if marker.exists() or (folder.parent / "evil").exists():
            marker.unlink(missing_ok=True)
            raise Lost("it ran")


PLACES = ("method.build", "network", "front_end", "others.unprocessed.build", "method.build.more", "network.more.inner",
          "method.build.more.0", "others.x.build", "new")
TARGETS = (
    "os.system", "os.popen", "subprocess.run", "builtins.exec", "builtins.eval", "builtins.__import__", "shutil.rmtree",
    "pathlib.Path.unlink", "pickle.loads", "importlib.import_module", "hydra.utils.instantiate", "numpy.load",
    "keras.saving.load_model", "keras.utils.get_file", "lab41_sce.runs.run_directory.subprocess.run",
    "lab41_sce.atomic_write.write_text",
    "lab41_sce.models.networks.keras.utils.get_file", "lab41_sce.evaluation.saved_model.Path.unlink",
    "lab41_sce.methods.sce",
    "lab41_sce.methods.sce.build.__globals__", "lab41_sce.methods..sce.build", "lab41_sce.methods.sce.build ",
    " lab41_sce.methods.sce.build", "lab41_sce.methods.sce.build\n", "lab41_sce/networks/blstm",
    "lab41_sce_networks.blstm", "xlab41_sce.models.networks.blstm", "lab41_sce.models.networks.blstm;os.system", "",
    "os", None, 5,
    ["os.system"], {"a": "os.system"}, "${hidden}", "${oc.env:HOME}")


def targets(quick: bool):
    """Check configurations that name something else to call, openly or by OmegaConf's ways to say it elsewhere."""
    named = [{"_target_": target} for target in TARGETS]
    named += ["${oc.create:{_target_: os.system}}", "${oc.create:${text}}", "${oc.create:[{_target_: os.system}]}",
              ["${oc.create:{_target_: os.system}}"], [[{"_target_": "os.system"}]]]
    for place, value in [*itertools.product(PLACES, named)][:: 40 if quick else 1]:
        yield lambda place=place, value=value: _refused(place, value)


def _refused(place, value):
    """Check that a configuration is refused."""
    with initialize_config_dir(str(config_schema.CONFIG_PATH.resolve()), version_base="1.3"):
        config = compose("config", overrides=["+exp=smoke"])
    OmegaConf.set_struct(config, False)
    OmegaConf.update(config, "hidden", "os.system")
    OmegaConf.update(config, "text", "{_target_: os.system}")
    OmegaConf.update(config, place, value, merge=isinstance(value, dict), force_add=True)
    try:
        config_schema.check(config)
    except UserError as error:
        said_clearly(error)
        return
    raise Lost(f"{place}={value} was taken")


def lists(folders):
    """Load corpora by lists of utterances and of folders, and mixtures by rows, that point somewhere else."""
    around = folders.mktemp("lists")
    root, elsewhere = around / "corpus", around / "elsewhere"
    noise = np.random.default_rng(0).standard_normal(32000) / 10
    for base, speaker in ((root / "train", "1"), (elsewhere / "train", "2")):
        (base / speaker / "1").mkdir(parents=True)
        soundfile.write(base / speaker / "1" / f"{speaker}-1-0.flac", noise, 16000)
    (root / "SPEAKERS.TXT").write_text("1 | F | train | 1 | One\n2 | M | train | 1 | Two\n")
    (root / "way").symlink_to(elsewhere)
    outside = elsewhere / "train" / "2" / "1" / "2-1-0"
    names = ["../elsewhere/train/2/1/2-1-0", str(outside), f"{outside}.flac", "way/train/2/1/2-1-0", "2-1-0", "", "\0",
             "2-1-0.flac", "..", "/", "/etc/passwd", "/dev/zero", "train/../../elsewhere/train/2/1/2-1-0", "~",
             "$HOME", "1-1-0/../2-1-0", "file:///etc/passwd", "1-1-0+../x", "*", "1-1-?"]
    for name in names:
        yield lambda name=name: _told(lambda: _restricted(root, name))
    for subset in ("../elsewhere/train", str(elsewhere / "train"), "..", ".", "/", "train/../../elsewhere/train", "",
                   "~", "*", "way/train", "\0", 5, None):
        yield lambda subset=subset: _told(lambda: librispeech.load(root, [subset]))
    table = librispeech.load(root, ["train"])
    row = {"mixture": "m", "split": "unseen", "kind": "FF", "sample_rate_hz": 16000, "length": 16000, "speaker_1": "1",
           "utterance_1": "1-1-0", "start_1": 0, "gain_1": 1.0}
    for in_memory in (True, False):
        speech = Speech(table, 16000, in_memory)
        evaluation_lists.load_mixture(speech, pd.Series(row))  # which can be taken
        for change in (*({"utterance_1": name} for name in names), {"length": 10**13}, {"length": -1}, {"length": 0},
                       {"start_1": -5}, {"start_1": 10**13}, {"gain_1": float("nan")}, {"gain_1": float("inf")}):
            yield lambda speech=speech, change=change: _told(
                lambda: evaluation_lists.load_mixture(speech, pd.Series(row | change)))
    yield lambda: _traps(root)


def _restricted(root, name):
    """Load one utterance of a name."""
    listed = root.parent / "list.csv"
    pd.DataFrame({"utterance": [name]}).to_csv(listed, index=False)
    return librispeech.load(root, ["train"], utterances=listed)


def _told(action):
    """Check that something is refused, in a sentence."""
    try:
        found = action()
    except UserError as error:
        said_clearly(error)
        return
    raise Lost(f"it was taken: {found}")


def _traps(root):
    """Load a corpus that holds a pipe, links to nowhere, to themselves and to devices, and headers that lie."""
    from torture_inputs import liars

    folder = root / "train" / "1" / "1"
    os.mkfifo(folder / "1-1-1.flac")
    for number, goal in enumerate(("missing", folder / "1-1-3.wav", "/dev/zero", "/dev/stdin"), start=2):
        (folder / f"1-1-{number}.wav").symlink_to(goal)
    (folder / "1-1-9.flac").mkdir()
    for number, (name, content) in enumerate(liars(np.random.default_rng(0).standard_normal(32000) / 10).items()):
        (folder / f"1-2-{number}{Path(name).suffix}").write_bytes(content)
    for check, in_memory in itertools.product(("samples", "headers"), (False, True)):
        table = librispeech.load(root, ["train"], check=check)
        assert [name for name in table["utterance"] if name.startswith("1-1-")] == ["1-1-0"]
        try:
            speech = Speech(table, 16000, in_memory)
            for name in table["utterance"]:
                speech.excerpt(name, 0, 100)
        except UserError as error:
            said_clearly(error)
