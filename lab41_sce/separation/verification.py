"""The description of an enrolled person and those of the voices become the probability that the person is present.

    counts [M], sums [M, C] -> supervector [M C] -> speaker vector [D] of length one
    cosines of two vectors, relative to those with a cohort of other speakers -> score -> probability

The supervector is the mean cepstrum of each class of sounds relative to that of all speakers, divided by its standard
deviation; classes with few frames count less. A linear discriminant analysis keeps the D directions in which speakers
differ most. Noise and the separation lower all cosines of a voice. The score therefore states by how many standard
deviations a cosine exceeds those with the most similar speakers of the cohort: adaptive s-norm (P. Matějka et al.,
"Analysis of score normalization in multilingual speaker recognition", 2017).

`lab41-sce calibrate` writes the verification as JSON beside the model: `sce.keras` and `sce.verification.json`. The
probability depends on how well the network separates, so the file names the weights of the network.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lab41_sce.errors import UserError
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.calibration_file import read_calibration, write_calibration
from lab41_sce.separation.people import EnrolledPerson, assign_voices
from lab41_sce.separation.voice_description import N_CEPSTRA, VoiceDescription, cepstra

KIND = "verification"
RELEVANCE = 4.0  # frames of a class at which its mean has half of its weight
TOP_COHORT = 60  # most similar speakers of the cohort, with whom a cosine is compared
MEASURED_VOICES = (2, 3)  # smallest and largest number of voices in the mixtures of the calibration
MAX_COMPONENTS, MAX_DIMENSIONS, MAX_COHORT = 256, 256, 1000  # larger files are refused


@dataclass(frozen=True)
class SoundClasses:
    """Hold a Gaussian mixture model of the cepstra of all speakers: M components with diagonal covariances.

    Attributes:
        shares: M; they sum to one.
        means: M rows of C.
        deviations: standard deviations, M rows of C.
    """

    shares: list[float]
    means: list[list[float]]
    deviations: list[list[float]]

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.array(self.shares), np.array(self.means), np.array(self.deviations)

    def describe(self, magnitudes: np.ndarray, centroid: np.ndarray, front_end: NumpyFrontEnd) -> VoiceDescription:
        """Describe a voice.

        Args:
            magnitudes: of the voice, float32 `[T, F]`.
            centroid: of its embeddings, `[K]`.
            front_end: that of the magnitudes.
        """
        frames = cepstra(magnitudes, front_end)
        classes = self.shares_of(frames)
        return VoiceDescription(centroid, classes.sum(axis=0), classes.T @ frames)

    def shares_of(self, frames: np.ndarray) -> np.ndarray:
        """Return the share of each class in frames: the probabilities of the components `[n, M]`, given `[n, C]`."""
        shares, means, deviations = self._arrays
        # The squares of (x - mean) / deviation, summed over C, without an array [n, M, C].
        distances = ((frames**2) @ (deviations**-2).T - 2 * frames @ (means / deviations**2).T
                     + ((means / deviations) ** 2).sum(axis=1))
        logits = np.log(shares) - np.log(deviations).sum(axis=1) - 0.5 * distances
        classes = np.exp(logits - logits.max(axis=1, initial=-np.inf, keepdims=True))
        return classes / classes.sum(axis=1, keepdims=True)

    def supervectors(self, counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Return the supervectors `[..., M C]` of counts `[..., M]` and sums `[..., M, C]`."""
        _, means, deviations = self._arrays
        counts, size = counts[..., None], sums.shape[-2] * sums.shape[-1]
        return ((sums - counts * means) / (counts + RELEVANCE) / deviations).reshape(*sums.shape[:-2], size)


