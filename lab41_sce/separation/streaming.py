"""A recording becomes voices, window by window.

    all windows          -> number of speakers, and a centroid for each (`speaker_search.py`)
    masks of all windows -> who talks at each moment (if there are ten seconds of speech, `turns.py`)
    each window          -> masks -> voices

The centroids are fixed before the first voice is separated, so a voice keeps its number from the first window to the
last. The outputs of the hidden layers are kept for the windows that determine the centroids, and for others: they are
small, and the last layer computes the large embeddings from them again. Several windows are processed at once, each in
a thread.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lab41_sce.audio.mixing import mix
from lab41_sce.audio.recording import Recording
from lab41_sce.audio.windows import Window
from lab41_sce.models.mask_estimation import EmbeddingMasks
from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.chunked_inference import (
    embeddings_of_hidden,
    masks_of_hidden,
    plan_windows_of_excerpts,
)
from lab41_sce.separation.confidence import ConfidenceThresholds
from lab41_sce.separation.result import FoundSpeakers, Separation, SpectralDetails
from lab41_sce.separation.resynthesis import synthesise_voices
from lab41_sce.separation.speaker_search import HIDDEN_COST, MAGNITUDES_COST, Calibrations, SpeakerSearch
from lab41_sce.separation.turns import MAX_PEOPLE, MIN_SECONDS, Turns, VoiceFrames, find_turns
from lab41_sce.separation.voice_description import VoiceDescription
from lab41_sce.separation.window_signals import WindowReader, WindowSignals, first_frame_seconds, frame_seconds
from lab41_sce.threads import in_parallel

FADE_SECONDS = 0.05  # of the cross-fade between windows
TURNS_COST, VOICES_COST = 0.2, 0.3  # computing time relative to that of the hidden layers, for the progress


class SeparatedWindow(NamedTuple):
    """Hold the voices of a window and its context, `[S, C, n]`, and the activity and the details of its own frames."""

    voices: np.ndarray
    activity: SpeakerActivity
    details: SpectralDetails | None


class VoiceStream:
    """Separate a recording part by part.

    `Separator.open` makes a stream and describes the arguments. Iteration yields the next samples of all voices,
    float32 `[S, C, n]`, in order. After the iteration, `result` returns the separation.
    """

    def __init__(self, model: Any, recording: Recording, n_speakers: int | tuple[int, int],
                 people: Mapping[str, VoiceDescription], binary_masks: bool, keep_seconds: float, window_seconds: float,
                 progress: Callable[[float], object], calibrations: Calibrations,
                 confidence_thresholds: ConfidenceThresholds | None = None):
        self._model, self._recording, self._progress = model, recording, progress
        self._n_speakers, self._people = n_speakers, people
        self._thresholds, self._verification = confidence_thresholds, calibrations.verification
        self._binary_masks, self._keep_seconds = binary_masks, keep_seconds
        self._front_end = model.front_end
        self._reader = WindowReader(recording, model.front_end)
        self._activity: list[SpeakerActivity] = []
        self._details: list[SpectralDetails] = []
        self._embeds = isinstance(model, EmbeddingMasks)
        self._can_find_turns = self._embeds and self._verification is not None and recording.seconds >= MIN_SECONDS
        if self._embeds:
            self.windows = plan_windows_of_excerpts(model, recording, window_seconds)
            cost = MAGNITUDES_COST + HIDDEN_COST + VOICES_COST + TURNS_COST * self._can_find_turns
        else:  # masks of different windows could be in different orders
            self.windows = [Window(0, recording.n_samples, 0, recording.n_samples)]
            cost = VOICES_COST
        self.search = SpeakerSearch(model, self._reader, self.windows, calibrations, self._advance)
        self._total_cost = cost * sum(window.context_stop - window.context_start for window in self.windows)

    @cached_property
    def speakers(self) -> FoundSpeakers:
        """Find the number of speakers and their centroids, once, before the first voice is separated.

        Raises:
            UserError: the recording cannot be read, or the model cannot separate this number of speakers.
        """
        if not self._embeds:
            assert isinstance(self._n_speakers, int)  # such a model does not count
            return FoundSpeakers(self._n_speakers)
        return self.search.find(self._n_speakers, self._people)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Separate window by window; neighbouring windows are cross-faded."""
        fade, before = round(FADE_SECONDS * self._recording.sample_rate_hz), None
        self._activity, self._details = [], []
        _ = self.speakers, self._turns  # found here, by one thread
        for window, separated in zip(self.windows, in_parallel(self._separate_window, self.windows), strict=True):
            self._activity.append(separated.activity)
            if separated.details is not None:
                self._details.append(separated.details)
            voices = separated.voices[..., window.start - window.context_start :]
            if before is not None:
                ramp = np.linspace(0, 1, before.shape[-1], dtype=np.float32)
                voices[..., : len(ramp)] = ramp * voices[..., : len(ramp)] + (1 - ramp) * before
            length = window.stop - window.start
            before = voices[..., length : length + fade].copy()
            self._advance(window, VOICES_COST + (self.search.hidden_cost(window) if self._embeds else 0.0))
            yield voices[..., :length]

    def with_rest(self) -> Iterator[np.ndarray]:
        """Yield the parts of the iteration with what belongs to no voice as the last one, float32 `[S + 1, C, n]`."""
        start = 0
        for voices in self:
            samples = self._reader.samples(start, start := start + voices.shape[-1])
            yield np.concatenate([voices, (samples - voices.sum(axis=0))[None]])

    def result(self, voices: np.ndarray | None = None) -> Separation:
        """Return the separation with the given voices; None if the parts were written. Only after the iteration."""
        activity = SpeakerActivity.concatenate(self._activity, self._recording.seconds)
        if self.speakers.count and self.speakers.count.no_speech:
            activity = replace(activity, speech=False)
        details = None
        if self._details:
            masks = np.concatenate([part.masks for part in self._details], axis=1)
            magnitudes = np.concatenate([part.magnitudes for part in self._details])
            embeddings = [part.embeddings for part in self._details if part.embeddings is not None]
            details = SpectralDetails(masks, magnitudes, np.concatenate(embeddings) if embeddings else None)
        confidence, low = activity.confidence(), None
        if self._thresholds is not None and not self._binary_masks:  # binary masks have a confidence of 1
            low = self._thresholds.is_low(confidence, self.speakers.n_speakers)
        return Separation(self._recording.sample_rate_hz, voices, **vars(self.speakers), activity=activity,
                          confidence=confidence, details=details, low_confidence=low)

    @cached_property
    def _turns(self) -> Turns | None:
        """Find who talks at each moment, where the masks may confuse people."""
        if not (self._can_find_turns and 2 <= self.speakers.n_speakers <= MAX_PEOPLE):
            for window in self.windows if self._can_find_turns else ():
                self._advance(window, TURNS_COST)
            return None
        assert self._verification is not None
        n_frames, frame = self.search.scaling.first_frame(len(self.windows)), frame_seconds(self._front_end)
        return find_turns(self._voice_frames(), n_frames, frame, self._verification, self._model.hop_reduction)

    def _voice_frames(self) -> Iterator[VoiceFrames]:
        """Measure the voices window by window."""
        centroids = self.speakers.centroids
        assert centroids is not None

        def measure(window: Window) -> tuple[np.ndarray, VoiceFrames]:
            first_frame = self.search.scaling.first_frame(self.windows.index(window))
            return self.search.network.voice_frames(window, centroids, first_frame)

        for window, (hidden, part) in zip(self.windows, in_parallel(measure, self.windows), strict=True):
            self.search.network.keep(window, hidden, for_centroids=False)
            self._advance(window, TURNS_COST + self.search.hidden_cost(window))
            yield part

    def _separate_window(self, window: Window) -> SeparatedWindow:
        """Separate a window and its context."""
        signals, own = self._reader.read(window), self._reader.own_frames(window)
        self._reader.forget(window)
        n_kept = self._n_kept_frames(window, len(signals.magnitudes[own]))
        masks, embeddings = self._masks(window, signals, with_embeddings=n_kept > 0)
        final = masks
        if self._embeds and not self._binary_masks:
            final = self._model.final_masks(self._reader.mixed_spectrogram(signals), masks,
                                            self.search.scaling.mask_network_scale)
        if self._turns is not None:
            first_frame = self.search.scaling.first_frame(self.windows.index(window)) - own.start
            masks, final = self._turns.apply(masks, first_frame), self._turns.apply(final, first_frame)
        if self._binary_masks:
            masks = final = (masks.argmax(axis=0) == np.arange(len(masks))[:, None, None]).astype(np.float32)
        mean_magnitudes = np.abs(signals.spectrograms).mean(axis=0)
        activity = SpeakerActivity.from_masks(masks[:, own], mean_magnitudes[own], frame_seconds(self._front_end),
                                              first_frame_seconds(self._front_end))
        details = None
        if n_kept:
            details = SpectralDetails(masks[:, own][:, :n_kept].copy(), signals.magnitudes[own][:n_kept].copy(),
                                      None if embeddings is None else embeddings[own][:n_kept].copy())
        voices = synthesise_voices(self._front_end, final, masks, signals, self._recording.sample_rate_hz)
        return SeparatedWindow(voices, activity, details)

    def _masks(self, window: Window, signals: WindowSignals,
               with_embeddings: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Return masks `[S, T, F]` of a window and, if wanted, the embeddings `[T, F, K]` that they come from."""
        embeddings, n_frames = None, len(signals.magnitudes)
        if self._embeds:
            hidden, centroids = self.search.network.hidden(window, signals.magnitudes), self.speakers.centroids
            assert centroids is not None
            if with_embeddings:
                embeddings = embeddings_of_hidden(self._model, hidden, n_frames)
            masks = masks_of_hidden(self._model, hidden, n_frames, centroids)
        else:
            masks = np.asarray(self._model.masks(mix(signals.resampled), self.speakers.n_speakers))
        return masks, embeddings

    def _n_kept_frames(self, window: Window, n_frames: int) -> int:
        """Return how many of the own frames of a window are within the first `keep_seconds`."""
        frames = frame_seconds(self._front_end)
        before = round(window.start / self._recording.sample_rate_hz / frames)
        return min(max(round(self._keep_seconds / frames) - before, 0), n_frames)

    def _advance(self, window: Window, cost: float) -> None:
        """Report the share of the work that is done with one step for a window."""
        self._progress(cost * (window.context_stop - window.context_start) / self._total_cost)
