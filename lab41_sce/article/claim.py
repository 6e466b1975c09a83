"""A claim of the article gets a verdict: what was measured, the rule, and the table behind it.

The claims are those of the manuscript (arXiv 1705.04662) and of Lab41's article. A verdict is HOLDS, FAILS, UNDECIDED,
or BY_CONSTRUCTION where no measurement could have refuted the claim. Its rule is part of the reason, and uses the
measured numbers only. Intervals are 95 % bootstrap intervals over speakers (`evaluation/bootstrap.py`): they cover
other speakers, and another training only where there are several seeds (`over_seeds.py`).
"""

from typing import NamedTuple

import pandas as pd

from lab41_sce.reporting.ordering import ordered_kinds
from lab41_sce.reporting.tables import MIN_MIXTURES, Table

HOLDS, BY_CONSTRUCTION, FAILS, UNDECIDED = "holds", "holds by construction", "does not hold", "undecided"
MIN_SPEAKERS = 4  # of each sex, for a verdict

AGAINST_DEEP_CLUSTERING = "SCE separates better than deep clustering on FF, FM and All, but not on MM"
UPDATE_TIME = "An update of SCE takes almost half the time of an update of deep clustering"
IDENTITIES = "Identities are not needed to separate"
SIMILAR_VOICES = "Similar voices have similar vectors"
CHOICES = "Each choice in our recipe for SCE is better than its alternative"
NOISE = "SCE separates in noise if it is trained with noise (left open by the article)"


class Claim(NamedTuple):
    """A claim with its verdict, the reason for the verdict, and the measured numbers."""

    title: str
    verdict: str
    reason: str
    table: Table | None = None


def too_few(mixtures: pd.DataFrame, split: str = "unseen") -> str:
    """Return why a split is too small for a verdict, as a sentence with a space before it; "" if it is large enough.

    Args:
        mixtures: rows of `evaluation.csv`.
        split: name of the split.
    """
    mixtures = mixtures[mixtures["split"] == split]
    if mixtures.empty:
        return " There are no mixtures to decide with."
    by_kind = mixtures["kind"].map(sorted).map("".join).value_counts()
    columns = mixtures.filter(regex=r"^speaker_\d+$")
    by_sex = {sex: set() for sex in "".join(by_kind.index)}
    for place, column in enumerate(columns):
        for sex, names in mixtures[column].groupby(mixtures["kind"].str[place]):
            by_sex[sex] |= set(names)
    if by_kind.min() < MIN_MIXTURES:
        return f" Fewer than {MIN_MIXTURES} mixtures of a kind are too few to decide."
    if min(map(len, by_sex.values())) < MIN_SPEAKERS:
        return f" Fewer than {MIN_SPEAKERS} speakers of a sex are too few to decide."
    return ""


def listed(names: set[str] | list[str]) -> str:
    """Join names with commas and "and"; the names of a set are kinds of mixture and are put in reading order."""
    names = ordered_kinds(names) if isinstance(names, set) else list(names)
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
