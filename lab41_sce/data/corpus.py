"""A corpus becomes a table of usable utterances, from a tree in LibriSpeech's layout or from a store.

A tree (`librispeech.py`) holds one audio file for each utterance; missing subsets can be downloaded (`download.py`). A
store (`store_writer.py`, `store_reader.py`) holds the same speech in a few large files.

The table (pandas, sorted by utterance) has one row for each utterance:

| column | content |
| --- | --- |
| `utterance` | its name, unique in the table |
| `speaker` | id of the speaker |
| `sex` | "F" or "M" |
| `subset` | name of the subset, such as "train-clean-100" |
| `path` | the audio file |
| `seconds` | duration |
| `start`, `stop` | in the table of a store only: the utterance is the samples `start` to `stop - 1` of the file |

Tables of several corpora are joined by `join_corpora`. The first corpus keeps its ids. The ids of speakers and
utterances of every other one begin with its name, as in "speechocean762:900024".
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from lab41_sce.data import librispeech
from lab41_sce.data.download import download_missing
from lab41_sce.data.store_reader import is_store, load_store
from lab41_sce.errors import UserError, reason

SEPARATOR = ":"  # between the name of an added corpus and an id; no such name contains it
EMBEDDED_ROOT, EMBEDDED_SUBSET = Path(__file__).parent / "embedded", "synthetic"

Entry = TypeVar("Entry")


def load_every_subset(folder: Path) -> pd.DataFrame:
    """Load the table of all subsets of a folder in LibriSpeech's layout, with the headers of the files only.

    Raises:
        UserError: as `load_corpus`.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give a folder in LibriSpeech's layout.")
    return load_corpus(folder, sorted(path.name for path in folder.iterdir() if path.is_dir()), check="headers")


def load_corpus(root: str | Path | None, subsets: Sequence[str], unseen_subsets: Sequence[str] = (),
                utterances: str | Path | None = None, download: bool = False, min_seconds: float = 1.0,
                check: str = "samples", min_age: int | None = None) -> pd.DataFrame:
    """Load the table of the usable utterances of some subsets of a corpus.

    Args:
        root: folder of a tree or of a store; None for the corpus that is shipped with this package.
        subsets: names of the subsets to train on.
        unseen_subsets: names of the subsets with speakers for evaluation only.
        utterances: CSV file with a column `utterance`; only the utterances in this file are loaded.
        download: whether to download the subsets that are missing under `root` from OpenSLR.
        min_seconds: minimum duration of an utterance.
        check: "samples" decodes every file of a tree and verifies the checksums of a store; "headers" reads only the
            header of each file.
        min_age: age of the youngest speaker in years, of a tree whose SPEAKERS.TXT gives ages; None for all speakers.

    Returns:
        The table described above.

    Raises:
        UserError: `root`, a subset, SPEAKERS.TXT, a listed utterance or the age of a speaker is missing, a store is
            damaged, a download fails, or no usable utterance is left.
    """
    if download and root is None:
        raise UserError("corpus.download=true needs corpus.root, the folder to download to.")
    folder = EMBEDDED_ROOT if root is None else Path(root)
    wanted = [*unseen_subsets, *subsets]  # an utterance in both belongs to an unseen speaker
    for name in wanted:
        if not isinstance(name, str) or name in ("", "..") or Path(name).name != name:
            raise UserError(f"corpus.subsets or corpus.unseen_subsets contains {name!r}, which is not the name of a "
                            "folder of corpus.root; give the names of folders in corpus.root.")
    if download:
        download_missing(wanted, folder)
    if not folder.is_dir():
        raise UserError(f"corpus.root={folder} is not a folder; give the folder that holds {', '.join(wanted)} "
                        "and SPEAKERS.TXT, or set corpus.download=true.")
    load = _load_from_store if is_store(folder) else _load_from_tree
    return load(folder, wanted, utterances, min_seconds, check, min_age).sort_values("utterance", ignore_index=True)


