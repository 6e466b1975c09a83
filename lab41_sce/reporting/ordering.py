"""Names of systems, kinds of mixture and splits are put in reading order.

References are systems that do nothing or use the true sources: the unprocessed mixture, oracle centroids and ideal
masks. They frame the results, and come after the systems that separate.
"""

from collections.abc import Iterable

import pandas as pd

from lab41_sce.data.splits import base_split, split_snr_db

REFERENCES = ("unprocessed", "oracle_centroids", "ideal_binary_mask", "ideal_ratio_mask", "phase_sensitive_mask")


def is_reference(system: str) -> bool:
    """Return whether a system is a reference, such as `unprocessed` or `sce_oracle_centroids`."""
    return _rank(system) > 0


def ordered_systems(systems: Iterable[str]) -> list[str]:
    """Remove repeated names and put the references last, from floor to ceiling; other systems keep their order."""
    return sorted(dict.fromkeys(systems), key=_rank)


def _rank(system: str) -> int:
    """Return the place of a reference, from floor to ceiling, beginning with 1; 0 for a system that separates.

    Oracle centroids have the name of their system in front: `sce_oracle_centroids`.
    """
    name = "oracle_centroids" if system.endswith("_oracle_centroids") else system
    return REFERENCES.index(name) + 1 if name in REFERENCES else 0


def ranked_systems(rows: pd.DataFrame) -> list[str]:
    """Order the systems of a summary by their mean for the kind All, the best first, and the references last.

    Args:
        rows: rows of `summary.csv` of one split and metric.

    Returns:
        Each name once; systems without a mean for All come after those with one.
    """
    means = rows[rows["kind"] == "All"].sort_values("mean", ascending=False, kind="stable")
    return ordered_systems([*means["system"], *rows["system"]])


def ordered_kinds(kinds: Iterable[str]) -> list[str]:
    """Remove repeated kinds of mixture and order them: FF, FM, MM and so on, All last."""
    return sorted(set(kinds), key=lambda kind: (kind == "All", len(kind), kind))


def ordered_splits(splits: Iterable[str]) -> list[str]:
    """Remove repeated splits and order them by name; splits with noise come last, with the highest SNR first."""
    return sorted(set(splits), key=lambda split: (base_split(split), -split_snr_db(split)))


def words(name: str) -> str:
    """Replace the underscores of a name by spaces."""
    return name.replace("_", " ")


def figure_label(name: str) -> str:
    """Return a name as text of a figure: in words, with the sign that begins a formula in Matplotlib escaped."""
    return words(name).replace("$", r"\$")
