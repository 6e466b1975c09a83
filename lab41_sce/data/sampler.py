"""Utterances become random mixtures to train on, in endless numbered batches (`evaluation_set.py` has frozen ones).

A mixture is the sum of S excerpts of different speakers. Every excerpt is scaled to zero mean and unit standard
deviation *after pre-emphasis*, then to its level; at the default level of 0 dB the speakers are equally loud (protocol
of arXiv 1705.04662). A batch holds waveforms `[B, S, N]`; spectrograms are computed inside the model. With noise
(`noise.py`), the mixture is the sum of its sources and the noise.

With rooms (`rooms.py`), a share of the mixtures sounds in a room. Their sources are the early sound of the speakers, at
the levels that they have without a room, and their late reverberation is part of the noise. The signal-to-noise ratio
of other noise is that to the sources without a room. The frequency responses of `response_db` filter the sources only;
a mixture through a telephone line is in no room, since its late reverberation would not be limited to the band.

Batch number i of a seed is always the same, so an interrupted training continues by counting. `STREAM` is the version
of these batches, which a run records.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lab41_sce.data.drawing_processes import DrawingProcesses
from lab41_sce.data.frequency_response import TERMS, draw_responses
from lab41_sce.data.mixture import normalise_into
from lab41_sce.data.noise import Noise, scale_to_snr
from lab41_sce.data.rooms import RoomBank, reverberate
from lab41_sce.data.settings import MixtureSettings, RoomSettings
from lab41_sce.data.speech import Speech
from lab41_sce.data.splits import SpeakerIndex
from lab41_sce.errors import UserError
from lab41_sce.threads import n_threads

STREAM = 3
CHANGES = {  # of the mixtures, since each version
    2: "levels are measured by sums of products, so samples differ by rounding (1e-6)",
    3: "with mixtures.same_sex and several numbers of speakers, other speakers are drawn",
}


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
        rooms: holds the rooms; None for mixtures without rooms.
        room_settings: how the rooms are used; None for the defaults.

    Attributes:
        error: why speech could not be read for `dataset`, or None.

    Raises:
        UserError: there are too few speakers, or too few places in a room.
    """

    def __init__(self, speech: Speech, utterances: pd.DataFrame, speakers: Sequence[str],
                 settings: MixtureSettings, pre_emphasis: float, seed: int, noise: Noise | None = None,
                 snr_db: tuple[float, float] = (0.0, 0.0), rows: slice = slice(None),
                 rooms: RoomBank | None = None, room_settings: RoomSettings | None = None):
        self.speech, self.settings, self.pre_emphasis, self.seed = speech, settings, pre_emphasis, seed
        self.noise, self.snr_db, self.rows = noise, snr_db, rows
        self.rooms, self.room_settings = rooms, room_settings or RoomSettings()
        self.speaker_shares = settings.shares
        self.n_speakers = max(self.speaker_shares)
        self.length = round(settings.seconds * speech.sample_rate_hz)
        self.error: UserError | None = None
        self._processes: DrawingProcesses | None = None
        self._speakers = list(speakers)
        numbers = {speaker: number for number, speaker in enumerate(speakers)}
        self._utterances = self._original_speed = _Pool(speech, utterances, self._speakers)
        if "speed" in utterances and (utterances["speed"] != 1).any():
            original = utterances["speed"] == 1
            only_changed = ~utterances["speaker"].isin(utterances.loc[original, "speaker"])
            self._original_speed = _Pool(speech, utterances[original | only_changed], self._speakers)
        first = utterances.drop_duplicates("speaker").sort_values("speaker")
        present, sexes = first["speaker"].map(numbers).to_numpy(int), first["sex"].to_numpy(str)
        self._everyone = np.sort(present)
        self._sexes = np.empty(len(self._speakers), "U1")  # by the number of the speaker
        self._sexes[present] = sexes
        by_sex = {sex: present[sexes == sex] for sex in "FM"}
        self._one_sex = {sex: of_sex for sex, of_sex in by_sex.items() if len(of_sex) >= self.n_speakers}
        if rooms:
            rooms.require(self.n_speakers)
        if len(self._everyone) < self.n_speakers:
            raise UserError(f"{len(self._everyone)} speakers are too few for mixtures of {self.n_speakers}.")
        share = settings.same_sex
        if share is not None and (not self._one_sex or (share < 1 and not all(map(len, by_sex.values())))):
            raise UserError(f"mixtures.same_sex={share} needs speakers of both sexes, {self.n_speakers} of one of "
                            "them; set it to null.")

    def batch(self, index: int, into: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """Make batch number `index`.

        Args:
            index: from 0.
            into: arrays to fill, as `empty_batch` returns them; None for new ones.

        Returns:
            `sources`, float32 `[B, S, N]`, and `speaker_ids`, int32 `[B, S]`; with noise or rooms, `noise`, float32
            `[B, N]`; with `response_db` or `telephone`, `responses`, float32 `[B, S, TERMS + 1]`. The mixture is the
            sum of the sources, each filtered by its response, and the noise. B is the number of `rows`: all rows of the
            batch are drawn, and only the speech of these is read.
        """
        settings, batch = self.settings, self.empty_batch() if into is None else into
        batch_size, mine = settings.batch_size, range(settings.batch_size)[self.rows]
        rng, easy = np.random.default_rng([self.seed, index]), index < settings.curriculum_batches
        usual_count = max(self.speaker_shares, key=lambda count: self.speaker_shares[count])
        pool = self._original_speed if easy else self._utterances
        speaker_ids = np.empty((batch_size, self.n_speakers), np.int32)
        excerpts: list[list[tuple[str, int]]] = []  # of each row: utterance and first sample
        for row in range(batch_size):
            if settings.same_sex is None:  # in this order since the first version
                speaker_ids[row] = self._draw_speakers(rng)
            count = usual_count if easy else self._draw_count(rng)
            if settings.same_sex is not None:  # a condition on those who speak
                speaker_ids[row] = self._draw_speakers(rng, count)
            excerpts.append([pool.draw(rng, number, self.length) for number in speaker_ids[row, :count].tolist()])
        levels_db = settings.level_range_db * (rng.random(speaker_ids.shape) - 0.5)
        batch["speaker_ids"][:] = speaker_ids[self.rows]
        for place, row in enumerate(mine):
            batch["sources"][place, len(excerpts[row]) :] = 0
            for source, (name, start) in enumerate(excerpts[row]):
                normalise_into(batch["sources"][place, source], self.speech.samples(name, start, self.length),
                               self.pre_emphasis, float(levels_db[row, source]))
        if self.noise and not easy:
            self._draw_noise(self.noise, rng, batch, speaker_ids, mine)
        elif "noise" in batch:
            batch["noise"][:] = 0
        if "responses" in batch:
            strengths = (0.0, 0.0) if easy else (settings.response_db, settings.telephone)
            batch["responses"][:] = np.stack([draw_responses(rng, self.n_speakers, *strengths)
                                              for _ in range(batch_size)])[self.rows]
        if self.rooms and not easy:
            self._draw_rooms(self.rooms, rng, batch, mine)
        return batch

    def empty_batch(self) -> dict[str, np.ndarray]:
        """Return arrays for a batch, without values."""
        n_rows = len(range(self.settings.batch_size)[self.rows])
        batch = {"sources": np.empty((n_rows, self.n_speakers, self.length), np.float32),
                 "speaker_ids": np.empty((n_rows, self.n_speakers), np.int32)}
        if self.noise or self.rooms:
            batch["noise"] = np.empty((n_rows, self.length), np.float32)
        if self.settings.response_db or self.settings.telephone:
            batch["responses"] = np.empty((n_rows, self.n_speakers, TERMS + 1), np.float32)
        return batch

    def _draw_noise(self, noise: Noise, rng: np.random.Generator, batch: dict[str, np.ndarray],
                    speaker_ids: np.ndarray, mine: range) -> None:
        """Draw noise for every mixture of a batch, and keep that of the rows `mine`."""
        for row, numbers in enumerate(speaker_ids):
            kind = noise.kinds[rng.integers(len(noise.kinds))]
            drawn = noise.draw(kind, rng, self.length, "train", [self._speakers[number] for number in numbers])
            snr_db = rng.uniform(*self.snr_db)
            if row in mine:
                place = mine.index(row)
                batch["noise"][place] = scale_to_snr(drawn, batch["sources"][place].sum(axis=0), snr_db)

    def _draw_rooms(self, rooms: RoomBank, rng: np.random.Generator, batch: dict[str, np.ndarray],
                    mine: range) -> None:
        """Put a share of the mixtures of a batch into rooms; these draws are the last ones of a batch."""
        n_early = 1 + round(self.room_settings.early_seconds * self.speech.sample_rate_hz)
        for row in range(self.settings.batch_size):
            is_in_room, responses = rng.random() < self.room_settings.share, rooms.draw(rng, self.n_speakers)
            if not is_in_room or row not in mine:
                continue
            place = mine.index(row)
            if "responses" in batch and batch["responses"][place, :, -1].any():  # through a telephone line
                continue
            batch["sources"][place], late = reverberate(batch["sources"][place], responses, n_early, self.pre_emphasis)
            batch["noise"][place] += late.sum(axis=0)

    def _draw_count(self, rng: np.random.Generator) -> int:
        """Draw the number of active speakers of a mixture."""
        counts, shares = zip(*sorted(self.speaker_shares.items()))
        return rng.choice(counts, p=np.array(shares) / sum(shares)) if len(counts) > 1 else counts[0]

    def _draw_speakers(self, rng: np.random.Generator, count: int = 1) -> np.ndarray:
        """Draw S different speakers: any, or of one sex with the probability `same_sex` and of both sexes otherwise.

        Args:
            rng: source of the random numbers.
            count: the first `count` speakers speak, and have one sex or both; a single speaker has one sex.
        """
        same_sex = self.settings.same_sex
        one_sex = same_sex is not None and rng.random() < same_sex
        crowd = [*self._one_sex.values()][rng.integers(len(self._one_sex))] if one_sex else self._everyone
        while True:
            drawn = rng.choice(crowd, self.n_speakers, replace=False)
            if same_sex is None or one_sex or count == 1 or len(set(self._sexes[drawn[:count]])) > 1:
                return drawn

    def dataset(self, start: int = 0) -> Any:
        """Stream the batches from number `start` on as a parallel, prefetching `tf.data.Dataset`.

        If speech cannot be read any more, `error` holds the reason and the batches are silent: TensorFlow would log an
        exception here again and again, with tracebacks.
        """
        import tensorflow as tf

        self.error = None
        batch_of: Callable[[int], dict[str, np.ndarray]] = self.batch
        n_parallel = n_threads()
        if self.settings.workers:
            self._processes = self._processes or DrawingProcesses(self, self.settings.workers)
            batch_of, n_parallel = self._processes.batch, self.settings.workers + 1
        like = self.empty_batch()

        def draw(index: Any) -> list[np.ndarray]:
            try:
                batch = batch_of(int(index))
            except UserError as error:
                self.error = error
                return [np.zeros_like(values) for values in like.values()]
            return [batch[name] for name in like]

        def make(index: Any) -> dict[str, Any]:
            arrays = tf.numpy_function(draw, [index], [values.dtype for values in like.values()])
            return {name: tf.ensure_shape(array, values.shape)
                    for array, (name, values) in zip(arrays, like.items(), strict=True)}

        # TensorFlow's tuning thread can keep whoever frees the dataset waiting, for up to a minute
        options = tf.data.Options()
        options.autotune.enabled = False
        indices = tf.data.Dataset.counter(start)
        return indices.map(make, num_parallel_calls=n_parallel, deterministic=True).prefetch(4).with_options(options)

    def close(self) -> None:
        """End the processes that draw mixtures, if there are some."""
        if self._processes:
            self._processes.close()
            self._processes = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for another process, which starts no further processes."""
        return {**self.__dict__, "_processes": None}


class _Pool:
    """Draw utterances of a speaker with probabilities proportional to their lengths."""

    def __init__(self, speech: Speech, utterances: pd.DataFrame, speakers: Sequence[str]):
        self._index = SpeakerIndex(utterances)
        self._lengths = speech.lengths(self._index.names)
        self._numbers = [self._index.number_of.get(speaker, -1) for speaker in speakers]
        self._distributions: dict[int, np.ndarray] = {}

    def draw(self, rng: np.random.Generator, number: int, length: int) -> tuple[str, int]:
        """Draw an excerpt of the speaker with that number: the name of the utterance, and the first sample."""
        rows = self._index.rows_of(self._numbers[number])
        distribution = self._distributions.get(number)
        if distribution is None:
            lengths = self._lengths[rows].astype(float)
            distribution = (lengths / lengths.sum()).cumsum()
            self._distributions[number] = distribution = distribution / distribution[-1]
        # The draw of `rng.choice(len(rows), p=...)`, which computes the distribution anew in every call.
        row = rows[distribution.searchsorted(rng.random(), side="right")]
        start = rng.integers(max(self._lengths[row] - length, 0) + 1)
        return self._index.names[row], int(start)