def join_corpora(first: pd.DataFrame, added: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of several corpora into one with unique ids.

    Args:
        first: table of the corpus whose ids stay as they are.
        added: tables of the other corpora by name; their ids become `NAME:ID`.

    Raises:
        UserError: two corpora contain the same utterance, or one is a store and another is a tree.
    """
    tables = [first, *added.values()]
    if len({"start" in table for table in tables}) > 1:
        raise UserError("corpus.root and corpus.added contain trees and stores; make all of them stores "
                        "(lab41-sce store), or none.")
    joined = pd.concat(tables, ignore_index=True)
    twice = joined[joined.duplicated(["speaker", "utterance", "seconds"])]
    if len(twice):  # its speaker could be in training under one id and in validation under another
        raise UserError(f"{len(twice)} utterances are in two of the corpora {', '.join(['corpus.root', *added])} (the "
                        f"first: {twice['utterance'].iloc[0]}); remove one of the corpora, or make them one tree with "
                        "several subsets.")
    prefixes = np.repeat(["", *(name + SEPARATOR for name in added)], [len(table) for table in tables])
    return joined.assign(**{column: prefixes + joined[column] for column in ("utterance", "speaker")})


def id_in_corpus(name: str) -> str:
    """Return the id that a speaker or an utterance has in its own corpus: "900024" for "speechocean762:900024"."""
    return name.rpartition(SEPARATOR)[2]


def _load_from_tree(folder: Path, wanted: Sequence[str], utterances: str | Path | None, min_seconds: float,
                    check: str, min_age: int | None) -> pd.DataFrame:
    """Load the table of a tree."""
    missing = [name for name in wanted if not (folder / name).is_dir()]
    if missing and utterances is None:  # listed utterances may all lie in the other subsets
        raise UserError(f"{folder} has no folder {', '.join(missing)}; set corpus.subsets and corpus.unseen_subsets to "
                        "existing folders, or corpus.download=true.")
    sexes = librispeech.read_sexes(folder / "SPEAKERS.TXT")
    files, left_out = librispeech.find_files(folder, wanted)
    if utterances is not None:
        files = _select_listed(files, Path(utterances), folder)
    if min_age is not None:
        files = _select_ages(files, min_age, folder / "SPEAKERS.TXT")
    table = librispeech.inspect_files(folder, files, sexes, min_seconds, check, left_out)
    if not len(table):
        raise UserError(f"{folder} holds no usable utterance in {', '.join(wanted)}; check that the files lie in "
                        "SUBSET/SPEAKER/CHAPTER/, as in LibriSpeech.")
    return table


def _load_from_store(folder: Path, wanted: Sequence[str], utterances: str | Path | None, min_seconds: float,
                     check: str, min_age: int | None) -> pd.DataFrame:
    """Load the table of a store."""
    if min_age is not None:
        raise UserError(f"corpus.min_age={min_age} is not possible with the store {folder}, which has no ages; give "
                        "corpus.utterances, a list of the utterances, instead.")
    table = load_store(folder, check)
    stored = sorted(table["subset"].unique())
    if missing := sorted(set(wanted) - set(stored)):
        raise UserError(f"the store {folder} has no subset {', '.join(missing)}; set corpus.subsets and "
                        f"corpus.unseen_subsets to some of {', '.join(stored)}.")
    table = table[table["subset"].isin(wanted)]
    if utterances is not None:
        rows = dict(zip(table["utterance"], range(len(table))))
        table = table.iloc[[*_select_listed(rows, Path(utterances), folder).values()]]
    table = table[table["seconds"] >= min_seconds]
    if not len(table):
        raise UserError(f"{folder} holds no utterance of {min_seconds:g} s or more in {', '.join(wanted)}; "
                        "lower corpus.min_seconds.")
    return table


def _select_listed(found: dict[str, Entry], list_path: Path, root: Path) -> dict[str, Entry]:
    """Select the utterances that a CSV file lists, in the order of the file."""
    try:
        if not list_path.is_file():
            raise OSError("there is no such file")
        listed = pd.read_csv(list_path, dtype=str, keep_default_na=False, usecols=["utterance"])["utterance"]
    except (OSError, ValueError) as error:
        raise UserError(f"corpus.utterances={list_path} cannot be read ({reason(error)}); "
                        "give a CSV file with a column 'utterance'.") from None
    if absent := [utterance for utterance in listed if utterance not in found]:
        raise UserError(f"{len(absent)} of the {len(listed)} utterances in {list_path} are not under {root} "
                        f"(the first: {absent[0]}); add their subsets to corpus.subsets or corpus.unseen_subsets.")
    return {utterance: found[utterance] for utterance in listed}


def _select_ages(files: dict[str, tuple[str, Path]], min_age: int, path: Path) -> dict[str, tuple[str, Path]]:
    """Select the files of the speakers who have at least an age by SPEAKERS.TXT."""
    ages = librispeech.read_ages(path)
    speakers = {file.parent.parent.name for _, file in files.values()}
    if unknown := sorted(speakers - ages.keys()):
        raise UserError(f"corpus.min_age={min_age} needs the age of every speaker, but {path} has none for "
                        f"{len(unknown)} of {len(speakers)} (the first: {unknown[0]}); write it into the column NAME, "
                        "like this: age 25, or set corpus.min_age=null.")
    if max(map(ages.__getitem__, speakers), default=min_age) < min_age:
        raise UserError(f"corpus.min_age={min_age} leaves no speaker, since the oldest one in {path.parent} is "
                        f"{max(map(ages.__getitem__, speakers))} years old; give a lower age.")
    return {utterance: found for utterance, found in files.items()
            if ages[found[1].parent.parent.name] >= min_age}
