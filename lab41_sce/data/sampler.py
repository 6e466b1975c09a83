"""Utterances become random mixtures to train on, in endless numbered batches (`evaluation_set.py` has frozen ones).

A mixture is the sum of S excerpts of different speakers. Every excerpt is scaled to zero mean and unit standard
deviation *after pre-emphasis*, then to its level; at the default level of 0 dB the speakers are equally loud (protocol
of arXiv 1705.04662). A batch holds waveforms `[B, S, N]`; spectrograms are computed inside the model. With noise
(`noise.py`), the mixture is the sum of its sources and the noise.

Batch number i of a seed is always the same, so an interrupted training continues by counting.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lab41_sce.data.frequency_response import TERMS, draw_responses
from lab41_sce.data.mixture import normalise
from lab41_sce.data.noise import Noise, scale_to_snr
from lab41_sce.data.settings import MixtureSettings
from lab41_sce.data.speech import Speech
from lab41_sce.data.splits import SpeakerIndex
from lab41_sce.errors import UserError


class TrainingMixtures:
    """Draw endless batches of random mixtures of known speakers.

    Args:
        speech: the signals.
        utterances: table of the utterances to draw from (columns `utterance`, `speaker`, `sex`).
        speakers: ids of the trained speakers; the index of a speaker in this list is the speaker's number.
        settings: how the mixtures are drawn; with `speaker_shares`, S is the largest number of speakers in it, and the
            sources of missing speakers are silent.
        pre_emphasis: coefficient of the front end's first-order difference, after which levels are measured.
        seed: of all random draws.
        noise: draws the noise, of all its kinds equally often; None for mixtures without noise.
        snr_db: lowest and highest signal-to-noise ratio, with `noise`.
        rows: the rows to make of every batch, for several processes that share it.

    Attributes:
        error: why speech could not be read for `dataset`, or None.

    Raises:
        UserError: there are too few speakers.
    """

    def __init__(self, speech: Speech, utterances: pd.DataFrame, speakers: Sequence[str],
                 settings: MixtureSettings, pre_emphasis: float, seed: int, noise: Noise | None = None,
                 snr_db: tuple[float, float] = (0.0, 0.0), rows: slice = slice(None)):
        self.speech, self.settings, self.pre_emphasis, self.seed = speech, settings, pre_emphasis, seed
        self.noise, self.snr_db, self.rows = noise, snr_db, rows
        self.speaker_shares = settings.shares
        self.n_speakers = max(self.speaker_shares)
        self.length = round(settings.seconds * speech.sample_rate_hz)
        self.error: UserError | None = None
        self._speakers = list(speakers)
        numbers = {speaker: number for number, speaker in enumerate(speakers)}
        self._utterances = self._original_speed = _Pool(speech, utterances)
        if "speed" in utterances and (utterances["speed"] != 1).any():
            original = utterances["speed"] == 1
            only_changed = ~utterances["speaker"].isin(utterances.loc[original, "speaker"])
            self._original_speed = _Pool(speech, utterances[original | only_changed])
        first = utterances.drop_duplicates("speaker").sort_values("speaker")
        present, sexes = first["speaker"].map(numbers).to_numpy(int), first["sex"].to_numpy(str)
        self._everyone = np.sort(present)
        self._sexes = np.empty(len(self._speakers), "U1")  # by the number of the speaker
        self._sexes[present] = sexes
        by_sex = {sex: present[sexes == sex] for sex in "FM"}
        self._one_sex = {sex: of_sex for sex, of_sex in by_sex.items() if len(of_sex) >= self.n_speakers}
        if len(self._everyone) < self.n_speakers:
            raise UserError(f"{len(self._everyone)} speakers are too few for mixtures of {self.n_speakers}.")
        share = settings.same_sex
        if share is not None and (not self._one_sex or (share < 1 and not all(map(len, by_sex.values())))):
            raise UserError(f"mixtures.same_sex={share} needs speakers of both sexes, {self.n_speakers} of one of "
                            "them; set it to null.")

    def batch(self, index: int) -> dict[str, np.ndarray]:
        """Make batch number `index`.

        Returns:
            `sources`, float32 `[B, S, N]`, and `speaker_ids`, int32 `[B, S]`; with noise, `noise`, float32 `[B, N]`;
            with `response_db` or `telephone`, `responses`, float32 `[B, S, TERMS + 1]`. The mixture is the sum of the
            sources, each filtered by its response, and the noise. B is the number of `rows`: all rows of the batch are
            drawn, and only the speech of these is read.
        """
        batch_size, settings = self.settings.batch_size, self.settings
        mine = range(batch_size)[self.rows]
        rng, easy = np.random.default_rng([self.seed, index]), index < settings.curriculum_batches
        usual_count = max(self.speaker_shares, key=lambda count: self.speaker_shares[count])
        sources = np.zeros((batch_size, self.n_speakers, self.length), np.float32)
        speaker_ids = np.empty((batch_size, self.n_speakers), np.int32)
        for row in range(batch_size):
            speaker_ids[row] = self._draw_speakers(rng)
            count = usual_count if easy else self._draw_count(rng)
            for place, number in enumerate(speaker_ids[row, :count]):
                name = (self._original_speed if easy else self._utterances).draw(rng, self._speakers[number])
                start = rng.integers(max(self.speech.length(name) - self.length, 0) + 1)
                if row in mine:
                    sources[row, place] = self.speech.excerpt(name, int(start), self.length)
        levels_db = settings.level_range_db * (rng.random(speaker_ids.shape) - 0.5)
        for row in mine:  # one by one, since a row fits into the processor's cache
            sources[row] = normalise(sources[row], self.pre_emphasis, levels_db[row])
        batch = {"sources": sources, "speaker_ids": speaker_ids}
        if self.noise:
            batch["noise"] = (np.zeros_like(sources[:, 0]) if easy else
                              self._draw_noise(self.noise, rng, sources, speaker_ids))
        if settings.response_db or settings.telephone:
            strengths = (0.0, 0.0) if easy else (settings.response_db, settings.telephone)
            batch["responses"] = np.stack([draw_responses(rng, self.n_speakers, *strengths)
                                           for _ in range(batch_size)])
        return {name: values[self.rows] for name, values in batch.items()}

    def _draw_noise(self, noise: Noise, rng: np.random.Generator, sources: np.ndarray,
                    speaker_ids: np.ndarray) -> np.ndarray:
        """Draw noise for every mixture of a batch, float32 `[B, N]`."""
        noises = []
        for speech, numbers in zip(sources.sum(axis=1), speaker_ids, strict=True):
            kind = noise.kinds[rng.integers(len(noise.kinds))]
            drawn = noise.draw(kind, rng, self.length, "train", [self._speakers[number] for number in numbers])
            noises.append(scale_to_snr(drawn, speech, rng.uniform(*self.snr_db)))
        return np.stack(noises)

    def _draw_count(self, rng: np.random.Generator) -> int:
        """Draw the number of active speakers of a mixture."""
        counts, shares = zip(*sorted(self.speaker_shares.items()))
        return rng.choice(counts, p=np.array(shares) / sum(shares)) if len(counts) > 1 else counts[0]

    def _draw_speakers(self, rng: np.random.Generator) -> np.ndarray:
        """Draw S different speakers: any, or of one sex with the probability `same_sex` and of both sexes otherwise."""
        same_sex = self.settings.same_sex
        one_sex = same_sex is not None and rng.random() < same_sex
        crowd = [*self._one_sex.values()][rng.integers(len(self._one_sex))] if one_sex else self._everyone
        while True:
            drawn = rng.choice(crowd, self.n_speakers, replace=False)
            if same_sex is None or one_sex or len(set(self._sexes[drawn])) > 1:
                return drawn

    def dataset(self, start: int = 0) -> Any:
        """Stream the batches from number `start` on as a parallel, prefetching `tf.data.Dataset`.

        If speech cannot be read any more, `error` holds the reason and the batches are silent: TensorFlow would log an
        exception here again and again, with tracebacks.
        """
        import tensorflow as tf

        self.error = None
        n_rows = len(range(self.settings.batch_size)[self.rows])
        shapes = {"sources": (tf.float32, (n_rows, self.n_speakers, self.length)),
                  "speaker_ids": (tf.int32, (n_rows, self.n_speakers))}
        if self.noise:
            shapes["noise"] = tf.float32, (n_rows, self.length)
        if self.settings.response_db or self.settings.telephone:
            shapes["responses"] = tf.float32, (n_rows, self.n_speakers, TERMS + 1)

        def draw(index: Any) -> list[np.ndarray]:
            try:
                batch = self.batch(int(index))
            except UserError as error:
                self.error = error
                return [np.zeros(shape, dtype.as_numpy_dtype) for dtype, shape in shapes.values()]
            return [batch[name] for name in shapes]

        def make(index: Any) -> dict[str, Any]:
            arrays = tf.numpy_function(draw, [index], [dtype for dtype, _ in shapes.values()])
            return {name: tf.ensure_shape(array, shape)
                    for array, (name, (_, shape)) in zip(arrays, shapes.items(), strict=True)}

        indices = tf.data.Dataset.counter(start)
        return indices.map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(4)


class _Pool:
    """Draw utterances of a speaker with probabilities proportional to their lengths."""

    def __init__(self, speech: Speech, utterances: pd.DataFrame):
        self._index = SpeakerIndex(utterances)
        self._lengths = speech.lengths(self._index.names).astype(float)

    def draw(self, rng: np.random.Generator, speaker: str) -> str:
        """Draw the name of an utterance of a speaker."""
        rows = self._index.rows_of(self._index.number_of[speaker])
        lengths = self._lengths[rows]
        return self._index.names[rows[rng.choice(len(rows), p=lengths / lengths.sum())]]
