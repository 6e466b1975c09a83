"""Voices that change places in a long recording are put right: who talks is decided again from seconds of speech.

    cepstra of the mixture and of its S voices [1 + S, n, C] -> speaker vectors, one second each [1 + S, t, D]
    speaker vectors, shares of the voices in the power       -> probabilities of the situations [t, H]
    -> weights [t, S, S], by which the masks are multiplied

The masks come from the embeddings of single bins. In a long recording those of two similar people overlap, and for some
seconds one person comes out in the voice of the other, or in parts in both. A second of speech says more about who
talks. At each moment one of H situations holds:

- one person talks alone, so all bins are this person's (S situations);
- several people talk, and the masks are right, or two voices have to be exchanged (1 + S (S - 1) / 2 situations).

The situations are the states of a hidden Markov model. Each person has a mean speaker vector. The means and the
probabilities of the situations are estimated in turns, as in clustering by a Bayesian hidden Markov model (F. Landini
et al., "Bayesian HMM clustering of x-vector sequences (VBx) in speaker diarization", 2022).

The constants were chosen on conversations of validation speakers (`results/trials/README.md`, "Who speaks when").
"""

from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np

from lab41_sce.models.kmeans import kmeans
from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.separation.people import assign_voices
from lab41_sce.separation.verification import Verification
from lab41_sce.separation.voice_description import N_CEPSTRA, RANGE_DB, frame_cepstra

STEP_SECONDS, WINDOW_SECONDS = 0.25, 1.0  # between decisions; of the speech for each
BLOCK_STEPS = 240  # whose speaker vectors are computed at once
SIMILARITY_WEIGHT, SHARE_WEIGHT, MIN_SHARE = 5.0, 0.5, 0.02
CHANGE_COST, EXCHANGE_COST = 2.0, 1.0  # in log probability
N_ROUNDS = 8
MIN_ALONE = 0.2  # share of the speech: below it, people talk at once nearly always, and nothing is changed
MIN_SECONDS = 10.0  # of speech; less is too little to describe people by
MAX_PEOPLE = 6
LEVELS_BELOW_PEAK_DB = 60.0  # floor of the bands of the cepstra


class VoiceFrames(NamedTuple):
    """Hold what is needed of some frames of a recording.

    Attributes:
        places: number of each frame in the recording, ascending, int `[n]`.
        cepstra: of the mixture and of the voices, float16 `[1 + S, n, C]`.
        active: whether a frame is active in the mixture and in the voices, bool `[1 + S, n]`.
        powers: of the voices, float32 `[S, n]`.
    """

    places: np.ndarray
    cepstra: np.ndarray
    active: np.ndarray
    powers: np.ndarray

    @classmethod
    def measure(cls, places: np.ndarray, masks: np.ndarray, magnitudes: np.ndarray, peak: float,
                front_end: NumpyFrontEnd) -> "VoiceFrames":
        """Measure frames.

        Args:
            places: number of each frame in the recording, int `[n]`.
            masks: float32 `[S, n, F]`.
            magnitudes: of the mixture, float32 `[n, F]`.
            peak: usual largest magnitude of the recording (`RunningScaling.peak`).
            front_end: that of the magnitudes.
        """
        powers = np.square(np.concatenate([magnitudes[None], masks * magnitudes]), dtype=np.float32)
        floor = max(float(peak) ** 2 * 10 ** (-LEVELS_BELOW_PEAK_DB / 10), 1e-30)
        cepstra = np.zeros((*powers.shape[:2], N_CEPSTRA), np.float16)
        active = powers.max(axis=2) > float(peak) ** 2 * 10 ** (-RANGE_DB / 10)
        cepstra[active] = frame_cepstra(powers[active], floor, front_end)
        return cls(places, cepstra, active, powers[1:].sum(axis=2))

    def and_then(self, later: "VoiceFrames") -> "VoiceFrames":
        """Return these frames and those of the next part."""
        axes = (0, 1, 1, 1)
        return VoiceFrames(*(np.concatenate(both, axis) for both, axis in zip(zip(self, later), axes, strict=True)))

    def since(self, place: int) -> "VoiceFrames":
        """Return a copy of the frames from a place of the recording on."""
        start = np.searchsorted(self.places, place)
        return VoiceFrames(*(array[..., start:].copy() if array.ndim < 3 else array[:, start:].copy()
                             for array in self))


