"""The speech of a run becomes `speech.csv`, and a resumed run has to have the same speech.

`speech.csv` has the columns `utterance`, `seconds` and `checksum` (`data/checksums.py`). With `corpus.check=headers`,
no speech is read: a run that begins so records no checksums, and a resumption compares durations only.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lab41_sce.data.checksums import utterance_checksums
from lab41_sce.errors import UserError

NAME = "speech.csv"
HALF_SAMPLE_SECONDS = 2e-6  # smaller than half a sample at 192 kHz, larger than rounding errors


def speech_table(utterances: pd.DataFrame, check: str) -> pd.DataFrame:
    """Make the table `speech.csv`.

    Args:
        utterances: table of `load_corpus`.
        check: setting `corpus.check`; with "headers", the checksums are empty.
    """
    checksums = utterance_checksums(utterances) if check == "samples" else ""
    return utterances[["utterance", "seconds"]].reset_index(drop=True).assign(checksum=checksums)


def require_same_speech(now: pd.DataFrame, path: Path) -> None:
    """Compare the speech with that of the beginning of a run.

    Args:
        now: result of `speech_table`.
        path: `speech.csv` of the run.

    Raises:
        UserError: an utterance has another duration or checksum than recorded, or `speech.csv` cannot be read.
    """
    recorded = _read(path)
    if not recorded["utterance"].equals(now["utterance"]):
        raise UserError(f"{path} is damaged, since it lists other utterances than splits.csv; restore the file from a "
                        "copy, or delete it if the speech has not changed since the run began.")
    both = (recorded["checksum"] != "") & (now["checksum"] != "")
    changed = both & (recorded["checksum"] != now["checksum"])
    changed |= ~np.isclose(recorded["seconds"], now["seconds"], rtol=0, atol=HALF_SAMPLE_SECONDS)
    if changed.any():
        raise UserError(f"{changed.sum()} of the {len(now)} utterances have changed since the run began (the first: "
                        f"{now['utterance'][changed].iloc[0]}; {path} lists the earlier ones); use the same speech, "
                        "choose another run_dir, or start again with overwrite=true.")


def _read(path: Path) -> pd.DataFrame:
    """Read `speech.csv`."""
    try:
        table = pd.read_csv(path, dtype={"utterance": str, "checksum": str}, keep_default_na=False)
        return table[["utterance", "seconds", "checksum"]].astype({"seconds": float})
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"{path} cannot be read ({reason}); restore the file from a copy, or delete it if the speech "
                        "has not changed since the run began.") from None
