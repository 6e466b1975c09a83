"""Put the best model of a run into the package, with weights in half precision: the model that `separate` uses.

    python tools/model/keep_model.py runs/shipped --cluster-variance 0.7 --verification-threshold 0.5
    python tools/model/keep_model.py lab41_sce/pretrained/sce.keras --cluster-variance 0.75  # all else as before

`choose_cluster_variance.py` and `score_enrolment.py` find the best thresholds on validation speakers. The list of the
training speakers is stored beside the model, so that no score of the model uses one of them. `keep_results.py` keeps
how the model was trained and scored. Then run `lab41-sce calibrate`, because a classifier belongs to one network.
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
    """Copy a `.keras` file with float16 weights, which Keras converts to float32 when it loads them.

    Unused settings that Keras 3.12 does not know are left out, so that it can load the copy.
    """
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            change = {"model.weights.h5": _halve_weights, "config.json": _drop_new_settings}.get(name, bytes)
            new.writestr(name, change(old.read(name)))


def _drop_new_settings(contents: bytes) -> bytes:
    """Return a model's settings without those that came after Keras 3.12 and have no effect."""
    newer = [*((name, None) for name in ("quantization_config", "input_axes", "output_axes", "renorm_clipping")),
             ("renorm", False), ("renorm_momentum", 0.99)]
    settings = json.loads(contents, object_hook=lambda found: dict(pair for pair in found.items() if pair not in newer))
    return json.dumps(settings).encode()


def _halve_weights(contents: bytes) -> bytes:
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


def main() -> None:
    """Change the settings, halve the weights, and store the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="its folder, or a .keras file with its splits.csv beside it")
    parser.add_argument("--cluster-variance", type=float, help="default of this option and the others: as in the model")
    parser.add_argument("--verification-threshold", type=float)
    parser.add_argument("--hop-reduction", type=int, default=1, help="factor of the number of frames")
    parser.add_argument("--soft-scale", type=float)
    parser.add_argument("--range-db", type=float)
    parser.add_argument("--folder", type=Path, default=MODEL.parent)
    options = parser.parse_args()
    splits = ((options.run if options.run.is_dir() else options.run.parent) / "splits.csv").read_text("utf-8")
    model = Separator.load(options.run, runtime="keras").model
    hop = model.front_end.hop_length
    if options.hop_reduction < 1 or hop % options.hop_reduction:
        parser.error(f"--hop-reduction {options.hop_reduction} does not divide the hop of {hop} samples")
    for name in ("cluster_variance", "verification_threshold", "soft_scale", "range_db"):
        if getattr(options, name) is not None:
            setattr(model, name, getattr(options, name))
    model.hop_reduction *= options.hop_reduction
    model.front_end.hop_length //= options.hop_reduction
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        whole, halved = Path(folder) / "whole.keras", Path(folder) / MODEL.name
        model.trainable = False  # Keras 3.15 passes on only a value that changes
        model.trainable = True
        model.save(whole)
        halve(whole, halved)
        Separator.load(halved)  # a broken file must not replace a good one
        write_text(options.folder / "splits.csv", splits)
        write_whole(options.folder / MODEL.name, partial(shutil.copyfile, halved))


if __name__ == "__main__":
    main()
