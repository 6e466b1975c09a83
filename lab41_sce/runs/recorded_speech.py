"""The sound files of a run become `speech.csv`, `noise.csv` and `rooms.csv`; a resumed run must have the same files.

`speech.csv` has the columns `utterance`, `seconds` and `checksum` (`data/checksums.py`). `noise.csv` has the columns
`file`, `bytes` and `checksum`, for training with the noise of a folder; `rooms.csv` has the same columns, for the bank
of rooms. With `corpus.check=headers`, no file of speech or noise is read: a run that begins so records none of their
checksums, and a resumption compares durations and sizes only.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lab41_sce.data.checksums import utterance_checksums
from lab41_sce.errors import UserError, reason

NAME, NOISE, ROOMS = "speech.csv", "noise.csv", "rooms.csv"
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
    recorded = _read(path, {"utterance": str, "seconds": float, "checksum": str})
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


def require_same_noise(now: pd.DataFrame, path: Path) -> None:
    """Compare the files of a folder of noise with those of the beginning of a run.

    Args:
        now: `Noise.files`.
        path: `noise.csv` of the run.

    Raises:
        UserError: a file was added, removed or changed, or `noise.csv` cannot be read.
    """
    recorded = _read(path, {"file": str, "bytes": int, "checksum": str})
    both = now.merge(recorded, "outer", "file", suffixes=("", "_recorded"))
    known = (both["checksum"] != "") & (both["checksum_recorded"] != "")
    changed = both["bytes"].ne(both["bytes_recorded"]) | known & both["checksum"].ne(both["checksum_recorded"])
    if changed.any():
        raise UserError(f"{changed.sum()} files in noise.folder were added, removed or changed since the run began "
                        f"(the first: {both['file'][changed].iloc[0]}; {path} lists the earlier ones); use the same "
                        "noise, choose another run_dir, or start again with overwrite=true.")


def require_same_rooms(now: pd.DataFrame, path: Path) -> None:
    """Compare the bank of rooms with that of the beginning of a run; its name may differ.

    Args:
        now: `RoomBank.files`.
        path: `rooms.csv` of the run.

    Raises:
        UserError: the bank has another checksum, or `rooms.csv` cannot be read.
    """
    recorded = _read(path, {"file": str, "bytes": int, "checksum": str})
    if recorded["checksum"].tolist() != now["checksum"].tolist():
        raise UserError(f"the bank of rooms {now['file'].iloc[0]} differs from that with which the run began, which "
                        f"{path} describes; use the same bank, choose another run_dir, or start again with "
                        "overwrite=true.")


def _read(path: Path, types: dict[str, type]) -> pd.DataFrame:
    """Read columns of `speech.csv`, `noise.csv` or `rooms.csv`."""
    try:
        texts = {name: str for name, kind in types.items() if kind is str}
        return pd.read_csv(path, dtype=texts, keep_default_na=False)[[*types]].astype(types)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); restore the file from a copy, or delete it if the "
                        f"{path.stem} has not changed since the run began.") from None
