"""The windows of a recording become its speakers: their number, a centroid for each, and who of them is enrolled.

    magnitudes of all windows         -> scaling of the network's input, windows with speech
    embeddings of windows with speech -> number of speakers, and a centroid for each
    speaker vectors of blocks of 2 s  -> number of speakers again, with those who only take turns

Only the windows that determine the centroids are computed here; their hidden outputs are kept for the separation.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from lab41_sce.audio.windows import Window
from lab41_sce.models.clustering import active_bins
from lab41_sce.models.count_network import CountedFrames
from lab41_sce.models.mask_estimation import EmbeddingMasks
from lab41_sce.separation.count_classifier import CountClassifier
from lab41_sce.separation.count_features import ActiveBins
from lab41_sce.separation.people import voice_order
from lab41_sce.separation.result import FoundSpeakers
from lab41_sce.separation.running_scaling import RunningScaling
from lab41_sce.separation.speaker_count import RANGE_DB as COUNT_RANGE_DB
from lab41_sce.separation.speaker_count import SpeakerCount, count_speakers, estimate_count
from lab41_sce.separation.turn_numbers import SpeechBlocks, speech_blocks
from lab41_sce.separation.verification import Verification, find_people
from lab41_sce.separation.voice_description import MAX_NOISE_VARIATION_DB, VoiceDescription, spectral_variation_db
from lab41_sce.separation.window_network import WindowNetwork
from lab41_sce.separation.window_signals import MAX_CLUSTERING_WINDOWS, WindowReader, choose_windows
from lab41_sce.threads import in_parallel

MAX_CLUSTERING_EMBEDDINGS = 100_000
MAX_DESCRIBED_WINDOWS = 4  # of a minute each: enough to recognise a voice
MAGNITUDES_COST, HIDDEN_COST = 0.1, 1.0  # computing time for a window, relative to that of the hidden layers


class Calibrations(NamedTuple):
    """Hold what `lab41-sce calibrate` fitted to a model; None where it was not.

    Attributes:
        counting: counts the speakers.
        turns: counts them again in recordings with enough speech (`turn_numbers.py`), with `verification`.
        verification: recognises people.
    """

    counting: CountClassifier | None = None
    turns: CountClassifier | None = None
    verification: Verification | None = None


class SpeakerSearch:
    """Find the speakers of a recording.

    Args:
        model: the embedding model.
        reader: reads the windows.
        windows: of the recording.
        calibrations: of the model.
        advance: called with a window and the cost of a step that is done.
    """

    def __init__(self, model: EmbeddingMasks, reader: WindowReader, windows: Sequence[Window],
                 calibrations: Calibrations, advance: Callable[[Window, float], object]):
        self._model, self._reader, self._windows = model, reader, windows
        self._calibrations, self._advance = calibrations, advance

    def find(self, n_speakers: int | tuple[int, int], people: Mapping[str, VoiceDescription]) -> FoundSpeakers:
        """Find the speakers and the enrolled people among them.

        Args:
            n_speakers: the number, or the smallest and the largest to count between.
            people: enrolled, by name.

        Returns:
            The speakers, first those who are enrolled and present.

        Raises:
            UserError: the recording cannot be read, or the model cannot separate this number of speakers.
        """
        model, count = self._model, None
        if isinstance(n_speakers, int):
            active = self._sample_active_bins(model.range_db)
        else:
            count, active = self._count(*n_speakers)
            n_speakers = count.n_speakers
        embeddings, magnitudes = active.embeddings, active.magnitudes
        loud = active_bins(magnitudes, model.range_db, self.scaling.peak)
        centroids = model.centroids(embeddings[loud], magnitudes[loud], n_speakers)
        if not people:
            return FoundSpeakers(n_speakers, count, centroids)
        found = find_people(people, self.describe(centroids), self._calibrations.verification,
                            model.verification_threshold)
        if count and count.no_speech or not len(magnitudes):
            found = [person.absent() for person in found]
        order = voice_order(found, n_speakers)
        return FoundSpeakers(n_speakers, count, centroids[order], tuple(person.reordered(order) for person in found))

    @cached_property
    def scaling(self) -> RunningScaling:
        """Measure the scaling of the network's input over the whole recording."""
        scaling = RunningScaling(self._model.front_end)
        magnitudes = in_parallel(self._reader.magnitudes, self._windows)
        for window, of_window in zip(self._windows, magnitudes, strict=True):
            scaling.add(of_window[self._reader.own_frames(window)])
            self._advance(window, MAGNITUDES_COST)
        return scaling

    @cached_property
    def network(self) -> WindowNetwork:
        """Return the network on windows, which needs the scaling of its input."""
        return WindowNetwork(self._model, self._reader, self.scaling, len(self._windows) > MAX_CLUSTERING_WINDOWS)

    def hidden_cost(self, window: Window) -> float:
        """Return the cost of the hidden layers of a window the first time, then 0."""
        return HIDDEN_COST if self.network.is_first(window) else 0.0

    def describe(self, centroids: np.ndarray) -> list[VoiceDescription]:
        """Describe the voices of the windows that determined their centroids `[S, K]`, without separating them."""
        verification = self._calibrations.verification
        if verification is None:
            return [VoiceDescription(centroid) for centroid in centroids]
        magnitudes = [self.network.voices(window, centroids) for window in self._described_windows()]
        return [verification.classes.describe(voice, centroid, self._model.front_end)
                for voice, centroid in zip(np.concatenate(magnitudes, axis=1), centroids, strict=True)]

    def described_magnitudes(self) -> np.ndarray:
        """Return the magnitudes of the mixture in the windows that `describe` reads, `[T, F]`."""
        return np.concatenate([*map(self._own_magnitudes, self._described_windows())])

    def counting_bins(self) -> ActiveBins:
        """Return the bins from which the classifier counts the speakers (`count_features`)."""
        return self._sample_active_bins(COUNT_RANGE_DB, by_blocks=True)

    def counted_frames(self) -> list[CountedFrames]:
        """Return the frames from which the classifier's network counts the speakers, of the same windows."""
        return [*in_parallel(partial(self.network.counted_frames, range_db=COUNT_RANGE_DB), self._counted_windows())]

    def speech_blocks(self, verification: Verification) -> SpeechBlocks:
        """Return the blocks of the same windows by which people who take turns are counted (`turn_numbers.py`)."""
        magnitudes = in_parallel(self._own_magnitudes, self._counted_windows())
        return speech_blocks(magnitudes, self.scaling.peak, self._model.front_end, verification)

    def _count(self, fewest: int, most: int) -> tuple[SpeakerCount, ActiveBins]:
        """Count the speakers; return also the bins of the windows that were counted."""
        calibrations, front_end = self._calibrations, self._model.front_end
        counting, turns = calibrations.counting, calibrations.turns
        active = self.counting_bins() if counting else self._sample_active_bins(COUNT_RANGE_DB)
        if len(active.frames) and all(spectral_variation_db(self._own_magnitudes(window), front_end)
                                      < MAX_NOISE_VARIATION_DB for window in self._counted_windows()):
            return SpeakerCount(fewest, fewest=fewest, no_speech=True), active
        if not counting:
            threshold = self._model.cluster_variance
            assert threshold is not None  # `Separator` refuses models without either
            return count_speakers(active.embeddings, threshold, fewest, most), active
        blocks = None
        if turns and calibrations.verification:
            blocks = partial(self.speech_blocks, calibrations.verification)
        return estimate_count(active, self.counted_frames, counting, fewest, most, turns, blocks), active

    def _counted_windows(self) -> list[Window]:
        """Return the windows by which the speakers are counted."""
        return [self._windows[index] for index in choose_windows(self.scaling.loudness(COUNT_RANGE_DB))]

    def _described_windows(self) -> list[Window]:
        """Return some of the windows that determine the centroids."""
        clustered = self.network.clustered
        return clustered[:: -(-len(clustered) // MAX_DESCRIBED_WINDOWS)]

    def _own_magnitudes(self, window: Window) -> np.ndarray:
        """Return the magnitudes of the mixture in a window's own frames, `[T, F]`."""
        return self._reader.magnitudes(window)[self._reader.own_frames(window)]

    def _sample_active_bins(self, range_db: float, by_blocks: bool = False) -> ActiveBins:
        """Return active bins of windows with speech; of long recordings some, at random or whole blocks of frames."""
        samples, first_frame = [], 0
        chosen = choose_windows(self.scaling.loudness(range_db))
        windows, most = [self._windows[index] for index in chosen], MAX_CLUSTERING_EMBEDDINGS // len(chosen)
        sample = partial(self.network.sample, range_db=range_db, by_blocks=by_blocks, most=most)
        for index, window, (hidden, active) in zip(chosen, windows, in_parallel(sample, windows), strict=True):
            self.network.keep(window, hidden, for_centroids=True)
            samples.append(active._replace(frames=first_frame + active.frames))
            first_frame += 2 * self.scaling.n_frames(index)  # no frame is a neighbour of a frame in another window
            self._advance(window, self.hidden_cost(window))
        return ActiveBins(*map(np.concatenate, zip(*samples, strict=True)))
