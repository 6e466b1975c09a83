"""Scores of enrolled people and voices `[P, S]` become people who are present, each with a voice, or not present.

A person has at most one voice, and a voice at most one person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

TIE = 1e-6  # share of a negative score, so that the most similar voice is that of a person who is not present


@dataclass(frozen=True)
class EnrolledPerson:
    """Describe what was found of an enrolled person.

    Attributes:
        name: of the person; empty if the caller gave none.
        present: whether one of the voices is the person's.
        probability: that the person is present, 0 to 1; None of a model without a calibrated verification.
        voice: index of the person's voice, or of the most similar one if the person is not present; None if all voices
            are more similar to other people.
        similarity: of each voice, `[S]`: cosines.
    """

    name: str
    present: bool
    probability: float | None
    voice: int | None
    similarity: tuple[float, ...]

    def reordered(self, order: list[int]) -> "EnrolledPerson":
        """Return the same person, with the voices in another order: the present index of each."""
        voice = None if self.voice is None else order.index(self.voice)
        return replace(self, voice=voice, similarity=tuple(self.similarity[index] for index in order))

    def absent(self) -> "EnrolledPerson":
        """Return the same person, not present: nobody talks in the recording."""
        return replace(self, present=False, probability=None if self.probability is None else 0.0)

    def __str__(self) -> str:
        """Return, for example, "Ann is present (probability 97%)"."""
        return f"{self.name} is {'' if self.present else 'not '}present ({self.evidence})"

    @property
    def evidence(self) -> str:
        """The probability that the person is present, or the similarity of the most similar voice, in words."""
        if self.probability is None:
            return f"similarity {max(self.similarity):.2f}"
        return f"probability {self.probability:.0%}"


def assign_voices(scores: np.ndarray) -> list[int | None]:
    """Assign people to voices, one to one, so that the sum of their positive scores is as large as possible.

    Args:
        scores: of each person and each voice, `[P, S]`, above 0 if the voice is more probably the person's.

    Returns:
        The voice of each person; None for the people who are left over if there are more people than voices.
    """
    from scipy.optimize import linear_sum_assignment  # takes a second, which a separation without people does not need

    people, voices = linear_sum_assignment(np.where(scores > 0, scores, TIE * scores), maximize=True)
    voice_of = dict(zip(people.tolist(), voices.tolist(), strict=True))
    return [voice_of.get(person) for person in range(len(scores))]


def voice_order(people: Sequence[EnrolledPerson], n_voices: int) -> list[int]:
    """Return the indices of the voices, first those of people: who is present comes before who is not."""
    first = [person.voice for person in sorted(people, key=lambda person: not person.present)
             if person.voice is not None]
    return [*first, *(voice for voice in range(n_voices) if voice not in first)]


def voice_names(people: Sequence[EnrolledPerson], n_voices: int) -> list[str]:
    """Return the name of each voice: that of a person who is present, or else the number of the voice from 1 on."""
    named = {person.voice: person.name for person in people if person.present and person.name}
    return [named.get(voice, str(voice + 1)) for voice in range(n_voices)]
