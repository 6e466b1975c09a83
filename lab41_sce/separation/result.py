"""The results of a separation: the speakers, which are found before the first voice, and the whole result.

Both are frozen and compute nothing. Commands, the page and notebooks read them.
"""

from dataclasses import dataclass, replace

import numpy as np

from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.people import EnrolledPerson, voice_names
from lab41_sce.separation.speaker_count import SpeakerCount


@dataclass(frozen=True)
class FoundSpeakers:
    """Describe the speakers of a recording, before their voices are separated.

    Attributes:
        n_speakers: S.
        count: the decision on the number of speakers; None if the caller gave the number.
        centroids: float32 `[S, K]`, in the order of the voices; None of a model that estimates masks directly.
        people: the enrolled people, in the order of the caller. Their voices come first.
    """

    n_speakers: int
    count: SpeakerCount | None = None
    centroids: np.ndarray | None = None
    people: tuple[EnrolledPerson, ...] = ()


@dataclass(frozen=True)
class SpectralDetails:
    """Keep the time-frequency arrays of the start of a recording.

    Attributes:
        masks: float32 `[S, T, F]`.
        magnitudes: of the mixed channels (`WindowSignals`), float32 `[T, F]`.
        embeddings: float32 `[T, F, K]`; None of a model that estimates masks directly.
    """

    masks: np.ndarray
    magnitudes: np.ndarray
    embeddings: np.ndarray | None


@dataclass(frozen=True)
class Separation:
    """Hold the result of separating a recording.

    Attributes:
        sample_rate_hz: of the voices, which is that of the recording.
        voices: float32 `[S, N]`, or `[S, C, N]` of several channels; None if they were written part by part. They sum
            to the recording if the model's masks sum to one.
        n_speakers, count, centroids, people: see `FoundSpeakers`.
        activity: when each speaker is active.
        confidence: 0 to 1, see `SpeakerActivity.confidence`; NaN for silence and for a single voice.
        details: masks, magnitudes and embeddings of the first seconds, if they were requested.
        low_confidence: whether the voices may each hold parts of the others (`ConfidenceThresholds`); None if the
            thresholds of the model were not measured, or the masks are binary.
    """

    sample_rate_hz: int
    voices: np.ndarray | None
    n_speakers: int
    count: SpeakerCount | None
    centroids: np.ndarray | None
    activity: SpeakerActivity
    confidence: float
    details: SpectralDetails | None
    low_confidence: bool | None = None
    people: tuple[EnrolledPerson, ...] = ()

    @property
    def names(self) -> list[str]:
        """Return the name of each voice, S: that of an enrolled person, or else the number of the voice from 1 on."""
        return voice_names(self.people, self.n_speakers)

    def order_of_speech(self) -> list[int]:
        """List the indices of the voices in the order in which they first speak, silent ones last.

        The voices of enrolled people who are present stay the first. If nobody is, the most similar voice does.
        """
        starts = [segments[0][0] if segments else float("inf") for segments in self.activity.segments()]
        if self.people:
            n_first = max(1, sum(person.present for person in self.people))
            starts[:n_first] = [-1.0] * n_first
        return sorted(range(self.n_speakers), key=starts.__getitem__)

    def reordered(self, order: list[int]) -> "Separation":
        """Return the same separation with its voices in another order.

        Args:
            order: the present index of each voice in the new order.
        """
        def of(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[order]

        details = self.details and replace(self.details, masks=self.details.masks[order])
        return replace(self, voices=of(self.voices), centroids=of(self.centroids),
                       activity=replace(self.activity, powers=self.activity.powers[order]), details=details,
                       people=tuple(person.reordered(order) for person in self.people))
