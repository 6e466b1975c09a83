"""A recording becomes voices, window by window.

    magnitudes of all windows         -> scaling of the network's input, windows with speech
    embeddings of windows with speech -> number of speakers, and a centroid for each
    masks of all windows              -> who talks at each moment (recordings of at least half a minute, `turns.py`)
    each window                       -> masks -> voices

The centroids are fixed before the first voice is separated, so a voice keeps its number from the first window to the
last. The outputs of the hidden layers are kept for the windows that determine the centroids, and for others: they are
small, and the last layer computes the large embeddings from them again. Several windows are processed at once, each in
a thread.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from lab41_sce.audio.mixing import mix
from lab41_sce.audio.recording import Recording
from lab41_sce.audio.windows import Window
from lab41_sce.models.clustering import active_bins
from lab41_sce.models.count_network import CountedFrames
from lab41_sce.models.mask_estimation import EmbeddingMasks
from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.chunked_inference import (
    embeddings_of_hidden,
    masks_of_hidden,
    plan_windows_of_excerpts,
)
from lab41_sce.separation.confidence import ConfidenceThresholds
from lab41_sce.separation.count_classifier import CountClassifier
from lab41_sce.separation.count_features import ActiveBins
from lab41_sce.separation.people import voice_order
from lab41_sce.separation.result import FoundSpeakers, Separation, SpectralDetails
from lab41_sce.separation.resynthesis import synthesise_voices
from lab41_sce.separation.running_scaling import RunningScaling
from lab41_sce.separation.speaker_count import RANGE_DB as COUNT_RANGE_DB
from lab41_sce.separation.speaker_count import count_speakers, estimate_count
from lab41_sce.separation.turns import MAX_PEOPLE, MIN_SECONDS, Turns, VoiceFrames, find_turns
from lab41_sce.separation.verification import Verification, find_people
from lab41_sce.separation.voice_description import VoiceDescription
from lab41_sce.separation.window_network import WindowNetwork
from lab41_sce.separation.window_signals import (
    MAX_CLUSTERING_WINDOWS,
    WindowReader,
    WindowSignals,
    choose_windows,
    first_frame_seconds,
    frame_seconds,
)
from lab41_sce.threads import in_parallel

FADE_SECONDS = 0.05  # of the cross-fade between windows
MAX_CLUSTERING_EMBEDDINGS = 100_000
MAX_DESCRIBED_WINDOWS = 4  # of a minute each: enough to recognise a voice
# Computing time relative to that of the hidden layers, for the progress.
MAGNITUDES_COST, HIDDEN_COST, TURNS_COST, VOICES_COST = 0.1, 1.0, 0.2, 0.3


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
                 progress: Callable[[float], object], counting: CountClassifier | None = None,
                 confidence_thresholds: ConfidenceThresholds | None = None,
                 verification: Verification | None = None):
        self._model, self._recording, self._progress = model, recording, progress
        self._n_speakers, self._people, self._counting = n_speakers, people, counting
        self._thresholds, self._verification = confidence_thresholds, verification
        self._binary_masks, self._keep_seconds = binary_masks, keep_seconds
        self._front_end = model.front_end
        self._reader = WindowReader(recording, model.front_end)
        self._activity: list[SpeakerActivity] = []
        self._details: list[SpectralDetails] = []
        self._embeds = isinstance(model, EmbeddingMasks)
        self._can_find_turns = self._embeds and verification is not None and recording.seconds >= MIN_SECONDS
        if self._embeds:
            self.windows = plan_windows_of_excerpts(model, recording, window_seconds)
            cost = MAGNITUDES_COST + HIDDEN_COST + VOICES_COST + TURNS_COST * self._can_find_turns
        else:  # masks of different windows could be in different orders
            self.windows = [Window(0, recording.n_samples, 0, recording.n_samples)]
            cost = VOICES_COST
        self._total_cost = cost * sum(window.context_stop - window.context_start for window in self.windows)

    @cached_property
    def speakers(self) -> FoundSpeakers:
        """Find the number of speakers and their centroids, once, before the first voice is separated.

        Raises:
            UserError: the recording cannot be read, or the model cannot separate this number of speakers.
        """
        model, n_speakers, count = self._model, self._n_speakers, None
        if not self._embeds:
            assert isinstance(n_speakers, int)  # such a model does not count
            return FoundSpeakers(n_speakers)
        if isinstance(n_speakers, int):
            active = self._sample_active_bins(model.range_db)
        else:
            if self._counting:
                active = self.counting_bins()
                count = estimate_count(active, self.counted_frames, self._counting, *n_speakers)
            else:
                active = self._sample_active_bins(COUNT_RANGE_DB)
                count = count_speakers(active.embeddings, model.cluster_variance, *n_speakers)
            n_speakers = count.n_speakers
        embeddings, magnitudes = active.embeddings, active.magnitudes
        loud = active_bins(magnitudes, model.range_db, self._scaling.peak)
        centroids = model.centroids(embeddings[loud], magnitudes[loud], n_speakers)
        if not self._people:
            return FoundSpeakers(n_speakers, count, centroids)
        people = find_people(self._people, self.describe(centroids), self._verification, model.verification_threshold)
        order = voice_order(people, n_speakers)
        people = [person.reordered(order) for person in people]
        return FoundSpeakers(n_speakers, count, centroids[order], tuple(people))

    def describe(self, centroids: np.ndarray) -> list[VoiceDescription]:
        """Describe the voices of the windows that determined their centroids `[S, K]`, without separating them."""
        if self._verification is None:
            return [VoiceDescription(centroid) for centroid in centroids]
        magnitudes = [self._network.voices(window, centroids) for window in self._described_windows()]
        return [self._verification.classes.describe(voice, centroid, self._front_end)
                for voice, centroid in zip(np.concatenate(magnitudes, axis=1), centroids, strict=True)]

    def described_magnitudes(self) -> np.ndarray:
        """Return the magnitudes of the mixture in the windows that `describe` reads, `[T, F]`."""
        return np.concatenate([self._reader.magnitudes(window)[self._reader.own_frames(window)]
                               for window in self._described_windows()])

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
            self._advance(window, VOICES_COST + self._hidden_cost(window))
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

    def counting_bins(self) -> ActiveBins:
        """Return the bins from which the classifier counts the speakers (`count_features`)."""
        return self._sample_active_bins(COUNT_RANGE_DB, by_blocks=True)

    def counted_frames(self) -> list[CountedFrames]:
        """Return the frames from which its network counts them, of the same windows."""
        chosen = choose_windows(self._scaling.loudness(COUNT_RANGE_DB))
        return [self._network.counted_frames(self.windows[index], COUNT_RANGE_DB) for index in chosen]

    def _described_windows(self) -> list[Window]:
        """Return some of the windows that determine the centroids."""
        clustered = self._network.clustered
        return clustered[:: -(-len(clustered) // MAX_DESCRIBED_WINDOWS)]

    @cached_property
    def _network(self) -> WindowNetwork:
        """Return the network, which needs the scaling of its input."""
        return WindowNetwork(self._model, self._reader, self._scaling, len(self.windows) > MAX_CLUSTERING_WINDOWS)

    @cached_property
    def _scaling(self) -> RunningScaling:
        """Measure the scaling of the network's input over the whole recording."""
        scaling = RunningScaling(self._front_end)
        for window, magnitudes in zip(self.windows, in_parallel(self._reader.magnitudes, self.windows), strict=True):
            scaling.add(magnitudes[self._reader.own_frames(window)])
            self._advance(window, MAGNITUDES_COST)
        return scaling

    def _sample_active_bins(self, range_db: float, by_blocks: bool = False) -> ActiveBins:
        """Return active bins of windows with speech; of long recordings some, at random or whole blocks of frames."""
        samples, first_frame = [], 0
        chosen = choose_windows(self._scaling.loudness(range_db))
        windows, most = [self.windows[index] for index in chosen], MAX_CLUSTERING_EMBEDDINGS // len(chosen)
        sample = partial(self._network.sample, range_db=range_db, by_blocks=by_blocks, most=most)
        for index, window, (hidden, active) in zip(chosen, windows, in_parallel(sample, windows), strict=True):
            self._network.keep(window, hidden, for_centroids=True)
            samples.append(active._replace(frames=first_frame + active.frames))
            first_frame += 2 * self._scaling.n_frames(index)  # no frame is a neighbour of a frame in another window
            self._advance(window, self._hidden_cost(window))
        return ActiveBins(*map(np.concatenate, zip(*samples, strict=True)))

    @cached_property
    def _turns(self) -> Turns | None:
        """Find who talks at each moment, where the masks may confuse people."""
        if not (self._can_find_turns and 2 <= self.speakers.n_speakers <= MAX_PEOPLE):
            for window in self.windows if self._can_find_turns else ():
                self._advance(window, TURNS_COST)
            return None
        assert self._verification is not None
        n_frames, frame = self._scaling.first_frame(len(self.windows)), frame_seconds(self._front_end)
        return find_turns(self._voice_frames(), n_frames, frame, self._verification, self._model.hop_reduction)

    def _voice_frames(self) -> Iterator[VoiceFrames]:
        """Measure the voices window by window."""
        centroids = self.speakers.centroids
        assert centroids is not None

        def measure(window: Window) -> tuple[np.ndarray, VoiceFrames]:
            return self._network.voice_frames(window, centroids, self._scaling.first_frame(self.windows.index(window)))

        for window, (hidden, part) in zip(self.windows, in_parallel(measure, self.windows), strict=True):
            self._network.keep(window, hidden, for_centroids=False)
            self._advance(window, TURNS_COST + self._hidden_cost(window))
            yield part

    def _hidden_cost(self, window: Window) -> float:
        """Return the cost of the hidden layers of a window the first time, then 0."""
        return HIDDEN_COST if self._embeds and self._network.is_first(window) else 0.0

    def _separate_window(self, window: Window) -> SeparatedWindow:
        """Separate a window and its context."""
        signals, own = self._reader.read(window), self._reader.own_frames(window)
        self._reader.forget(window)
        n_kept = self._n_kept_frames(window, len(signals.magnitudes[own]))
        masks, embeddings = self._masks(window, signals, with_embeddings=n_kept > 0)
        final = masks
        if self._embeds and not self._binary_masks:
            final = self._model.final_masks(self._reader.mixed_spectrogram(signals), masks,
                                            self._scaling.mask_network_scale)
        if self._turns is not None:
            first_frame = self._scaling.first_frame(self.windows.index(window)) - own.start
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
            hidden, centroids = self._network.hidden(window, signals.magnitudes), self.speakers.centroids
            assert centroids is not None
            if with_embeddings:
                embeddings = embeddings_of_hidden(self._model, hidden, n_frames)
            masks = masks_of_hidden(self._model, hidden, n_frames, centroids)
        else:
            masks = self._model.masks(mix(signals.resampled), self.speakers.n_speakers)
        return masks, embeddings

    def _n_kept_frames(self, window: Window, n_frames: int) -> int:
        """Return how many of the own frames of a window are within the first `keep_seconds`."""
        frames = frame_seconds(self._front_end)
        before = round(window.start / self._recording.sample_rate_hz / frames)
        return min(max(round(self._keep_seconds / frames) - before, 0), n_frames)

    def _advance(self, window: Window, cost: float) -> None:
        """Report the share of the work that is done with one step for a window."""
        self._progress(cost * (window.context_stop - window.context_start) / self._total_cost)
