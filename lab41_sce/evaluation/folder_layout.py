"""Folders become the files of each mixture: its references and its separated voices.

| layout | mixture | references | voices |
| --- | --- | --- | --- |
| numbered | MIXTURES/talk.wav | REFERENCES/talk_1.wav, talk_2.wav | VOICES/talk_1.wav, talk_2.wav |
| by folder | mix/talk.wav | s1/talk.wav, s2/talk.wav | VOICES/s1/talk.wav, s2/talk.wav, or as above |

LibriMix and WSJ0-2mix have a folder for each source.
"""

import glob
import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab41_sce.errors import UserError
from lab41_sce.separation.output_paths import SUFFIXES, list_recordings

MAX_GAP = 10  # numbers after the last voice at which further voices are looked for


@dataclass(frozen=True)
class Layout:
    """Say where the references and voices of mixtures are.

    Attributes:
        references: one folder of numbered files, or one folder for each source.
        voices: folder of the voices.
        by_folder: whether each source has its folder.
    """

    references: tuple[Path, ...]
    voices: Path
    by_folder: bool = False

    def find_references(self, mixture: Path) -> list[Path]:
        """List the references of a mixture that exist."""
        if self.by_folder:
            return [*filter(Path.exists, self._named_as(mixture, self.references))]
        return numbered_files(self.references[0], mixture)[0]

    def find_voices(self, mixture: Path) -> list[Path]:
        """List the voices of a mixture that exist."""
        if folders := self._voice_folders():
            return [*filter(Path.exists, self._named_as(mixture, folders))]
        return numbered_files(self.voices, mixture)[0]

    def check(self, mixture: Path) -> None:
        """Raise UserError, which names a file, if a source of a mixture is missing or numbers have a gap."""
        sources = self._named_as(mixture, self.references) if self.by_folder else []
        if missing := [path for path in sources if not path.exists()]:
            raise UserError(f"{missing[0]} is missing, so {mixture.name} cannot be scored; restore this source, or "
                            "leave out the mixture.")
        numbered = [*(() if self.by_folder else self.references), *(() if self._voice_folders() else [self.voices])]
        for folder in numbered:
            if after_gap := numbered_files(folder, mixture)[1]:
                raise UserError(f"{after_gap} exists, but not all voices with lower numbers; number them without gaps.")

    def _named_as(self, mixture: Path, folders: Sequence[Path]) -> list[Path]:
        """Return the path in each folder that has the name of a mixture."""
        return [_sound(folder, mixture.stem, mixture.suffix) for folder in folders]

    def _voice_folders(self) -> list[Path]:
        """List the folders of voices that are named as those of the sources, such as s1, s2 and s3."""
        if not self.by_folder:
            return []
        names = {folder.name for folder in self.references}
        stems = "|".join(sorted({re.escape(re.sub(r"\d+$", "", name)) for name in names if name[-1:].isdigit()}))
        found = [folder for folder in self.voices.glob("*") if folder.is_dir()
                 and (folder.name in names or (stems and re.fullmatch(rf"({stems})\d+", folder.name)))]
        return sorted(found, key=lambda folder: (len(folder.name), folder.name))


def find_layout(paths: Sequence[Path]) -> tuple[list[Path], Layout]:
    """Divide the paths of a command into mixtures, references and voices.

    Args:
        paths: mixtures (folders or files), a folder of numbered references, a folder of voices; or a folder of
            mixtures, a folder for each source, a folder of voices. A pattern such as `s*` stands for the folders that
            match it, or for the files if it matches no folder.

    Returns:
        The mixtures, and the layout of the other files. Each source has its folder if a mixture of the first folder has
        the same name in one of the folders between the first and the last.

    Raises:
        UserError: there are fewer than three paths, a path does not exist, a pattern matches nothing, or a folder
            contains no recording.
    """
    places = [place for path in paths for place in _expanded(path)]
    for place in places:
        if not place.exists():
            raise UserError(f"{place}: no such file or folder; give mixtures, references and voices.")
    if len(places) < 3:
        raise UserError(f"{len(places)} paths are not enough; give mixtures, references and voices.")
    first, *between, voices = places
    if first.is_dir() and all(place.is_dir() for place in between):
        mixtures = list_recordings([first])
        if any(_holds_source(folder, mixtures) for folder in between if folder != first):
            return mixtures, Layout(tuple(folder.absolute() for folder in between), voices.absolute(), by_folder=True)
    return list_recordings(places[:-2]), Layout((between[-1].absolute(),), voices.absolute())


def _expanded(path: Path) -> list[Path]:
    """Return the paths that match a pattern, folders if there are some; other paths are returned as they are."""
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    found = [Path(name) for name in sorted(glob.glob(str(path)))]
    if not found:
        raise UserError(f"{path} matches no file or folder; correct the pattern.")
    return [*filter(Path.is_dir, found)] or found


def _holds_source(folder: Path, mixtures: Sequence[Path]) -> bool:
    """Return whether a folder holds files with the names of mixtures, and none with these names and a number."""
    stems = {mixture.stem for mixture in mixtures}
    named = any(_sound(folder, mixture.stem, mixture.suffix).exists() for mixture in mixtures)
    return named and not any(_sound(folder, f"{mixture.stem}_1", mixture.suffix).exists() for mixture in mixtures
                             if f"{mixture.stem}_1" not in stems)


def numbered_files(folder: Path, mixture: Path) -> tuple[list[Path], Path | None]:
    """List the files NAME_1, NAME_2, ... in a folder, where NAME is that of the mixture.

    Upper and lower case of suffixes are the same. Files with the suffix of the mixture are preferred; if there are
    none, the files may have another of `SUFFIXES`.

    Returns:
        The files up to the first missing number, and a file with a later number, if there is one.

    Raises:
        UserError: two files have the same number.
    """
    pattern, own_suffix = re.compile(re.escape(mixture.stem) + "_([1-9][0-9]{0,8})"), mixture.suffix.lower()
    numbered: dict[bool, dict[int, Path]] = {True: {}, False: {}}  # files with the suffix of the mixture, and others
    for path in sorted(folder / name for name in (os.listdir(folder) if folder.is_dir() else ())):
        match, suffix = pattern.fullmatch(path.stem), path.suffix.lower()
        if match and suffix in (own_suffix, *SUFFIXES):
            other = numbered[suffix == own_suffix].setdefault(int(match[1]), path)
            if other != path and (suffix == own_suffix or not numbered[True]):
                raise UserError(f"{other} and {path.name} have the same number; keep one of them, since each is a "
                                f"voice {match[1]} of {mixture.name}.")
    found = numbered[True] or numbered[False]
    voices = [found[number] for number in itertools.takewhile(found.__contains__, itertools.count(1))]
    later = range(len(voices) + 2, len(voices) + 2 + MAX_GAP)
    return voices, next((found[number] for number in later if number in found), None)


def _sound(folder: Path, stem: str, suffix: str) -> Path:
    """Return the sound file with a name in a folder, with the suffix of the mixture or another."""
    endings = dict.fromkeys([suffix, suffix.lower(), *SUFFIXES, *map(str.upper, SUFFIXES)])
    paths = [folder / f"{stem}{ending}" for ending in endings]
    return next(filter(Path.exists, paths), paths[0])
