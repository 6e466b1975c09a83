"""Utterances become mixtures, and training gets endless random ones (those to score on are in `lists.py`).

A mixture is the sum of S excerpts, each of another speaker. Every excerpt is brought to zero mean and unit standard
deviation *after pre-emphasis*, then to its level; at the default level of 0 dB the speakers are equally loud (protocol
of arXiv 1705.04662). What travels are waveforms `[B, S, N]`; spectrograms are made inside the model.

With noise (`noise.py`), the mixture is the sum of its sources and the noise.

Randomness: batch number i of a seed is always the same, so training resumes by counting.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.errors import UserError
from lab41_sce.noise import Noise, scaled


class Speech:
    """Hold the signals of a table of utterances, decoded once in memory or on the fly from disk.

    Args:
        utterances: table with the columns `utterance`, `path`, `seconds`.
        sample_rate_hz: rate of all signals.
        in_memory: True keeps every signal as 16-bit samples (72 MB an hour at 10 kHz); False decodes each excerpt anew.
    """

    def __init__(self, utterances: pd.DataFrame, sample_rate_hz: int, in_memory: bool = True):
        self.sample_rate_hz = sample_rate_hz
        self._paths = dict(zip(utterances["utterance"], utterances["path"]))
        self._lengths = dict(zip(utterances["utterance"], (utterances["seconds"] * sample_rate_hz).astype(int)))
        self._signals = {}
        if in_memory:
            for utterance in tqdm(self._paths, "reading speech", unit=" files", leave=False):
                signal = audio.read_mono(self._paths[utterance], sample_rate_hz)
                self._signals[utterance] = np.round(np.clip(signal, -1, 1) * 32767).astype(np.int16)
                self._lengths[utterance] = len(signal)

    def length(self, utterance: str) -> int:
        """Return the number of samples of an utterance."""
        return self._lengths[utterance]

    def excerpt(self, utterance: str, start: int, length: int) -> np.ndarray:
        """Return the samples from `start` on, float32 `[length]`, with zeros behind the utterance's end."""
        if self._signals:
            signal = self._signals[utterance][start : start + length] / np.float32(32767)
        else:
            rate = self.sample_rate_hz
            signal = audio.read_excerpt(self._paths[utterance], start / rate, length / rate, rate)
        return np.pad(signal, (0, length - len(signal)))


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
    """

    def __init__(self, speech, utterances, speakers, n_speakers=2, seconds=1.0, batch_size=32, level_range_db=0.0,
                 same_sex=None, pre_emphasis=0.95, seed=0, noise: Noise | None = None, snr_db=(0, 0)):
        self.speech = speech
        self.n_speakers = n_speakers
        self.length = round(seconds * speech.sample_rate_hz)
        self.batch_size = batch_size
        self.level_range_db = level_range_db
        self.same_sex = same_sex
        self.pre_emphasis = pre_emphasis
        self.seed = seed
        self.noise, self.snr_db = noise, snr_db
        self._speakers = list(speakers)
        numbers = {speaker: number for number, speaker in enumerate(speakers)}
        self._utterances = {}  # of each speaker's number: the utterances, and their shares of the speech
        by_sex = {"F": [], "M": []}
        for speaker, of_speaker in utterances.groupby("speaker", sort=True):
            names = of_speaker["utterance"].to_list()
            lengths = np.array([speech.length(name) for name in names], float)
            self._utterances[numbers[speaker]] = (names, lengths / lengths.sum())
            by_sex[of_speaker["sex"].iloc[0]].append(numbers[speaker])
        self._everyone = np.array(sorted(self._utterances))
        self._one_sex = [np.array(of_sex) for of_sex in by_sex.values() if len(of_sex) >= n_speakers]
        if len(self._everyone) < n_speakers:
            raise UserError(f"{len(self._everyone)} speakers are too few for mixtures of {n_speakers}.")
        if same_sex is not None and (not self._one_sex or (same_sex < 1 and not all(by_sex.values()))):
            raise UserError(f"mixtures.same_sex={same_sex} needs speakers of both sexes, {n_speakers} of one of them; "
                            "set it to null.")

    def batch(self, index: int) -> dict[str, np.ndarray]:
        """Make batch number `index`.

        Returns:
            `sources`, float32 `[B, S, N]`, and `speaker_ids`, int32 `[B, S]`; with noise, `noise`, float32 `[B, N]`.
            The mixture is the sum of the sources and the noise.
        """
        rng = np.random.default_rng([self.seed, index])
        sources = np.empty((self.batch_size, self.n_speakers, self.length), np.float32)
        speaker_ids = np.empty((self.batch_size, self.n_speakers), np.int32)
        for row in range(self.batch_size):
            speaker_ids[row] = self._draw_speakers(rng)
            for place, number in enumerate(speaker_ids[row]):
                names, shares = self._utterances[number]
                name = names[rng.choice(len(names), p=shares)]
                start = rng.integers(max(self.speech.length(name) - self.length, 0) + 1)
                sources[row, place] = self.speech.excerpt(name, start, self.length)
        levels_db = self.level_range_db * (rng.random(speaker_ids.shape) - 0.5)
        batch = {"sources": normalise(sources, self.pre_emphasis, levels_db), "speaker_ids": speaker_ids}
        return batch | ({"noise": self._draw_noise(rng, **batch)} if self.noise else {})

    def _draw_noise(self, rng, sources, speaker_ids):
        """Draw noise for every mixture of a batch, float32 `[B, N]`."""
        noises = []
        for speech, numbers in zip(sources.sum(axis=1), speaker_ids, strict=True):
            kind = self.noise.kinds[rng.integers(len(self.noise.kinds))]
            noise = self.noise.draw(kind, rng, self.length, "train", [self._speakers[number] for number in numbers])
            noises.append(scaled(noise, speech, rng.uniform(*self.snr_db)))
        return np.stack(noises)

    def _draw_speakers(self, rng):
        """Draw S different speakers: anybody, or of one sex with the wanted probability and of several otherwise."""
        one_sex = self.same_sex is not None and rng.random() < self.same_sex
        crowd = self._one_sex[rng.integers(len(self._one_sex))] if one_sex else self._everyone
        while True:
            drawn = rng.choice(crowd, self.n_speakers, replace=False)
            if self.same_sex is None or one_sex or not any(np.isin(drawn, of_sex).all() for of_sex in self._one_sex):
                return drawn

    def dataset(self, start: int = 0):
        """Stream the batches from number `start` on as a parallel, prefetching `tf.data.Dataset`."""
        import tensorflow as tf

        shapes = {"sources": (tf.float32, (self.batch_size, self.n_speakers, self.length)),
                  "speaker_ids": (tf.int32, (self.batch_size, self.n_speakers))}
        if self.noise:
            shapes["noise"] = tf.float32, (self.batch_size, self.length)

        def make(index):
            arrays = tf.numpy_function(lambda i: [self.batch(int(i))[name] for name in shapes], [index],
                                       [dtype for dtype, _ in shapes.values()])
            return {name: tf.ensure_shape(array, shape)
                    for array, (name, (_, shape)) in zip(arrays, shapes.items(), strict=True)}

        indices = tf.data.Dataset.counter(start)
        return indices.map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(4)


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
