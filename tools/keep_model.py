"""Put the best model of a run into the package, its weights in half precision: the model that `separate` uses.

    python tools/keep_model.py runs/pretrained lab41_sce/pretrained

Besides the model, it keeps what tells how the model was made: configuration, splits, history, command and versions.
"""

import argparse
import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import yaml

from lab41_sce.files import write_text, write_whole

KEPT = ("config.yaml", "splits.csv", "history.csv", "systems.csv", "version.json")


def halve(source: Path, target: Path) -> None:
    """Copy a `.keras` file, a zip archive, with float16 weights; Keras makes them float32 again when it loads them."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            contents = old.read(name)
            new.writestr(name, _halved(contents) if name.endswith(".h5") else contents)


def _halved(contents: bytes) -> bytes:
    """Return an HDF5 file with the floats of every dataset in half precision."""
    halved = io.BytesIO()
    with h5py.File(io.BytesIO(contents)) as old, h5py.File(halved, "w") as new:
        new.attrs.update(old.attrs)

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                values = item[()]
                floats = np.issubdtype(values.dtype, np.floating)
                copied = new.create_dataset(name, data=values.astype(np.float16) if floats else values)
            else:
                copied = new.require_group(name)
            copied.attrs.update(item.attrs)

        old.visititems(copy)
    return halved.getvalue()


def main():
    """Copy and halve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    config = yaml.safe_load((options.run / "config.yaml").read_text("utf-8"))
    places = {str(options.run): f"runs/{config['name']}"}
    if config["corpus"]["root"]:
        places[str(config["corpus"]["root"])] = "$LIBRISPEECH"
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        text = (options.run / name).read_text("utf-8")
        for place, shown in places.items():
            text = text.replace(place, shown)
        write_text(options.folder / name, text)
    about = json.loads((options.folder / "version.json").read_text("utf-8"))
    commands = [start["command"] for start in (about, *about.get("resumed", [])) if "command" in start]
    write_text(options.folder / "command.txt", "".join(f"{command}\n" for command in dict.fromkeys(commands)))
    model = options.run / "systems" / config["method"]["name"] / "model.keras"
    write_whole(options.folder / "sce.keras", lambda path: halve(model, path))


if __name__ == "__main__":
    main()
