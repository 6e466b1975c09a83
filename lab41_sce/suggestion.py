"""A misspelt name becomes the nearest known one, for a message."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is nearest to a misspelt one, or None if none is near.

    Args:
        name: as the user wrote it.
        known: the possible names. Without a dot, `name` is compared with the last parts of dotted names, too.
    """
    known = list(known)
    by_ending = {} if "." in name else {other.rpartition(".")[2]: other for other in reversed(known)}
    for ending in get_close_matches(name, by_ending, 1):
        return by_ending[ending]
    return next(iter(get_close_matches(name, known, 1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean NAME?" with the nearest of the known names; an empty text if none is near."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""
