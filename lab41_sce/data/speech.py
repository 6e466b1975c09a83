"""A table of utterances becomes signals: excerpts `[N]`, from memory or read from disk on demand."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.data.librispeech import MAX_PEAK, level_problem
from lab41_sce.data.mixture import full_scale
from lab41_sce.data.store_reader import StoredRecordings
from lab41_sce.errors import UserError


class Speech:
    """Provide the signals of a table of utterances at one sample rate.

    Args:
        utterances: table with the columns `utterance`, `path` and `seconds`, and optionally `speed`, the factor by
            which an utterance is played faster than its file. The table of a store also has `start` and `stop`; its
            utterances are always read from disk (`store_reader.py`).
        sample_rate_hz: of all signals.
        in_memory: True decodes every signal once and keeps its 16-bit samples (72 MB an hour at 10 kHz); False decodes
            each excerpt when it is requested.
    """

    def __init__(self, utterances: pd.DataFrame, sample_rate_hz: int, in_memory: bool = True):
        self.sample_rate_hz = sample_rate_hz
        self._rows = {utterance: row for row, utterance in enumerate(utterances["utterance"])}
        self._paths = utterances["path"].to_numpy(object)
        self._speeds = utterances.get("speed", pd.Series(1.0, utterances.index)).to_numpy(float)
        self._stored = StoredRecordings(utterances) if "start" in utterances else None
        samples = utterances["seconds"].to_numpy(float) * sample_rate_hz
        # The durations of a store are exact multiples of the sample period, apart from rounding errors.
        self._lengths = (samples if self._stored is None else np.rint(samples)).astype(int)
        self._signals: list[np.ndarray] = []
        if in_memory and self._stored is None:
            read = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
                delayed(self._whole)(row) for row in range(len(self._paths)))
            self._signals = [*tqdm(read, "reading speech", len(self._paths), unit=" files", leave=False, disable=None)]
            self._lengths = np.fromiter(map(len, self._signals), int, len(self._signals))

    def _whole(self, row: int) -> np.ndarray:
        """Read an utterance, int16 `[N]`; at a higher speed it has fewer samples, as if resampled to a lower rate."""
        signal = audio.read_mono(self._paths[row], self.sample_rate_hz / self._speeds[row])
        if np.abs(signal).max(initial=0.0) > MAX_PEAK:  # found earlier with corpus.check=samples
            raise UserError(f"{self._paths[row]} {level_problem(signal)}; scale it down, or set corpus.check=samples, "
                            "which leaves out such files.")
        return audio.to_int16(signal)

    def length(self, utterance: str) -> int:
        """Return the number of samples of an utterance, or of the joined utterances "a+b"."""
        return int(sum(self._lengths[row] for row in self._parts(utterance)))

    def lengths(self, utterances: Sequence[str]) -> np.ndarray:
        """Return the number of samples of each utterance, int `[len(utterances)]`."""
        return self._lengths[np.fromiter(map(self._rows.__getitem__, utterances), int, len(utterances))]

    def excerpt(self, utterance: str, start: int, length: int) -> np.ndarray:
        """Return an excerpt of an utterance.

        Args:
            utterance: its name, or names joined by "+": their signals are concatenated.
            start: first sample.
            length: N, samples.

        Returns:
            float32 `[N]`, with zeros after the end of the utterance.

        Raises:
            UserError: the corpus has no such utterance, or its file cannot be read any more.
        """
        samples = self.samples(utterance, start, length)
        return samples if samples.dtype == np.float32 else samples / np.float32(audio.FULL_SCALE)

    def samples(self, utterance: str, start: int, length: int) -> np.ndarray:
        """Return an excerpt as `excerpt` does, but as int16 where speech is kept so and the excerpt needs no zeros."""
        parts = self._parts(utterance)
        if len(parts) == 1 and start + length <= self._lengths[parts[0]]:
            samples = self._read(parts[0], start, start + length)
            if len(samples) == length:
                return samples
        excerpt, begin = np.zeros(length, np.float32), 0  # `begin`: first sample of the part in the joined utterance
        for row in parts:
            first, last = max(start, begin), min(start + length, begin + self._lengths[row])
            if first < last:
                samples = self._read(row, first - begin, last - begin)
                excerpt[first - start : first - start + len(samples)] = samples / np.float32(full_scale(samples))
            begin += self._lengths[row]
        return excerpt

    def _parts(self, utterance: str) -> list[int]:
        """Return the row of an utterance, or the rows of joined utterances."""
        if utterance in self._rows:
            return [self._rows[utterance]]
        parts = str(utterance).split("+")
        if unknown := [part for part in parts if part not in self._rows]:
            raise UserError(f"there is no utterance {unknown[0]!r} in this corpus; use the corpus that the evaluation "
                            "set was drawn from.")
        return [self._rows[part] for part in parts]

    def _read(self, row: int, start: int, stop: int) -> np.ndarray:
        """Return samples `start` to `stop - 1` of an utterance, int16 or float32; fewer if the file ends earlier."""
        if self._signals:
            return self._signals[row][start:stop]
        rate = self.sample_rate_hz / self._speeds[row]
        if self._stored is not None:
            return self._stored.read(row, start, stop, rate)
        return audio.read_excerpt(self._paths[row], start / rate, (stop - start) / rate, rate)