@dataclass(frozen=True)
class Verification:
    """Hold what recognises people by their voices.

    Attributes:
        network: checksum of the weights of the network (`weights_checksum`).
        classes: the classes of sounds.
        centre: mean of the supervectors of the cohort, M C.
        projection: linear discriminant analysis, D rows of M C.
        cohort: speaker vectors of other people, rows of D.
        slope, voices_slope, bias: the probability is the logistic function of slope * score + voices_slope * S + bias,
            where S is the number of voices, limited to `MEASURED_VOICES`. The more voices, the worse each is separated.
        calibration: what was measured by cross-validation, for the reader of the file.
    """

    network: int
    classes: SoundClasses
    centre: list[float]
    projection: list[list[float]]
    cohort: list[list[float]]
    slope: float
    voices_slope: float
    bias: float
    calibration: dict[str, Any]

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.array(self.centre), np.array(self.projection), np.array(self.cohort)

    def logits(self, people: Sequence[VoiceDescription], voices: Sequence[VoiceDescription]) -> np.ndarray:
        """Return the logits of the probabilities that the voices are those of the people, `[P, S]`."""
        n_voices = float(np.clip(len(voices), *MEASURED_VOICES))
        return self.slope * self.scores(people, voices) + self.voices_slope * n_voices + self.bias

    def scores(self, people: Sequence[VoiceDescription], voices: Sequence[VoiceDescription]) -> np.ndarray:
        """Return the normalised scores of people and voices, `[P, S]`."""
        of_people, of_voices = self.speaker_vectors(people), self.speaker_vectors(voices)
        cosines = of_people @ of_voices.T
        (person_mean, person_deviation), (voice_mean, voice_deviation) = map(self._like_cohort, (of_people, of_voices))
        return 0.5 * ((cosines - person_mean[:, None]) / person_deviation[:, None]
                      + (cosines - voice_mean) / voice_deviation)

    def speaker_vectors(self, voices: Sequence[VoiceDescription]) -> np.ndarray:
        """Return the speaker vectors `[n, D]` of descriptions; zeros for silence."""
        described = [(voice.counts, voice.sums) for voice in voices
                     if voice.counts is not None and voice.sums is not None]
        assert len(described) == len(voices)
        return self.vectors(*map(np.stack, zip(*described, strict=True)))

    def vectors(self, counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Return the speaker vectors `[..., D]` of counts `[..., M]` and sums `[..., M, C]`; zeros for silence."""
        centre, projection, _ = self._arrays
        vectors = (self.classes.supervectors(counts, sums) - centre) @ projection.T
        vectors = vectors * (counts.sum(axis=-1, keepdims=True) > 0)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)

    def _like_cohort(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the largest cosines of vectors `[n, D]` with the cohort, `[n]` each."""
        largest = np.sort(vectors @ self._arrays[2].T, axis=1)[:, -TOP_COHORT:]
        return largest.mean(axis=1), np.maximum(largest.std(axis=1), 1e-3)

    def write(self, model_file: Path) -> Path:
        """Write the verification beside a model file; return its path."""
        return write_calibration(self, model_file, KIND)


def find_people(people: Mapping[str, VoiceDescription], voices: Sequence[VoiceDescription],
                verification: Verification | None, threshold: float | None) -> list[EnrolledPerson]:
    """Assign the voices of a recording to the enrolled people, and decide who is present.

    Args:
        people: by name, in the order of the caller.
        voices: of the recording, S.
        verification: None to compare the centroids with `threshold`.
        threshold: smallest cosine between the centroids of one speaker in two recordings.

    Raises:
        UserError: the centroid of a person is none of this model.
    """
    centroids = np.stack([voice.centroid for voice in voices])
    enrolled = np.stack([_direction(person.centroid, centroids.shape[1]) for person in people.values()])
    similarity = enrolled @ (centroids / np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)).T
    if verification is not None:
        scores = verification.logits([*people.values()], voices)
    else:
        assert threshold is not None  # `Separator` refuses models without either
        scores = similarity - threshold
    found = []
    for name, voice, of_person, cosines in zip(people, assign_voices(scores), scores, similarity, strict=True):
        score = of_person.max() if voice is None else of_person[voice]
        present = voice is not None and bool(score >= 0)
        probability = None if verification is None else 1 / (1 + math.exp(-float(np.clip(score, -50, 50))))
        if probability is not None and voice is None:  # the voice is more probably that of another person
            probability = min(probability, 1 - probability)
        found.append(EnrolledPerson(name, present, probability, voice, tuple(cosines.tolist())))
    return found


def read_verification(model_file: Path, model: Any) -> Verification | None:
    """Read the verification beside a model file; None if there is none (`read_calibration`)."""
    return read_calibration(model_file, KIND, model, _build, "recognise nobody")


def _build(values: dict[str, Any]) -> Verification:
    """Make a verification of the contents of a file; raise ValueError if they are not possible."""
    verification = Verification(**values | {"classes": SoundClasses(**values["classes"])})
    classes = verification.classes
    arrays = [np.array(numbers, float) for numbers in (
        classes.shares, classes.means, classes.deviations,
        verification.centre, verification.projection, verification.cohort)]
    m, d, p = len(arrays[0]), len(arrays[4]), len(arrays[5])
    shapes = [(m,), (m, N_CEPSTRA), (m, N_CEPSTRA), (m * N_CEPSTRA,), (d, m * N_CEPSTRA), (p, d)]
    if not ([array.shape for array in arrays] == shapes and all(np.isfinite(array).all() for array in arrays)
            and 1 <= m <= MAX_COMPONENTS and 1 <= d <= MAX_DIMENSIONS and 2 <= p <= MAX_COHORT
            and (arrays[0] > 0).all() and (arrays[2] > 0).all()
            and all(map(math.isfinite, (verification.slope, verification.voices_slope, verification.bias)))):
        raise ValueError("the tables of numbers do not fit together")
    return verification


def _direction(embedding: np.ndarray, size: int) -> np.ndarray:
    """Scale the embedding of a speaker to length one; raise UserError if it is no embedding `[size]`."""
    embedding = np.asarray(embedding)
    length = np.linalg.norm(embedding)
    if embedding.shape != (size,) or not 0 < length < np.inf:
        raise UserError(f"an embedding of shape {embedding.shape} and length {length:g} is not that of a speaker; "
                        f"give {size} numbers: describe the person with this model (Separator.describe_person).")
    return embedding / length
