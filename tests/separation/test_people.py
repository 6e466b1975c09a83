"""Enrolled people: which voice is whose, in which order the voices come, and which names are possible."""

import numpy as np
import pytest

from lab41_sce.errors import UserError
from lab41_sce.separation.people import EnrolledPerson, assign_voices, voice_names, voice_order
from lab41_sce.separation.voice_names import MAX_NAME_BYTES, check_names


@pytest.mark.parametrize(("scores", "voices"), [
    ([[3.0, 2.9], [2.5, -1.0]], [1, 0]),  # both are present: 2.9 + 2.5 is more than 3
    ([[3.0, 2.9], [-1.0, -9.0]], [0, 1]),  # who is not present takes nobody's voice
    ([[-5.0, -2.0, -3.0]], [1]),  # the most similar voice of somebody who is not present
    ([[2.0], [3.0], [1.0]], [None, 0, None])])  # more people than voices
def test_the_sum_of_the_scores_decides_whose_voice_is_which(scores, voices):
    assert assign_voices(np.array(scores)) == voices


def test_the_voices_of_people_who_are_present_come_first_and_have_their_names():
    people = [EnrolledPerson("Ann", False, 0.1, 0, (0.3, 0.2, 0.1)),
              EnrolledPerson("Bob", True, 0.9, 2, (0.1, 0.2, 0.8))]
    order = voice_order(people, 3)
    assert order == [2, 0, 1]
    ann, bob = (person.reordered(order) for person in people)
    assert (ann.voice, ann.similarity) == (1, (0.1, 0.3, 0.2)) and (bob.voice, bob.similarity) == (0, (0.8, 0.1, 0.2))
    assert voice_names([ann, bob], 3) == ["Bob", "2", "3"]
    assert str(ann) == "Ann is not present (probability 10%)"


@pytest.mark.parametrize(("names", "wrong"), [
    (["a/b"], "contains '/'"), (["a\\b"], "contains"), ([".Ann"], "begins with a point"), (["2"], "is a number"),
    (["voice_2"], "is what voices without a name have in RTTM"), (["Voice 12"], "is what voices without a name have"),
    (["Ann\n"], "cannot be printed"), ([" "], "is empty"), (["x" * (MAX_NAME_BYTES + 1)], "more than 60 bytes"),
    (["Ann", "ann"], "would give the same file"), (["Ann B", "Ann_B"], "would give the same file"),
    (["\u00c4nne", "A\u0308nne"], "would give the same file")])
def test_names_that_cannot_be_names_of_files_are_refused(names, wrong):
    with pytest.raises(UserError, match=wrong):
        check_names(names)


def test_other_names_are_possible():
    check_names(["Ann", "Bob Smith", "Ann-2", "voice", "voice 2b", "Zo\u00eb", "\u674e"])
