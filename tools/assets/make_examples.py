"""Mix the package's examples, `lab41_sce/examples`, from the embedded corpus.

    python tools/assets/make_examples.py

An example is one sentence each of two or three voices, equally loud, which begin one after the other and overlap.
"""

from collections.abc import Iterable

import numpy as np

from lab41_sce import audio
from lab41_sce.data.corpus import EMBEDDED_ROOT
from lab41_sce.examples import EXAMPLES, FOLDER

UTTERANCES = {"mixture": ("3-1-0001", "13-1-0004"), "two_women": ("16-1-0003", "7-1-0006"),
              "three_people": ("17-1-0002", "22-1-0005", "10-1-0007")}
DELAY_SECONDS = 0.6  # of each voice after the previous one
RATE_HZ = 16000
PEAK = 0.9


def load(utterance: str) -> np.ndarray:
    """Read an utterance of the embedded corpus, such as "3-1-0001", at the rate of the examples; float32 `[N]`."""
    speaker, chapter, _ = utterance.split("-")
    return audio.read_mono(EMBEDDED_ROOT / "synthetic" / speaker / chapter / f"{utterance}.ogg", RATE_HZ)


def overlap(voices: Iterable[np.ndarray]) -> np.ndarray:
    """Place voices one after the other at equal levels, float32 `[S, N]`; an example is their scaled sum."""
    placed = [np.pad(voice / voice.std(), (round(number * DELAY_SECONDS * RATE_HZ), 0))
              for number, voice in enumerate(voices)]
    length = max(map(len, placed))
    return np.stack([np.pad(voice, (0, length - len(voice))) for voice in placed])


def main() -> None:
    """Mix and write."""
    for example in EXAMPLES:
        mixture = overlap(map(load, UTTERANCES[example.stem])).sum(axis=0)
        audio.write(example, PEAK * mixture / np.abs(mixture).max(), RATE_HZ, "PCM_16")
        print(f"{example.relative_to(FOLDER.parent.parent)}: {len(mixture) / RATE_HZ:.1f} s")


if __name__ == "__main__":
    main()
