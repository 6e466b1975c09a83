"""Draw mixtures of two speakers of a LibriSpeech subset, as metadata in the form of Libri2Mix.

    python tools/assets/draw_librimix_metadata.py LIBRISPEECH test-other libri2mix_test-other.csv

Every utterance is in two mixtures. As in LibriMix, the level of each voice is uniform from -33 to -25 dB, and both are
reduced together if the peak of the mixture exceeds 0.9. Here the level is the RMS relative to full scale, in LibriMix
the loudness in LUFS. No noise is drawn.

A subset may have `MAX_UTTERANCES` at most, an even number, such as a part of test-other: all pairs are drawn again
until nobody is paired with themselves, which almost never happens with more.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from lab41_sce import audio
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.librimix import SOURCE_RATE_HZ

LEVELS_DB, MAX_PEAK = (-33, -25), 0.9
MAX_UTTERANCES = 200


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("subset")
    parser.add_argument("metadata", type=Path, help="CSV file to write")
    options = parser.parse_args()
    table, rng = load_corpus(options.root, [options.subset], check="headers"), np.random.default_rng(0)
    if len(table) % 2 or len(table) > MAX_UTTERANCES:
        parser.error(f"{options.subset} has {len(table)} utterances; an even number up to {MAX_UTTERANCES} is needed")
    speakers, pairs = dict(zip(table["path"], table["speaker"], strict=True)), set()
    while len(pairs) < len(table):
        order = list(rng.permutation(sorted(table["path"])))
        drawn = {(min(pair), max(pair)) for pair in zip(order[::2], order[1::2], strict=True)}
        if not drawn & pairs and all(speakers[first] != speakers[second] for first, second in drawn):
            pairs |= drawn
    rows = [draw_row(pair, options.root, rng) for pair in sorted(pairs)]
    pd.DataFrame(rows).to_csv(options.metadata, index=False)


def draw_row(paths: tuple[str, ...], root: Path, rng: np.random.Generator) -> dict[str, str | float]:
    """Draw the gains of one mixture."""
    signals = [audio.read_mono(path, SOURCE_RATE_HZ) for path in paths]
    gains = np.array([10 ** (rng.uniform(*LEVELS_DB) / 20) / np.sqrt(np.mean(signal**2)) for signal in signals])
    mixture = np.zeros(max(map(len, signals)))
    for signal, gain in zip(signals, gains, strict=True):
        mixture[: len(signal)] += gain * signal
    gains *= min(1, MAX_PEAK / np.abs(mixture).max())
    row: dict[str, str | float] = {"mixture_ID": "_".join(Path(path).stem for path in paths)}
    for place, (path, gain) in enumerate(zip(paths, gains, strict=True), start=1):
        row |= {f"source_{place}_path": Path(path).relative_to(root).as_posix(), f"source_{place}_gain": float(gain)}
    return row | {"noise_path": "", "noise_gain": 0.0}


if __name__ == "__main__":
    main()
