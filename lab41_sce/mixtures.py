"""Utterances become mixtures, and training gets endless random ones (those to score on are in `lists.py`).

A mixture is the sum of S excerpts, each of another speaker. Every excerpt is brought to zero mean and unit standard
deviation *after pre-emphasis*, then to its level; at the default level of 0 dB the speakers are equally loud (protocol
of arXiv 1705.04662). What travels are waveforms `[B, S, N]`; spectrograms are made inside the model.

With noise (`noise.py`), the mixture is the sum of its sources and the noise.

Randomness: batch number i of a seed is always the same, so training resumes by counting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.augmentation import TERMS, draw_responses
from lab41_sce.corpora import storage
from lab41_sce.corpora.splits import BySpeaker
from lab41_sce.errors import UserError
from lab41_sce.noise import Noise, scaled


class Speech:
    """Hold the signals of a table of utterances, decoded once in memory or on the fly from disk.

    Args:
        utterances: table with the columns `utterance`, `path`, `seconds`, and perhaps `speed`: how much faster than
            the file. One of a store has `start` and `stop`, too, and is always read from disk, by seeking
            (`corpora/storage.py`).
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
            return storage.read(self._paths[row], *self._stored[row], start / rate, (stop - start) / rate, rate)
        return audio.read_excerpt(self._paths[row], start / rate, (stop - start) / rate, rate)


@dataclass(frozen=True)
class Mixture:
    """Hold one mixture whose truth is known.

    Attributes:
        sources: float32 `[S, N]`.
        speakers: their ids.
        noise: float32 `[N]`, or None.
    """

    sources: np.ndarray
    speakers: tuple[str, ...] = ()
    noise: np.ndarray | None = None

    @property
    def signal(self) -> np.ndarray:
        """The sum of the sources and the noise, float32 `[N]`."""
        speech = self.sources.sum(axis=0)
        return speech if self.noise is None else speech + self.noise

    @property
    def n_speakers(self) -> int:
        """S."""
        return len(self.sources)


