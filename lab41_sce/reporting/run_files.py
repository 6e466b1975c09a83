"""CSV files of a run become tables with names as text; renamed systems have their current names."""

from pathlib import Path

import pandas as pd

from lab41_sce.errors import UserError, reason
from lab41_sce.runs.renamed_settings import renamed_systems

NAME_COLUMNS = ("system", "split", "kind", "metric", "mixture", "example", "speakers")


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file of a run.

    Args:
        path: such as `summary.csv`.

    Returns:
        The table, where names are text even if they look like numbers, and systems of old runs have their current
        names. It has no rows if the file does not exist.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return pd.DataFrame(columns=list(NAME_COLUMNS))
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(NAME_COLUMNS, str))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); restore it from a copy, or score the run again."
                        ) from None
    if "system" in table:
        table["system"] = renamed_systems(table["system"])
    return table
