"""The embeddings of a recording become the number of people who talk, 1 to 5.

A model with a classifier (`count_classifier.py`) gives the probability of each number. Without one, the model's
threshold decides, up to 3. Training moves the embeddings of one speaker together, so the count is the smallest number
of clusters with a mean squared distance to the centroids below the threshold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lab41_sce.models.clustering import fit_centroids
from lab41_sce.models.count_network import CountedFrames
from lab41_sce.separation.count_classifier import CountClassifier
from lab41_sce.separation.count_features import ActiveBins, count_features
from lab41_sce.separation.turn_numbers import MIN_BLOCKS, SpeechBlocks, turn_numbers

MAX_SPEAKERS = 3  # that the threshold can distinguish
RANGE_DB = 30.0  # bins further below the peak are left out; the others have equal weights, so quiet voices count
MAX_EMBEDDINGS = 5000  # with 2,000 the variances agree to three digits
UNCERTAIN_SHARE = 0.08  # so close to the threshold, a third of the counts of validation mixtures are wrong
SURE = 0.8  # smallest probability of a number that is reported without its runner-up


@dataclass(frozen=True)
class SpeakerCount:
    """Hold the number of speakers and the evidence: probabilities, or cluster variances and their threshold.

    Attributes:
        n_speakers: the most probable number, or the smallest number of clusters with a variance below the threshold.
        cluster_variances: mean squared distance of the embeddings from their centroids, for 1, 2, ... clusters; empty
            of a count by probabilities.
        threshold: the model's `cluster_variance`; None of a count by probabilities.
        probabilities: of each number that was possible; None of a count by the threshold, and if nobody was counted.
        fewest: smallest number that was possible.
        silent: whether there was nothing to count by.
        no_speech: whether the spectrum varies as little as that of steady noise, so that nobody was counted.
    """

    n_speakers: int
    cluster_variances: tuple[float, ...] = ()
    threshold: float | None = None
    probabilities: dict[int, float] | None = None
    fewest: int = 1
    silent: bool = False
    no_speech: bool = False

    def __str__(self) -> str:
        """Explain the number in a sentence."""
        if self.silent:
            voices = "one voice is" if self.n_speakers == 1 else f"{self.n_speakers} silent voices are"
            return f"the recording is silent: {voices} returned"
        if self.no_speech:
            voices = "one voice is" if self.n_speakers == 1 else f"{self.n_speakers} voices are"
            return f"no speech was found: {voices} returned"
        people = "1 person talks" if self.n_speakers == 1 else f"{self.n_speakers} people talk"
        if self.probabilities:
            sentence, other = f"{people} (probability {self.probabilities[self.n_speakers]:.0%}", self.alternative
            return f"{sentence}, unsure: {other} has {self.probabilities[other]:.0%})" if other else f"{sentence})"
        if not self.cluster_variances:
            return f"{people} (no other number was possible)"
        variances = ", ".join(f"{variance:.2f} with {n} {'cluster' if n == 1 else 'clusters'}"
                              for n, variance in enumerate(self.cluster_variances, start=1))
        sentence = f"{people} (cluster variance {variances}; threshold {self.threshold:g})"
        if self.alternative:
            sentence += f"; close to the threshold, it could be {self.alternative}: give the number if you know it"
        return sentence

    @property
    def alternative(self) -> int | None:
        """Return the runner-up of an uncertain number; None if the number is sure.

        A number is uncertain with a probability below `SURE`. By the threshold, it is uncertain if a threshold
        `UNCERTAIN_SHARE` lower or higher gives another.
        """
        if self.probabilities:
            others = {n: share for n, share in self.probabilities.items() if n != self.n_speakers}
            unsure = self.probabilities[self.n_speakers] < SURE
            return max(others, key=lambda n: others[n]) if unsure and others else None
        if self.silent or self.no_speech or self.threshold is None:
            return None
        most = len(self.cluster_variances) + 1
        numbers = {smallest_fit(self.cluster_variances, self.threshold * factor, most, self.fewest)
                   for factor in (1 - UNCERTAIN_SHARE, 1 + UNCERTAIN_SHARE)}
        return next(iter(numbers - {self.n_speakers}), None)


def mean_squared_distance(embeddings: np.ndarray, centroids: np.ndarray) -> float:
    """Compute the mean squared distance of embeddings from their nearest centroid.

    Args:
        embeddings: float32 `[n, K]`, n at least 1.
        centroids: `[S, K]`.

    Returns:
        At least 0; for embeddings of length one, at most about 1.
    """
    # |v - c|^2 = |v|^2 - 2 (<v, c> - |c|^2 / 2)
    nearness = (embeddings @ centroids.T - 0.5 * (centroids**2).sum(axis=1)).max(axis=1)
    return float(np.mean((embeddings**2).sum(axis=1) - 2 * nearness))


def smallest_fit(cluster_variances: Sequence[float], threshold: float, most: int = MAX_SPEAKERS,
                 fewest: int = 1) -> int:
    """Return the smallest number of clusters, from `fewest`, with a variance below the threshold; else `most`."""
    return next((n for n, variance in enumerate(cluster_variances, start=1) if n >= fewest and variance < threshold),
                most)


def count_speakers(embeddings: np.ndarray, threshold: float, fewest: int = 1,
                   most: int = MAX_SPEAKERS) -> SpeakerCount:
    """Count the speakers of a recording by the threshold; silence counts as one, or as `fewest`.

    Args:
        embeddings: of bins at most `RANGE_DB` below the peak, float32 `[n, K]`.
        threshold: the model's `cluster_variance` (see `EmbeddingModel`).
        fewest: smallest number that is counted.
        most: largest number that is counted.
    """
    if not len(embeddings):
        return SpeakerCount(fewest, (), threshold, fewest=fewest, silent=True)
    embeddings = embeddings[:: -(-len(embeddings) // MAX_EMBEDDINGS)]
    equal_weights = np.ones(len(embeddings), np.float32)
    cluster_variances = tuple(mean_squared_distance(embeddings, fit_centroids(embeddings, equal_weights, n))
                              for n in range(1, most))
    number = smallest_fit(cluster_variances, threshold, most, fewest)
    return SpeakerCount(number, cluster_variances, threshold, fewest=fewest)


def estimate_count(active: ActiveBins, frames: Callable[[], Sequence[CountedFrames]], classifier: CountClassifier,
                   fewest: int, most: int, turn_classifier: CountClassifier | None = None,
                   blocks: Callable[[], SpeechBlocks] | None = None) -> SpeakerCount:
    """Estimate the number of speakers and its probability; silence counts as `fewest`.

    Args:
        active: bins at most `RANGE_DB` below the peak.
        frames: returns those of the same windows; called if the classifier has a network.
        classifier: fitted to the model.
        fewest: smallest possible number.
        most: largest possible number, at most the classifier's.
        turn_classifier: counts also the people who take turns, in recordings with enough speech; None to count only
            those who talk at once.
        blocks: returns the blocks of speech of the same windows, for `turn_classifier`.

    Returns:
        The most probable number. The probabilities of the numbers from `fewest` to `most` sum to one.
    """
    if not len(active.frames):
        return SpeakerCount(fewest, fewest=fewest, silent=True)
    numbers = count_features(active) | classifier.scores(frames)
    if turn_classifier and blocks and len((found := blocks()).weights) >= MIN_BLOCKS:
        numbers, classifier = turn_numbers(classifier.probabilities(numbers), found), turn_classifier
    probabilities = classifier.probabilities(numbers, fewest, most)
    number = max(probabilities, key=lambda number: probabilities[number])
    return SpeakerCount(number, probabilities=probabilities, fewest=fewest)
