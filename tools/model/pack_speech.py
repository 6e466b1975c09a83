"""Copy the training and validation speech of a run into a small tree, to be carried to another machine.

    python tools/model/pack_speech.py LIBRISPEECH SPLITS FOLDER [--rate-hz 11000] [--bits 12] [--parts 2]

SPLITS is the `splits.csv` of a run. Files are FLAC at a lower rate, rounded, with the peak of each at full scale. With
parts, FOLDER_1, FOLDER_2, ... hold about the same duration each.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from lab41_sce import audio
from lab41_sce.data.corpus import load_corpus


def main() -> None:
    """Copy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("splits", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate-hz", type=int, default=11_000)
    parser.add_argument("--bits", type=int, default=12)
    parser.add_argument("--parts", type=int, default=1)
    options = parser.parse_args()
    listed = pd.read_csv(options.splits, dtype=str).query("split in ('train', 'validation')")
    table = load_corpus(options.root, sorted(listed["subset"].unique()), check="headers")
    table = table[table["utterance"].isin(listed["utterance"])]
    parts = (table["seconds"].cumsum() / table["seconds"].sum() * options.parts).clip(upper=options.parts - 1e-9)
    step = 2 ** (16 - options.bits)
    for part, row in zip(parts.astype(int), table.itertuples()):
        root = options.folder if options.parts == 1 else Path(f"{options.folder}_{part + 1}")
        target = root / Path(row.path).relative_to(options.root).with_suffix(".flac")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.root / "SPEAKERS.TXT", root / "SPEAKERS.TXT")
        signal = audio.read_mono(row.path, options.rate_hz)
        samples = np.round(signal / np.abs(signal).max() * (2 ** (options.bits - 1) - 1)).astype(np.int16) * step
        soundfile.write(target, samples, options.rate_hz, subtype="PCM_16", format="FLAC", compression_level=1.0)


if __name__ == "__main__":
    main()
