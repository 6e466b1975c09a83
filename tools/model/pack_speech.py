"""Copy the training and validation speech of a run into a small tree, to be carried to another machine.

    python tools/model/pack_speech.py LIBRISPEECH SPLITS FOLDER

SPLITS is the `splits.csv` of a run. Files are FLAC at 11 kHz with 12 bits, and the peak of each is at full scale.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from lab41_sce import audio
from lab41_sce.data.corpus import load_corpus

RATE_HZ, BITS = 11_000, 12


def main() -> None:
    """Copy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("root", "splits", "folder"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    listed = pd.read_csv(options.splits, dtype=str).query("split in ('train', 'validation')")
    table = load_corpus(options.root, sorted(listed["subset"].unique()), check="headers")
    for path in table.loc[table["utterance"].isin(listed["utterance"]), "path"]:
        target = options.folder / Path(path).relative_to(options.root).with_suffix(".flac")
        target.parent.mkdir(parents=True, exist_ok=True)
        signal = audio.read_mono(path, RATE_HZ)
        samples = np.round(signal / np.abs(signal).max() * (2 ** (BITS - 1) - 1)).astype(np.int16)
        soundfile.write(target, samples * 2 ** (16 - BITS), RATE_HZ, "PCM_16", format="FLAC", compression_level=1.0)
    shutil.copyfile(options.root / "SPEAKERS.TXT", options.folder / "SPEAKERS.TXT")


if __name__ == "__main__":
    main()
