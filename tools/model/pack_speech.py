"""Copy the speech that trained a model into a small tree, to be carried to another machine.

    python tools/pack_speech.py LIBRISPEECH SPLITS FOLDER [--rate-hz 11000] [--bits 12] [--parts 2]

SPLITS is the `splits.csv` of a run; speech of its `train` and `validation` is copied, the loudest sample of each file
at full scale, at a lower rate and rounded, as FLAC. With parts, FOLDER_1, FOLDER_2, ... hold about as much each.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from lab41_sce import audio
from lab41_sce.data import librispeech


def main():
    """Copy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("splits", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate-hz", type=int, default=11_000)
    parser.add_argument("--bits", type=int, default=12)
    parser.add_argument("--parts", type=int, default=1)
    options = parser.parse_args()
    listed = pd.read_csv(options.splits, dtype=str)
    wanted = listed[listed["split"].isin(["train", "validation"])]
    table = librispeech.load(options.root, sorted(wanted["subset"].unique()), check="headers")
    table = table[table["utterance"].isin(wanted["utterance"])]
    places = (table["seconds"].cumsum() / table["seconds"].sum() * options.parts).clip(upper=options.parts - 1e-9)
    step = 2 ** (16 - options.bits)
    for place, row in zip(places.astype(int), table.itertuples()):
        root = options.folder if options.parts == 1 else Path(f"{options.folder}_{place + 1}")
        target = root / Path(row.path).relative_to(options.root).with_suffix(".flac")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.root / "SPEAKERS.TXT", root / "SPEAKERS.TXT")
        signal = audio.read_mono(row.path, options.rate_hz)
        samples = np.round(signal / np.abs(signal).max() * (2 ** (options.bits - 1) - 1)).astype(np.int16) * step
        soundfile.write(target, samples, options.rate_hz, subtype="PCM_16", format="FLAC", compression_level=1.0)


if __name__ == "__main__":
    main()
