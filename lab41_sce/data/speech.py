"""The signals of a table of utterances: decoded once into memory, or read from disk when they are needed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.data import store
from lab41_sce.errors import UserError


class Speech:
    """Hold the signals of a table of utterances, decoded once in memory or on the fly from disk.

    Args:
        utterances: table with the columns `utterance`, `path`, `seconds`, and perhaps `speed`: how much faster than
            the file. One of a store has `start` and `stop`, too, and is always read from disk, by seeking
            (`corpora/store.py`).
        sample_rate_hz: rate of all signals.
        in_memory: True keeps every signal as 16-bit samples (72 MB an hour at 10 kHz); False decodes each excerpt anew.
    """

    def __init__(self, utterances: pd.DataFrame, sample_rate_hz: int, in_memory: bool = True):
        self.sample_rate_hz = sample_rate_hz
        self._rows = {utterance: row for row, utterance in enumerate(utterances["utterance"])}
        self._paths = utterances["path"].to_numpy(object)
        self._speeds = utterances.get("speed", pd.Series(1.0, utterances.index)).to_numpy(float)
        self._stored = utterances[["start", "stop"]].to_numpy() if "start" in utterances else None
        samples = utterances["seconds"].to_numpy(float) * sample_rate_hz
        self._lengths = (samples if self._stored is None else np.rint(samples)).astype(int)  # a store's are exact
        self._signals = []
        if in_memory and self._stored is None:
            read = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
                delayed(self._whole)(row) for row in range(len(self._paths)))
            self._signals = [*tqdm(read, "reading speech", len(self._paths), unit=" files", leave=False, disable=None)]
            self._lengths = np.fromiter(map(len, self._signals), int, len(self._signals))

    def _whole(self, row):
        """Read an utterance, int16 `[N]`. Played faster, a signal has fewer samples: those of a lower rate."""
        return audio.to_int16(audio.read_mono(self._paths[row], self.sample_rate_hz / self._speeds[row]))

    def length(self, utterance: str) -> int:
        """Return the number of samples of an utterance; of "a+b", utterances a and b in a row, the sum."""
        return int(sum(self._lengths[row] for row in self._parts(utterance)))

    def lengths(self, utterances: Sequence[str]) -> np.ndarray:
        """Return the number of samples of each of some utterances, int `[len(utterances)]`."""
        return self._lengths[np.fromiter(map(self._rows.__getitem__, utterances), int, len(utterances))]

    def excerpt(self, utterance: str, start: int, length: int) -> np.ndarray:
        """Return the samples from `start` on, float32 `[length]`, with zeros behind the end of an utterance or row."""
        excerpt, begin = np.zeros(length, np.float32), 0  # where the part begins in the row
        for row in self._parts(utterance):
            first, last = max(start, begin), min(start + length, begin + self._lengths[row])
            if first < last:
                signal = self._read(row, first - begin, last - begin)
                excerpt[first - start : first - start + len(signal)] = signal
            begin += self._lengths[row]
        return excerpt

    def _parts(self, utterance):
        """List the rows of an utterance, or of several in a row."""
        parts = [utterance] if utterance in self._rows else str(utterance).split("+")
        if unknown := [part for part in parts if part not in self._rows]:
            raise UserError(f"there is no utterance {unknown[0]!r} in this corpus; use the corpus that the list of "
                            "mixtures was made of.")
        return [self._rows[part] for part in parts]

    def _read(self, row, start, stop):
        """Return the samples from `start` to before `stop` of an utterance; fewer where a file is shorter than told."""
        if self._signals:
            return self._signals[row][start:stop] / np.float32(audio.FULL_SCALE)
        rate = self.sample_rate_hz / self._speeds[row]
        if self._stored is not None:
            return store.read(self._paths[row], *self._stored[row], start / rate, (stop - start) / rate, rate)
        return audio.read_excerpt(self._paths[row], start / rate, (stop - start) / rate, rate)