class Turns(NamedTuple):
    """Hold the weights by which the masks of a recording are multiplied.

    Attributes:
        weights: of each step, `[t, S, S]`: the new mask of person i is the sum over v of `weights[:, i, v]` times the
            mask of voice v. Each column sums to one, so that the masks keep their sum.
        frame_seconds: time between frames.
    """

    weights: np.ndarray
    frame_seconds: float

    def apply(self, masks: np.ndarray, first_frame: int) -> np.ndarray:
        """Multiply masks `[S, T, F]`, whose first frame has a number in the recording, by the weights of their time."""
        frames = first_frame + np.arange(masks.shape[1])
        steps = np.clip((frames + 0.5) * self.frame_seconds / STEP_SECONDS - 0.5, 0, len(self.weights) - 1)
        before = np.minimum(steps.astype(int), max(len(self.weights) - 2, 0))
        part = (steps - before)[:, None, None]
        after = np.minimum(before + 1, len(self.weights) - 1)
        weights = ((1 - part) * self.weights[before] + part * self.weights[after]).astype(np.float32)
        changed = np.abs(weights - np.eye(len(masks))).max(axis=(1, 2)) > 1e-4
        if not changed.any():
            return masks
        masks = masks.copy()
        masks[:, changed] = np.einsum("tiv,vtf->itf", weights[changed], masks[:, changed])
        return masks


def find_turns(parts: Iterable[VoiceFrames], n_frames: int, frame_seconds: float, verification: Verification,
               every: int = 1) -> Turns | None:
    """Decide at each moment of a recording who talks.

    Args:
        parts: measured frames of consecutive parts of the recording. Of an iterator, one part at a time is in memory.
        n_frames: number of frames of the recording.
        frame_seconds: time between frames.
        verification: describes people by speaker vectors.
        every: one of so many frames is measured; every second is enough.

    Returns:
        The weights; None if people talk at once nearly always, or for less than `MIN_SECONDS`.
    """
    n_steps = max(int(np.ceil(n_frames * frame_seconds / STEP_SECONDS)), 1)
    measured = [*_measure_steps(parts, n_steps, frame_seconds, verification, every)]
    vectors, n_active, powers = (np.concatenate(arrays, axis=1) for arrays in zip(*measured, strict=True))
    most = max(float(n_active[0].max()), 1.0)
    speech = np.minimum(n_active[0] / (0.5 * most), 1.0)  # weight of each step, [t]
    if speech.sum() * STEP_SECONDS < MIN_SECONDS:
        return None
    shares = powers / np.maximum(powers.sum(axis=0), 1e-30)
    voices = n_active[1:] / np.maximum(n_active[1:].sum(axis=0), 1e-9)  # weight of each voice in a step, [S, t]
    given, probabilities = _estimate(vectors, speech, shares, voices)
    n_people = len(shares)
    alone = probabilities[:, :n_people].sum(axis=1)
    if (alone * speech).sum() < MIN_ALONE * speech.sum():
        return None
    people = np.arange(n_people)[:, None]
    return Turns(np.einsum("th,hiv->tiv", probabilities, (given[:, None, :] == people).astype(float)), frame_seconds)


