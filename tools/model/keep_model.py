"""Put the best model of a run into the package, its weights in half precision: the model that `separate` uses.

    python tools/keep_model.py runs/pretrained --cluster-variance 0.7 --verification-threshold 0.5
    python tools/keep_model.py lab41_sce/pretrained/sce.keras --cluster-variance 0.75  # another threshold, all else as it was

`--cluster-variance` and `--verification-threshold` are the thresholds that `tools/score_counting.py` and `tools/score_enrolment.py` find best on
validation speakers, the other options what `tools/trial_inference.py` does. Beside the model goes the list of the
speakers that trained it, so that it is never scored on one of them. How it was made and what it scores is kept by
`tools/keep_results.py`.
"""

import argparse
import io
import json
import shutil
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from lab41_sce.atomic_write import write_text, write_whole
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.separator import Separator


def halve(source: Path, target: Path) -> None:
    """Copy a `.keras` file, a zip archive, with float16 weights; Keras makes them float32 again when it loads them.

    Settings that are not set and that older versions of Keras do not know are left out, so that these can load it.
    """
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            contents = old.read(name)
            change = {"model.weights.h5": _halved, "config.json": _older}.get(name, bytes)
            new.writestr(name, change(contents))


def _older(contents: bytes) -> bytes:
    """Return a model's settings without those that came after Keras 3.12, where they are None."""
    newer = [(name, None) for name in ("quantization_config", "input_axes", "output_axes")]
    settings = json.loads(contents, object_hook=lambda found: dict(pair for pair in found.items() if pair not in newer))
    return json.dumps(settings).encode()


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
    parser.add_argument("run", type=Path, help="its folder, or a .keras file with its splits.csv beside it")
    parser.add_argument("--cluster-variance", type=float, help="default of this and the others: as it is in the model")
    parser.add_argument("--verification-threshold", type=float)
    parser.add_argument("--hop-reduction", type=int, default=1, help="frames where there was one, see EmbeddingModel")
    parser.add_argument("--soft-scale", type=float)
    parser.add_argument("--range-db", type=float)
    parser.add_argument("--folder", type=Path, default=MODEL.parent)
    options = parser.parse_args()
    splits = ((options.run if options.run.is_dir() else options.run.parent) / "splits.csv").read_text("utf-8")
    model = Separator.load(options.run).model
    if options.hop_reduction < 1 or model.front_end.hop_length % options.hop_reduction:
        parser.error(f"--hop-reduction {options.hop_reduction} does not divide the hop of {model.front_end.hop_length} samples")
    for name in ("cluster_variance", "verification_threshold", "soft_scale", "range_db"):
        setattr(model, name, getattr(options, name) or getattr(model, name))
    model.hop_reduction *= options.hop_reduction
    model.front_end.hop_length //= options.hop_reduction
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        halve(Path(folder) / "model.keras", Path(folder) / MODEL.name)
        Separator.load(Path(folder) / MODEL.name)  # before it replaces one that works
        write_text(options.folder / "splits.csv", splits)
        write_whole(options.folder / MODEL.name, partial(shutil.copyfile, Path(folder) / MODEL.name))


if __name__ == "__main__":
    main()
