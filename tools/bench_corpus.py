"""Corpus: the time until a LibriSpeech tree of 100, 10,000 or 280,000 utterances is indexed, first and again.

The tree is made of copies of one tiny file, linked under many names: 280,000 is all of LibriSpeech.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from bench import part_main

from lab41_sce.data import librispeech, splits

UTTERANCES, SPEAKERS = (100, 10_000, 280_000), (10, 250, 2338)


def make_tree(root: Path, n_utterances: int, n_speakers: int) -> None:
    """Make a tree in LibriSpeech's layout, of two seconds for each speaker, linked again and again."""
    soundfile.write(root / "one.flac", 0.1 * np.random.default_rng(0).standard_normal(32_000), 16_000)
    lines = [f"{speaker} | {'FM'[speaker % 2]} | train | 25 | NAME" for speaker in range(n_speakers)]
    (root / "SPEAKERS.TXT").write_text("\n".join(lines), "utf-8")
    first = {}
    for number in range(n_utterances):
        chapter, speaker = number // n_speakers // 25, number % n_speakers
        folder = root / "train" / str(speaker) / str(chapter)
        folder.mkdir(parents=True, exist_ok=True)
        utterance = folder / f"{speaker}-{chapter}-{number // n_speakers:04d}.flac"
        if number < n_speakers:
            first[speaker] = shutil.copyfile(root / "one.flac", utterance)
        else:
            os.link(first[speaker], utterance)


def measure(rows, quick: bool) -> None:
    """Index trees of growing size."""
    for n_utterances, n_speakers in [*zip(UTTERANCES, SPEAKERS, strict=True)][: 1 if quick else None]:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            make_tree(Path(folder), n_utterances, n_speakers)
            for which in ("first", "again"):
                start = time.perf_counter()
                table = librispeech.load(folder, ["train"], check="headers")
                splits.split(table, 2)
                taken = time.perf_counter() - start
                case = f"indexing {n_utterances} utterances, {which}"
                rows.add(case, taken, "s")
                rows.add(f"{case}: each thousand", 1000 * taken / n_utterances, "s")


if __name__ == "__main__":
    part_main(measure)