class TrainingMixtures:
    """Draw endless batches of random mixtures of known speakers.

    Args:
        speech: the signals.
        utterances: table of the utterances to draw from (columns `utterance`, `speaker`, `sex`).
        speakers: ids of the trained speakers; a speaker's place in this list is its number.
        n_speakers: S, different speakers in each mixture.
        seconds: length of the excerpts.
        batch_size: B.
        level_range_db: each speaker's level is uniform within plus and minus half of this range.
        same_sex: share of mixtures whose speakers are all of one sex; None leaves it to chance.
        pre_emphasis: coefficient under which levels are measured.
        seed: of everything drawn.
        noise: what to draw noise with, if wanted; its kinds are all alike likely.
        snr_db: lowest and highest signal-to-noise ratio.
        response_db: range of the random frequency response that each speaker gets (see `augmentation.py`).
        telephone: share of mixtures that went through a telephone line.
        speaker_shares: how many of the mixtures have how many speakers, such as `{1: 0.1, 2: 0.6, 3: 0.3}`; then S is
            the largest of these numbers, and who is missing is silent. None: all have `n_speakers`.
        easy_batches: the first so many batches are of the most frequent number of speakers, as they were recorded,
            without noise: a network soon learns from them what it is about.
        rows: which rows of a batch to make, where several workers share it; they are those of the whole batch.
    """

    def __init__(self, speech, utterances, speakers, n_speakers=2, seconds=1.0, batch_size=32, level_range_db=0.0,
                 same_sex=None, pre_emphasis=0.95, seed=0, noise: Noise | None = None, snr_db=(0, 0), response_db=0.0,
                 telephone=0.0, speaker_shares=None, easy_batches=0, rows=slice(None)):
        self.speech = speech
        self.speaker_shares = dict(speaker_shares or {n_speakers: 1.0})
        self.n_speakers = n_speakers = max(self.speaker_shares)
        self.length = round(seconds * speech.sample_rate_hz)
        self.batch_size = batch_size
        self.level_range_db = level_range_db
        self.same_sex = same_sex
        self.pre_emphasis = pre_emphasis
        self.seed = seed
        self.noise, self.snr_db = noise, snr_db
        self.response_db, self.telephone = response_db, telephone
        self.easy_batches = easy_batches
        self.rows = rows
        self.error: UserError | None = None  # what stopped `dataset`
        self._speakers = list(speakers)
        numbers = {speaker: number for number, speaker in enumerate(speakers)}
        self._utterances = self._as_recorded = _Pool(speech, utterances, numbers)
        if "speed" in utterances and (utterances["speed"] != 1).any():
            recorded = utterances["speed"] == 1
            only_changed = ~utterances["speaker"].isin(utterances.loc[recorded, "speaker"])
            self._as_recorded = _Pool(speech, utterances[recorded | only_changed], numbers)
        first = utterances.drop_duplicates("speaker").sort_values("speaker")
        self._everyone = np.sort(first["speaker"].map(numbers).to_numpy(int))
        self._sexes = np.empty(len(self._speakers), "U1")  # of each number
        self._sexes[first["speaker"].map(numbers).to_numpy(int)] = first["sex"].to_numpy(str)
        by_sex = {sex: first.loc[first["sex"] == sex, "speaker"].map(numbers).to_numpy(int) for sex in "FM"}
        self._one_sex = {sex: of_sex for sex, of_sex in by_sex.items() if len(of_sex) >= n_speakers}
        if len(self._everyone) < n_speakers:
            raise UserError(f"{len(self._everyone)} speakers are too few for mixtures of {n_speakers}.")
        if same_sex is not None and (not self._one_sex or (same_sex < 1 and not all(map(len, by_sex.values())))):
            raise UserError(f"mixtures.same_sex={same_sex} needs speakers of both sexes, {n_speakers} of one of them; "
                            "set it to null.")

    def batch(self, index: int) -> dict[str, np.ndarray]:
        """Make batch number `index`.

        Returns:
            `sources`, float32 `[B, S, N]`, and `speaker_ids`, int32 `[B, S]`; with noise, `noise`, float32 `[B, N]`;
            with other microphones or telephones, `responses`, float32 `[B, S, TERMS + 1]`. The mixture is the sum of
            the sources, each filtered by its response, and the noise. With `rows`, B is their number: all rows are
            drawn, and only these are read.
        """
        mine = range(self.batch_size)[self.rows]
        rng, easy = np.random.default_rng([self.seed, index]), index < self.easy_batches
        usual_count = max(self.speaker_shares, key=lambda count: self.speaker_shares[count])
        sources = np.zeros((self.batch_size, self.n_speakers, self.length), np.float32)
        speaker_ids = np.empty((self.batch_size, self.n_speakers), np.int32)
        for row in range(self.batch_size):
            speaker_ids[row] = self._draw_speakers(rng)
            count = usual_count if easy else self._draw_count(rng)
            for place, number in enumerate(speaker_ids[row, :count]):
                name = (self._as_recorded if easy else self._utterances).draw(rng, number)
                start = rng.integers(max(self.speech.length(name) - self.length, 0) + 1)
                if row in mine:
                    sources[row, place] = self.speech.excerpt(name, start, self.length)
        levels_db = self.level_range_db * (rng.random(speaker_ids.shape) - 0.5)
        for row in mine:  # what is small stays in the processor's cache
            sources[row] = normalise(sources[row], self.pre_emphasis, levels_db[row])
        batch = {"sources": sources, "speaker_ids": speaker_ids}
        if self.noise:
            batch["noise"] = np.zeros_like(sources[:, 0]) if easy else self._draw_noise(rng, sources, speaker_ids)
        if self.response_db or self.telephone:
            strengths = (0.0, 0.0) if easy else (self.response_db, self.telephone)
            batch["responses"] = np.stack([draw_responses(rng, self.n_speakers, *strengths)
                                           for _ in range(self.batch_size)])
        return {name: values[self.rows] for name, values in batch.items()}

    def _draw_noise(self, rng, sources, speaker_ids):
        """Draw noise for every mixture of a batch, float32 `[B, N]`."""
        noises = []
        for speech, numbers in zip(sources.sum(axis=1), speaker_ids, strict=True):
            kind = self.noise.kinds[rng.integers(len(self.noise.kinds))]
            noise = self.noise.draw(kind, rng, self.length, "train", [self._speakers[number] for number in numbers])
            noises.append(scaled(noise, speech, rng.uniform(*self.snr_db)))
        return np.stack(noises)

    def _draw_count(self, rng):
        """Draw how many of the speakers of a mixture talk."""
        counts, shares = zip(*sorted(self.speaker_shares.items()))
        return rng.choice(counts, p=np.array(shares) / sum(shares)) if len(counts) > 1 else counts[0]

    def _draw_speakers(self, rng):
        """Draw S different speakers: anybody, or of one sex with the wanted probability and of several otherwise."""
        one_sex = self.same_sex is not None and rng.random() < self.same_sex
        crowd = [*self._one_sex.values()][rng.integers(len(self._one_sex))] if one_sex else self._everyone
        while True:
            drawn = rng.choice(crowd, self.n_speakers, replace=False)
            if self.same_sex is None or one_sex or len(set(self._sexes[drawn])) > 1:
                return drawn

    def dataset(self, start: int = 0):
        """Stream the batches from number `start` on as a parallel, prefetching `tf.data.Dataset`.

        If speech cannot be read any more, `error` says so, and what comes is silence: raised in here, TensorFlow would
        tell it again and again, with tracebacks.
        """
        import tensorflow as tf

        self.error = None
        n_rows = len(range(self.batch_size)[self.rows])
        shapes = {"sources": (tf.float32, (n_rows, self.n_speakers, self.length)),
                  "speaker_ids": (tf.int32, (n_rows, self.n_speakers))}
        if self.noise:
            shapes["noise"] = tf.float32, (n_rows, self.length)
        if self.response_db or self.telephone:
            shapes["responses"] = tf.float32, (n_rows, self.n_speakers, TERMS + 1)

        def draw(index):
            try:
                batch = self.batch(int(index))
            except UserError as error:
                self.error = error
                return [np.zeros(shape, dtype.as_numpy_dtype) for dtype, shape in shapes.values()]
            return [batch[name] for name in shapes]

        def make(index):
            arrays = tf.numpy_function(draw, [index], [dtype for dtype, _ in shapes.values()])
            return {name: tf.ensure_shape(array, shape)
                    for array, (name, (_, shape)) in zip(arrays, shapes.items(), strict=True)}

        indices = tf.data.Dataset.counter(start)
        return indices.map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(4)


