"""The words of `--enroll` become people, each with the files of their speech.

    --enroll Ann=ann_1.wav --enroll Ann=ann_2.wav --enroll Bob=bob.wav  ->  {"Ann": [2 files], "Bob": [1 file]}
    --enroll ann.wav                                                    ->  {"": [1 file]}: one person without a name
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab41_sce.errors import UserError
from lab41_sce.separation.voice_names import check_names


def parse_people(words: Sequence[str]) -> dict[str, list[Path]]:
    """Group the files by the names of the people.

    Args:
        words: `NAME=FILE`, or `FILE`. The name of an existing file may contain "=".

    Returns:
        The files of each person, in the order of the command line.

    Raises:
        UserError: a name or a file is missing or not possible, a file is given for two people, or some files have a
            name and others have none.
    """
    people: dict[str, list[Path]] = {}
    for word in words:
        has_name = "=" in word and not os.path.exists(word)
        name, _, file = word.partition("=") if has_name else ("", "", word)
        if not file or has_name and not name.strip():
            raise UserError(f"--enroll {word} has no {'name' if file else 'file'}; give NAME=FILE, such as "
                            "Ann=ann.wav.")
        people.setdefault(name.strip(), []).append(Path(file))
    if "" in people and len(people) > 1:
        raise UserError(f"--enroll {people[''][0]} has no name, but other files have one; give NAME=FILE for each.")
    if "" not in people:
        check_names(people)
    _check_files(people)
    return people


def _check_files(people: Mapping[str, Sequence[Path]]) -> None:
    """Raise UserError if a file is given for two people."""
    owner: dict[str, str] = {}
    for name, files in people.items():
        for file in files:
            first = owner.setdefault(os.path.realpath(file), name)
            if first != name:
                raise UserError(f"{file} is given for both {first} and {name}; give each person their own recording.")
