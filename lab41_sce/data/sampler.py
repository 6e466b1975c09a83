"""Utterances become mixtures, and training gets endless random ones (those to score on are in `lists.py`).

A mixture is the sum of S excerpts, each of another speaker. Every excerpt is brought to zero mean and unit standard
deviation *after pre-emphasis*, then to its level; at the default level of 0 dB the speakers are equally loud (protocol
of arXiv 1705.04662). What travels are waveforms `[B, S, N]`; spectrograms are made inside the model.

With noise (`noise.py`), the mixture is the sum of its sources and the noise.

Randomness: batch number i of a seed is always the same, so training resumes by counting.
"""

import numpy as np
import pandas as pd

from lab41_sce.data.frequency_response import TERMS, draw_responses
from lab41_sce.data.mixture import normalise
from lab41_sce.data.noise import Noise, scale_to_snr
from lab41_sce.data.speech import Speech
from lab41_sce.data.splits import SpeakerIndex
from lab41_sce.errors import UserError


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
        curriculum_batches: the first so many batches are of the most frequent number of speakers, as they were recorded,
            without noise: a network soon learns from them what it is about.
        rows: which rows of a batch to make, where several workers share it; they are those of the whole batch.
    """

    def __init__(self, speech, utterances, speakers, n_speakers=2, seconds=1.0, batch_size=32, level_range_db=0.0,
                 same_sex=None, pre_emphasis=0.95, seed=0, noise: Noise | None = None, snr_db=(0, 0), response_db=0.0,
                 telephone=0.0, speaker_shares=None, curriculum_batches=0, rows=slice(None)):
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
        self.curriculum_batches = curriculum_batches
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
        rng, easy = np.random.default_rng([self.seed, index]), index < self.curriculum_batches
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
            noises.append(scale_to_snr(noise, speech, rng.uniform(*self.snr_db)))
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
        self._groups = SpeakerIndex(utterances)
        self._places = np.empty(len(numbers), int)  # of a speaker's number among the groups
        self._places[[numbers[speaker] for speaker in self._groups.speakers]] = np.arange(len(self._groups.speakers))
        self.names = utterances["utterance"].to_numpy(object)
        self._lengths = speech.lengths(self.names).astype(float)

    def draw(self, rng: np.random.Generator, number: int) -> str:
        """Draw the name of an utterance of the speaker with that number."""
        rows = self._groups.rows_of(self._places[number])
        lengths = self._lengths[rows]
        return self.names[rows[rng.choice(len(rows), p=lengths / lengths.sum())]]