class _Pool:
    """Draw utterances of speakers, each the more likely the longer it is.

    Args:
        speech: the signals.
        utterances: table of the utterances to draw from.
        numbers: of the speakers, by their ids.
    """

    def __init__(self, speech: Speech, utterances: pd.DataFrame, numbers: dict[str, int]):
        self._groups = BySpeaker(utterances)
        self._places = np.empty(len(numbers), int)  # of a speaker's number among the groups
        self._places[[numbers[speaker] for speaker in self._groups.speakers]] = np.arange(len(self._groups.speakers))
        self.names = utterances["utterance"].to_numpy(object)
        self._lengths = speech.lengths(self.names).astype(float)

    def draw(self, rng: np.random.Generator, number: int) -> str:
        """Draw the name of an utterance of the speaker with that number."""
        rows = self._groups.rows_of(self._places[number])
        lengths = self._lengths[rows]
        return self.names[rows[rng.choice(len(rows), p=lengths / lengths.sum())]]


def normalise(excerpts: np.ndarray, pre_emphasis: float, levels_db: np.ndarray | float = 0.0) -> np.ndarray:
    """Bring excerpts to zero mean and to a level, measured after pre-emphasis.

    Args:
        excerpts: float32 `[..., N]`.
        pre_emphasis: coefficient of the first-order difference.
        levels_db: `[...]`, the standard deviation after pre-emphasis in dB.

    Returns:
        float32 `[..., N]`; a silent excerpt stays silent.
    """
    excerpts = excerpts - excerpts.mean(axis=-1, keepdims=True)
    return excerpts * level_gains(excerpts, pre_emphasis, levels_db)[..., None]


def level_gains(excerpts: np.ndarray, pre_emphasis: float, levels_db: np.ndarray | float) -> np.ndarray:
    """Compute the factor that brings each excerpt `[..., N]` to its level (see `normalise`): float32 `[...]`."""
    deviation = (excerpts[..., 1:] - pre_emphasis * excerpts[..., :-1]).std(axis=-1)
    return (10.0 ** (np.asarray(levels_db) / 20.0) / np.maximum(deviation, 1e-6)).astype(np.float32)
