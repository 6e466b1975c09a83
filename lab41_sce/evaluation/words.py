"""A true source and its estimate `[N]` become a word accuracy: what a recogniser understands of the estimate.

    accuracy = 1 - (substituted + deleted + inserted words) / words of the true source

The words of the true source are those that the recogniser finds in it, so no transcript is needed and excerpts may
begin within a word. The recogniser is PocketSphinx with the model of American English in its package, for 16 kHz; it
needs no network. It makes many errors, also in clean speech: compare systems, not single mixtures.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from lab41_sce import audio

RATE_HZ = 16000
PEAK = 0.5  # of full scale, in all signals


def word_accuracy(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    """Compute the word accuracy of an estimate.

    Args:
        reference: true source, float `[N]`.
        estimate: float `[N]`.
        sample_rate_hz: of both; below 16 kHz, fewer words are recognised.

    Returns:
        At most 1; below 0 with many inserted words; NaN if no word is recognised in the reference.
    """
    true, found = (_recognise(audio.resample(signal, sample_rate_hz, RATE_HZ).tobytes())
                   for signal in (reference, estimate))
    return 1.0 - edits(true, found) / len(true) if true else float("nan")


def edits(true: Sequence[str], found: Sequence[str]) -> int:
    """Count the words to substitute, delete or insert (Levenshtein distance)."""
    row = [*range(len(found) + 1)]
    for place, word in enumerate(true, start=1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(found, start=1):
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (word != other))
    return row[-1]


@lru_cache(maxsize=32)  # the mixture and the true sources are compared with every system
def _recognise(signal: bytes) -> tuple[str, ...]:
    """Recognise the words of float32 samples at 16 kHz."""
    samples = np.frombuffer(signal, np.float32)
    scaled = samples * (PEAK * 32767 / max(np.abs(samples).max(initial=0.0), 1e-9))
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(scaled.astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return tuple(found.hypstr.split()) if found else ()


@cache
def _decoder() -> Any:
    """Load the recogniser; its features are normalised over each signal, so that no signal depends on earlier ones."""
    from pocketsphinx import Decoder

    return Decoder(samprate=RATE_HZ, cmn="batch", loglevel="FATAL")
