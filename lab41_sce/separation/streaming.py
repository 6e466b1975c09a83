"""The voices of one recording, window by window: what `separation.Separator` does the work with.

    levels of all windows -> scaling of the network's input
    vectors of some       -> the number of speakers, and a centre for each
    every window          -> masks -> voices

What is kept are the centres, so a voice keeps its number, and, of the windows that made them, what the network's hidden
layers said: the last layer makes the vectors, which are a lot of data, of it once more.
"""

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.audio.windows import Window, plan
from lab41_sce.models.clustering import active_bins
from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.running_scaling import RunningScaling
from lab41_sce.separation.speaker_count import RANGE_DB as COUNT_RANGE_DB
from lab41_sce.separation.speaker_count import Count, count_speakers

FADE_SECONDS = 0.05
WINDOWS_TO_FIT, VECTORS_TO_FIT = 24, 100_000
LEVELS_COST, VOICES_COST = 0.1, 0.3  # of measuring levels, of making voices; the network's hidden layers cost 1
HIGH_BINS = 0.7  # of the model's band: masks above here speak for what it does not hear


class Separation:
    """The voices of one recording. Iterating yields their signals part by part, float32 `[S, C, n]`, in order.

    Attributes:
        n_speakers: S.
        count: the `Count`, if the speakers were counted.
        centres: float32 `[S, K]`, of the voices; None of a model that gives masks.
        likeness: cosine of each voice with the person who should come first, `[S]`, falling; None if nobody should.
        frames: after the iteration, what is known of every frame (`Frames`).
    """

    def __init__(self, model, recording: Recording, n_speakers: int | str, first=None, progress=None):
        self._model, self._recording, self._progress = model, recording, progress or (lambda share: None)
        self.count: Count | None = None
        self.centroids: np.ndarray | None = None
        self.similarity: np.ndarray | None = None
        self.frames: SpeakerActivity | None = None
        self._hidden = {}  # by window, of those that made the centres
        if not hasattr(model, "centroids"):
            self.n_speakers = n_speakers
            self._windows = [Window(0, recording.n_samples, 0, recording.n_samples)]
            self._work = VOICES_COST * _heard(self._windows)
            return
        self._windows = plan(recording, model.front_end, model.grid_frames)
        fitted = self._windows[:: math.ceil(len(self._windows) / WINDOWS_TO_FIT)]
        self._work = (LEVELS_COST + 1 + VOICES_COST) * _heard(self._windows)
        self.n_speakers, self.centroids = self._fit(fitted, n_speakers)
        if first is not None:
            similarity = self.centroids @ first / np.maximum(np.linalg.norm(self.centroids, axis=1), 1e-12)
            order = np.argsort(-similarity)
            self.centroids, self.similarity = self.centroids[order], similarity[order]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Separate window by window; neighbours are cross-faded where they meet."""
        fade, before, frames = round(FADE_SECONDS * self._recording.sample_rate_hz), None, []
        for window in self._windows:
            channels = self._recording.read(window.outer_start, window.outer_stop)
            heard = np.stack([self._to_model(channel) for channel in channels])
            spectrograms, own = self._model.front_end.spectrogram(heard), self._own_frames(window)
            masks = self._masks(window, heard, spectrograms)
            frames.append(SpeakerActivity.of(masks[:, own], np.abs(spectrograms).mean(axis=0)[own], self._frame_seconds,
                                    self._first_centre))
            voices = self._model.front_end.synthesise(spectrograms * masks[:, None], heard.shape[1])
            voices = self._complete(voices, masks, spectrograms, heard, channels)
            voices = voices[..., window.start - window.outer_start :]
            if before is not None:
                ramp = np.linspace(0, 1, before.shape[-1], dtype=np.float32)
                voices[..., : len(ramp)] = ramp * voices[..., : len(ramp)] + (1 - ramp) * before
            length = window.stop - window.start
            before = voices[..., length : length + fade].copy()
            self._advance(window, VOICES_COST)
            yield voices[..., :length]
        self.frames = SpeakerActivity.join(frames, self._recording.n_samples / self._recording.sample_rate_hz)

    @property
    def found(self) -> bool | None:
        """Whether the first voice is that of the person who should come first; None if nobody should."""
        return None if self.similarity is None else bool(self.similarity[0] >= self._model.verification_threshold)

    @property
    def _frame_seconds(self):
        return self._model.front_end.hop_length / self._model.front_end.sample_rate_hz

    @property
    def _first_centre(self):
        """Where the first frame is centred, in seconds: before the start, unless frames overlap by half."""
        front_end = self._model.front_end
        return (front_end.hop_length - front_end.frame_length / 2) / front_end.sample_rate_hz

    @cached_property
    def _scaling(self) -> RunningScaling:
        """The scaling of the network's input over the whole recording."""
        scaling = RunningScaling(self._model.front_end)
        for window in self._windows:
            scaling.add(self._levels(window)[self._own_frames(window)])
            self._advance(window, LEVELS_COST)
        return scaling

    def _fit(self, windows, n_speakers):
        """Return the number of speakers, counted if that is asked for, and the centres of their vectors."""
        range_db = COUNT_RANGE_DB if n_speakers == "auto" else self._model.range_db
        samples = []
        for window in windows:
            levels = self._levels(window)
            self._hidden[window] = self._listen(window, levels)
            samples.append(self._sample(window, levels, VECTORS_TO_FIT // len(windows), range_db))
        vectors, magnitudes = map(np.concatenate, zip(*samples))
        if n_speakers == "auto":
            self.count = count_speakers(vectors, self._model.cluster_variance)
            n_speakers = self.count.n_speakers
        loud = active_bins(magnitudes, self._model.range_db, self._scaling.peak)
        return n_speakers, self._model.centroids(vectors[loud], magnitudes[loud], n_speakers)

    def _sample(self, window, levels, most, range_db):
        """Return vectors of audible bins of a window, `[n, K]`, and their magnitudes `[n]`; of many, some."""
        own = self._own_frames(window)
        vectors, levels = self._model.vectors(self._hidden[window], len(levels))[own], levels[own]
        no_event = levels.max(axis=1, keepdims=True) <= self._scaling.peak
        places = np.argwhere(no_event & active_bins(levels, range_db, self._scaling.peak))
        if len(places) > most:
            places = places[np.random.default_rng(0).choice(len(places), most, replace=False)]
        return vectors[tuple(places.T)], levels[tuple(places.T)]

    def _masks(self, window, heard, spectrograms):
        """Return masks `[S, T, F]` for a window, of channels `[C, N]` and their spectrograms `[C, T, F]`."""
        if self.centroids is None:
            return self._model.masks(heard.mean(axis=0), self.n_speakers)
        hidden = self._hidden[window] if window in self._hidden else self._listen(window, self._levels(window))
        return self._model.masks_from(self._model.vectors(hidden, spectrograms.shape[1]), self.centroids)

    def _listen(self, window, levels):
        """Return what the hidden layers say of a window, of its levels `[T, F]`."""
        hidden = self._model.hidden(self._scaling(levels))
        self._advance(window, 1.0)
        return hidden

    def _advance(self, window, cost):
        """Tell that something that costs so much was done for a window."""
        self._progress(cost * _heard([window]) / self._work)

    def _levels(self, window):
        """Return the magnitudes `[T, F]` of the mean of the channels in a window and around it."""
        mono = self._recording.read(window.outer_start, window.outer_stop).mean(axis=0)
        return np.abs(self._model.front_end.spectrogram(self._to_model(mono)))

    def _to_model(self, signal):
        return audio.resample(signal, self._recording.sample_rate_hz, self._model.front_end.sample_rate_hz)

    def _own_frames(self, window):
        """Say which frames of what is heard for a window are its own, as a slice."""
        per_frame = self._frame_seconds * self._recording.sample_rate_hz
        first = round((window.start - window.outer_start) / per_frame)
        last = window.stop == window.outer_stop
        return slice(first, None if last else first + round((window.stop - window.start) / per_frame))

    def _complete(self, voices, masks, spectrograms, heard, channels):
        """Bring voices `[S, C, N]` to the recording's rate, and share out what `[C, n]` holds beyond what is heard."""
        length = channels.shape[1]
        voices = np.stack([self._from_model(of_speaker, length) for of_speaker in voices])
        rest = channels - self._from_model(heard, length)
        return voices + self._shares(masks, spectrograms, length)[:, None] * rest

    def _from_model(self, signals, length):
        """Bring signals `[C, N]` back to the recording's rate and length; resampling may round a sample away."""
        rates = self._model.front_end.sample_rate_hz, self._recording.sample_rate_hz
        back = [audio.resample(signal, *rates)[:length] for signal in signals]
        return np.stack([np.pad(signal, (0, length - len(signal))) for signal in back])

    def _shares(self, masks, spectrograms, length):
        """Tell whose the sound above the model's band is: shares `[S, length]` that sum to one."""
        high = slice(round(HIGH_BINS * masks.shape[2]), None)
        weights = (np.abs(spectrograms) ** 2).mean(axis=0)[:, high] + 1e-12  # [T, bins]
        shares = (masks[:, :, high] * weights).sum(axis=2)
        shares /= np.maximum(shares.sum(axis=0), 1e-12)
        seconds = np.arange(length) / self._recording.sample_rate_hz
        of_frames = self._first_centre + np.arange(masks.shape[1]) * self._frame_seconds
        return np.stack([np.interp(seconds, of_frames, share) for share in shares]).astype(np.float32)


def _heard(windows: list[Window]) -> int:
    """Add up the samples that the model hears for some windows."""
    return sum(window.outer_stop - window.outer_start for window in windows)
