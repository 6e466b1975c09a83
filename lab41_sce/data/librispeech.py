"""A tree in LibriSpeech's layout becomes a table of usable utterances with speaker and sex.

Layout (Panayotov et al., ICASSP 2015): `<root>/<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac`, and
`<root>/SPEAKERS.TXT`, lines `ID | SEX | SUBSET | MINUTES | NAME`. The embedded corpus has the same layout in Ogg.

The table (pandas, sorted by utterance) has the columns `utterance`, `speaker`, `sex` ("F" or "M"), `subset`, `path`,
`seconds`. What cannot be used is left out and listed with its reason in one warning.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from filelock import FileLock
from joblib import Parallel, delayed
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.data import store
from lab41_sce.data.download import download as download_subsets
from lab41_sce.errors import UserError
from lab41_sce.atomic_write import make_folder

EMBEDDED_ROOT, EMBEDDED_SUBSET = Path(__file__).parent / "embedded", "synthetic"
SUFFIXES = (".flac", ".ogg", ".wav")

logger = logging.getLogger(__name__)


def load(
    root: str | Path | None,
    subsets: Sequence[str],
    unseen_subsets: Sequence[str] = (),
    utterances: str | Path | None = None,
    download: bool = False,
    min_seconds: float = 1.0,
    check: str = "samples",
) -> pd.DataFrame:
    """Index the utterances of some subsets of a tree.

    Args:
        root: folder that holds the subsets and SPEAKERS.TXT, or a store of them (`store.py`); None for the embedded
            corpus.
        subsets: names of subset folders to train on.
        unseen_subsets: subset folders whose speakers are for scoring only.
        utterances: CSV file with a column `utterance`; only these are kept, in whatever listed subset they lie.
        download: fetch subsets that are missing from OpenSLR first.
        min_seconds: shorter utterances are left out.
        check: "samples" decodes every file (finds corrupt and silent ones), "headers" only opens it. Of a store:
            whether the samples are those that were written, or the lengths of its files only.

    Returns:
        The table of utterances (see above); of a store, with its columns `start` and `stop`.

    Raises:
        UserError: the tree, a subset, SPEAKERS.TXT or a listed utterance is missing, or nothing usable is left.
    """
    if download and root is None:
        raise UserError("corpus.download=true needs corpus.root, the folder to download to.")
    root = Path(root) if root is not None else EMBEDDED_ROOT
    wanted = list(unseen_subsets) + list(subsets)  # an utterance in both is an unseen speaker's
    for name in wanted:
        if not isinstance(name, str) or name in ("", "..") or Path(name).name != name:
            raise UserError(f"corpus.subsets or corpus.unseen_subsets has {name!r}, which is no folder of corpus.root; "
                            "give the names of folders in it.")
    if download and not all((root / name).is_dir() for name in wanted):
        make_folder(root)
        try:
            with FileLock(root / ".download.lock"):  # several workers of one training come at once
                download_subsets(wanted, root)
        except OSError as error:
            raise UserError(f"corpus.root={root} cannot be written to ({error.strerror}); choose another.") from None
    if not root.is_dir():
        raise UserError(f"corpus.root={root} is not a folder; give the folder that holds {', '.join(wanted)} "
                        "and SPEAKERS.TXT, or set corpus.download=true.")
    if store.is_store(root):
        return _load_store(root, wanted, utterances, min_seconds, check)
    missing = [name for name in wanted if not (root / name).is_dir()]
    if missing and utterances is None:
        raise UserError(f"{root} has no folder {', '.join(missing)}; set corpus.subsets and corpus.unseen_subsets to "
                        "folders that are there, or corpus.download=true.")
    sexes = read_sexes(root / "SPEAKERS.TXT")
    paths, skipped = {}, []
    for subset in wanted:
        for path in sorted((root / subset).glob("*/*/*")):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():  # whoever reads a pipe waits
                continue
            _, first = paths.setdefault(path.stem, (subset, path))
            # An utterance may stand in two subsets (train-clean-5 and train-clean-100), but not be two speakers'.
            if first.parent.parent.name != path.parent.parent.name:
                skipped.append(f"{path.relative_to(root)}: {first.relative_to(root)} has the same name")
    if utterances is not None:
        paths = _restrict(paths, Path(utterances), root)
    if check == "samples":
        inspect = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
            delayed(_inspect)(path, min_seconds, True) for _, path in paths.values())
    else:  # so quick that handing it to threads takes longer
        inspect = (_inspect(path, min_seconds, False) for _, path in paths.values())
    rows = []
    for (utterance, (subset, path)), (seconds, reason) in zip(
        paths.items(), tqdm(inspect, "checking speech", len(paths), unit=" files", leave=False, disable=None)
    ):
        speaker = path.parent.parent.name
        if reason is None and speaker not in sexes:
            reason = "its speaker is not in SPEAKERS.TXT"
        if reason is None:
            rows.append((utterance, speaker, sexes[speaker], subset, str(path), seconds))
        else:
            skipped.append(f"{path.relative_to(root)}: {reason}")
    if skipped:
        logger.warning("%d of %d files are left out:\n  %s", len(skipped), len(rows) + len(skipped),
                       "\n  ".join(skipped))
    if not rows:
        raise UserError(f"{root} holds no usable utterance in {', '.join(wanted)}; see the README for the layout.")
    columns = ["utterance", "speaker", "sex", "subset", "path", "seconds"]
    return pd.DataFrame(rows, columns=columns).sort_values("utterance", ignore_index=True)


def _load_store(root, wanted, utterances, min_seconds, check):
    """Load the table of a store, of some subsets, perhaps restricted by a list."""
    table = store.load(root, check)
    if missing := sorted(set(wanted) - set(table["subset"].unique())):
        raise UserError(f"the store {root} has no subset {', '.join(missing)}; set corpus.subsets and "
                        f"corpus.unseen_subsets to some of {', '.join(sorted(table['subset'].unique()))}.")
    table = table[table["subset"].isin(wanted)]
    if utterances is not None:
        rows = dict(zip(table["utterance"], range(len(table))))
        table = table.iloc[[*_restrict(rows, Path(utterances), root).values()]]
    table = table[table["seconds"] >= min_seconds]
    if not len(table):
        raise UserError(f"{root} holds no utterance of {min_seconds:g} s in {', '.join(wanted)}; "
                        "lower corpus.min_seconds.")
    return table.sort_values("utterance", ignore_index=True)


def read_sexes(path: Path) -> dict[str, str]:
    """Read SPEAKERS.TXT: the sex, "F" or "M", by speaker id."""
    if not path.is_file():
        raise UserError(f"{path} is missing; it tells each speaker's sex and comes with LibriSpeech.")
    sexes = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = [field.strip() for field in line.split("|")]
        if not line.startswith(";") and len(fields) >= 2 and fields[1] in ("F", "M"):
            sexes[fields[0]] = fields[1]
    return sexes


def _restrict(paths: dict, list_path: Path, root: Path) -> dict:
    """Keep the utterances that a CSV file lists."""
    try:
        if not list_path.is_file():
            raise OSError("there is no such file")
        listed = pd.read_csv(list_path, dtype=str)["utterance"]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"corpus.utterances={list_path} cannot be read ({error}); "
                        "give a CSV file with a column 'utterance'.") from None
    absent = [utterance for utterance in listed if utterance not in paths]
    if absent:
        raise UserError(f"{len(absent)} of the {len(listed)} utterances in {list_path} are not under {root} "
                        f"(the first: {absent[0]}); add their subsets to corpus.subsets or corpus.unseen_subsets.")
    return {utterance: paths[utterance] for utterance in listed}


def _inspect(path: Path, min_seconds: float, decode: bool) -> tuple[float, str | None]:
    """Return a file's duration and why it cannot be used, if so."""
    try:
        if not decode:
            seconds = _flac_seconds(path) or soundfile.info(path).duration
        else:
            with soundfile.SoundFile(path) as file:
                signal = audio.decode(file)
                seconds = len(signal) / file.samplerate
            if not np.isfinite(signal).all():
                return seconds, "it holds NaN or infinite samples"
            if len(signal) and np.abs(signal).max() < 1e-4:
                return seconds, "it is silent"
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        return 0.0, f"it cannot be decoded ({str(error).strip().rstrip('.')})"
    if seconds < min_seconds:
        return seconds, f"it lasts {seconds:.2f} s, less than {min_seconds:g} s"
    return seconds, None


def _flac_seconds(path: Path) -> float | None:
    """Return what the header of a FLAC file (RFC 9639, 8.2) says of its duration: a tenth of libsndfile's time."""
    with open(path, "rb") as file:
        head = file.read(26)
    if len(head) < 26 or head[:4] != b"fLaC" or head[4] & 127:
        return None
    packed = int.from_bytes(head[18:26], "big")  # 20 bits of rate, 3 of channels, 5 of sample size, 36 of samples
    rate_hz, n_samples = packed >> 44, packed & (2**36 - 1)
    return n_samples / rate_hz if rate_hz else None
