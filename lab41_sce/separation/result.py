"""The results of a separation: what is known before the voices exist, and all that is known afterwards.

Both are frozen and compute nothing. Commands, the page and notebooks read them.
"""

from dataclasses import dataclass

import numpy as np

from lab41_sce.separation.activity import SpeakerActivity
from lab41_sce.separation.speaker_count import SpeakerCount


@dataclass(frozen=True)
class FoundSpeakers:
    """Describe the speakers of a recording, before their voices are separated.

    Attributes:
        n_speakers: S.
        count: the decision on the number of speakers; None if the caller gave the number.
        centroids: float32 `[S, K]`, in the order of the voices; None of a model that estimates masks directly.
        similarity: cosine between each centroid and the enrolled speaker, `[S]`, in descending order; None without an
            enrolled speaker.
        enrolled_found: whether the first voice is the enrolled speaker's, that is, whether its similarity reaches the
            model's verification threshold; None without an enrolled speaker.
    """

    n_speakers: int
    count: SpeakerCount | None = None
    centroids: np.ndarray | None = None
    similarity: np.ndarray | None = None
    enrolled_found: bool | None = None


@dataclass(frozen=True)
class SpectralDetails:
    """Keep the time-frequency arrays of the start of a recording.

    Attributes:
        masks: float32 `[S, T, F]`.
        magnitudes: of the mean of the channels, float32 `[T, F]`.
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
        speakers: number of speakers, centroids, similarity to an enrolled speaker.
        activity: when each speaker is active.
        confidence: 0 to 1, see `SpeakerActivity.confidence`; NaN of silence and of a single voice.
        details: masks, magnitudes and embeddings of the first seconds, if they were requested.
    """

    sample_rate_hz: int
    voices: np.ndarray | None
    speakers: FoundSpeakers
    activity: SpeakerActivity
    confidence: float
    details: SpectralDetails | None = None

    @property
    def n_speakers(self) -> int:
        """Return the number of speakers, S."""
        return self.speakers.n_speakers

    @property
    def count(self) -> SpeakerCount | None:
        """Return the decision on the number of speakers; None if the caller gave the number."""
        return self.speakers.count

    @property
    def similarity(self) -> np.ndarray | None:
        """Return the cosine between each voice and the enrolled speaker, `[S]`; None without an enrolled speaker."""
        return self.speakers.similarity

    @property
    def enrolled_found(self) -> bool | None:
        """Return whether the first voice is the enrolled speaker's; None without an enrolled speaker."""
        return self.speakers.enrolled_found