def _measure_steps(parts: Iterable[VoiceFrames], n_steps: int, frame_seconds: float, verification: Verification,
                   every: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield, for some steps after others, what `_measure_block` returns; keep only the frames of unfinished steps."""
    kept, first = None, 0
    for part in parts:
        kept = part if kept is None else kept.and_then(part)
        if len(kept.places):
            # A step needs the frames half a window beyond its centre, and gets a whole one.
            ready = int(kept.places[-1] * frame_seconds / STEP_SECONDS - WINDOW_SECONDS / STEP_SECONDS)
            while first < min(ready, n_steps):
                steps = min(BLOCK_STEPS, ready - first, n_steps - first)
                yield _measure_block(kept, frame_seconds, first, steps, verification, every)
                first += steps
            kept = kept.since(round((first * STEP_SECONDS - WINDOW_SECONDS) / frame_seconds))
    while kept is not None and first < n_steps:
        steps = min(BLOCK_STEPS, n_steps - first)
        yield _measure_block(kept, frame_seconds, first, steps, verification, every)
        first += steps


def _measure_block(frames: VoiceFrames, frame_seconds: float, first: int, steps: int, verification: Verification,
                   every: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure some steps from the frames around them.

    Returns:
        Speaker vectors float32 `[1 + S, steps, D]`, numbers of active frames `[1 + S, steps]`, and the powers of the
        voices `[S, steps]`.
    """
    start = first * STEP_SECONDS
    seconds = (frames.places + 0.5) * frame_seconds
    within = slice(*np.searchsorted(seconds, [start - WINDOW_SECONDS, start + steps * STEP_SECONDS + WINDOW_SECONDS]))
    seconds, of_each = seconds[within] - start, []
    for cepstra, active in zip(frames.cepstra[:, within], frames.active[:, within], strict=True):
        cepstra = cepstra.astype(np.float64)
        shares = verification.classes.shares_of(cepstra) * active[:, None]
        sums = (shares[:, :, None] * cepstra[:, None, :]).reshape(len(cepstra), -1)
        of_each.append(_sums_of_steps(np.concatenate([shares, sums], axis=1), seconds, steps, WINDOW_SECONDS))
    summed = every * np.stack(of_each)  # [1 + S, steps, M + M C]
    counts, sums = np.split(summed, [summed.shape[2] // (1 + N_CEPSTRA)], axis=2)
    vectors = verification.vectors(counts, sums.reshape(*counts.shape, N_CEPSTRA))
    powers = _sums_of_steps(frames.powers[:, within].T, seconds, steps, STEP_SECONDS).T
    return vectors.astype(np.float32), counts.sum(axis=2), powers


def _sums_of_steps(values: np.ndarray, seconds: np.ndarray, n_steps: int, window_seconds: float) -> np.ndarray:
    """Sum values `[n, ...]` at ascending times over a window around the centre of each step: `[steps, ...]`."""
    sums = np.cumsum(np.concatenate([np.zeros_like(values[:1], dtype=np.float64), values]), axis=0, dtype=np.float64)
    centres = (np.arange(n_steps) + 0.5) * STEP_SECONDS
    starts, stops = (np.searchsorted(seconds, centres + side * window_seconds / 2) for side in (-1, 1))
    return sums[stops] - sums[starts]


def _estimate(vectors: np.ndarray, speech: np.ndarray, shares: np.ndarray,
              voices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the person that each situation gives each voice to, int `[H, S]`, and their probabilities `[t, H]`.

    Of two starts, the one with the more probable result counts: the voices as they are, and clusters of the speaker
    vectors of the mixture. Where all voices are mixed, only the clusters are people.
    """
    n_people = len(shares)
    given = _situations(n_people)
    mixture, of_voices = vectors[0], vectors[1:]
    log_shares = SHARE_WEIGHT * np.log(np.maximum(shares, MIN_SHARE))
    first = np.einsum("t,vt,vtd->vd", speech, voices, of_voices)
    clustered = kmeans(mixture.astype(np.float32), speech, n_people)
    # Each cluster begins as the voice that has the most power in its steps.
    together = np.stack([speech[labels] @ shares.T[labels] for labels in
                         (_nearest(mixture, clustered) == cluster for cluster in range(n_people))])
    order = np.argsort([voice for voice in assign_voices(together) if voice is not None])
    results = [_rounds(start, given, mixture, of_voices, speech, voices, log_shares)
               for start in (first, clustered[order])]
    return given, max(results, key=lambda result: result[1])[0]


def _rounds(people: np.ndarray, given: np.ndarray, mixture: np.ndarray, of_voices: np.ndarray, speech: np.ndarray,
            voices: np.ndarray, log_shares: np.ndarray) -> tuple[np.ndarray, float]:
    """Estimate mean vectors of people `[S, D]` and probabilities in turns; return these and their log-likelihood."""
    n_people, probabilities, likelihood = len(people), np.zeros(0), 0.0
    alone, together = slice(0, n_people), slice(n_people, None)
    costs = np.where((given[together] == np.arange(n_people)).all(axis=1), 0.0, EXCHANGE_COST)
    owners = (given[together, :, None] == np.arange(n_people)).astype(float)  # [H - S, S voices, S people]
    for number in range(N_ROUNDS):
        if number:
            of_situations = np.einsum("th,hvi->tvi", probabilities[:, together], owners)
            people = (np.einsum("ti,t,td->id", probabilities[:, alone], speech, mixture)
                      + np.einsum("tvi,t,vt,vtd->id", of_situations, speech, voices, of_voices, optimize=True))
        people = people / np.maximum(np.linalg.norm(people, axis=1, keepdims=True), 1e-12)
        of_mixture, of_each = _lead(mixture @ people.T), _lead(of_voices @ people.T)  # [t, S], [S, t, S]
        scores = np.concatenate([
            SIMILARITY_WEIGHT * of_mixture + log_shares.T,
            SIMILARITY_WEIGHT * np.einsum("hvi,vt,vti->th", owners, voices, of_each, optimize=True) - costs], axis=1)
        probabilities, likelihood = state_probabilities(speech[:, None] * scores)
    return probabilities, likelihood


def _situations(n_people: int) -> np.ndarray:
    """Return the person that each voice is given to: one person alone, each voice its own, two exchanged, `[H, S]`."""
    own = np.arange(n_people)
    exchanged = []
    for one, other in combinations(range(n_people), 2):
        exchanged.append(own.copy())
        exchanged[-1][[one, other]] = other, one
    return np.stack([*(np.full(n_people, person) for person in own), own, *exchanged])


def _lead(similarities: np.ndarray) -> np.ndarray:
    """Subtract from each similarity `[..., S]` the largest one of the others."""
    ranked = np.sort(similarities, axis=-1)
    first, second = ranked[..., -1:], ranked[..., -2:-1]
    return similarities - np.where(similarities == first, second, first)


def _nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the index of the centroid nearest to each vector, `[n]`."""
    return np.argmax(vectors @ centroids.T - 0.5 * np.square(centroids).sum(axis=1), axis=1)


def state_probabilities(scores: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the probabilities `[t, H]` of the states of a hidden Markov model, and the log-likelihood of the scores.

    The scores are log probabilities `[t, H]` of what was measured. The forward-backward algorithm scales each step.
    """
    n_states = scores.shape[1]
    stay = np.full((n_states, n_states), np.exp(-CHANGE_COST))
    np.fill_diagonal(stay, 1.0)
    moves = stay / stay.sum(axis=1, keepdims=True)
    largest = scores.max(axis=1, keepdims=True)
    emissions = np.exp(scores - largest) + 1e-30
    forward, backward = np.empty_like(emissions), np.ones_like(emissions)
    state, likelihood = np.full(n_states, 1 / n_states), float(largest.sum())
    for step, emission in enumerate(emissions):
        state = (state @ moves if step else state) * emission
        total = state.sum()
        forward[step] = state = state / total
        likelihood += float(np.log(total))
    for step, after in reversed([*pairwise(range(len(scores)))]):
        state = moves @ (emissions[after] * backward[after])
        backward[step] = state / state.sum()
    probabilities = forward * backward
    return probabilities / probabilities.sum(axis=1, keepdims=True), likelihood
