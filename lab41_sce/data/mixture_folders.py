"""Folders of mixtures and of their sources become a benchmark set; the files of a mixture have the same name.

| set | folders below its root | mixtures |
| --- | --- | --- |
| `libri2mix`, `libri3mix` | `wav8k/min/test/` | `mix_clean`, `mix_both`, `mix_single` |
| `wsj0_2mix`, `wsj0_3mix` | `2speakers/wav8k/min/tt/` | `mix` |
| `wham` | `wav8k/min/tt/` | `mix_clean`, `mix_both`, `mix_single` |
| `whamr` | `wav8k/min/tt/` | the same with `_anechoic` or `_reverb` |
| `folders` | any | any |

The sources are in `s1`, `s2`, ...; in WHAMR! (Maciejewski et al. 2020) in `s1_anechoic` or `s1_reverb`, and the
anechoic sources are the usual references of reverberant mixtures. The noise is in `noise`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

import numpy as np
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.data.benchmark_set import (
    BenchmarkMixture,
    BenchmarkSet,
    SpeakerSexes,
    mixture_of_files,
    read_whole,
    stated_length,
)
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError

LIBRISPEECH_IDS = r"(?:^|_)(\d+)-\d+-\d+"  # in 4077-13754-0001_5142-33396-0065
WSJ0_IDS = r"(?:^|_)([0-9a-z]{3})[0-9a-z]{5}(?=_|$)"  # in 050a050s_1.7413_441c020t_-1.7413
NUMBER_OF_SPEAKERS = {"libri2mix": 2, "libri3mix": 3, "wsj0_2mix": 2, "wsj0_3mix": 3, "wham": 2, "whamr": 2}
OF_WHAM = ("mix_clean", "mix_both", "mix_single")
MIXTURES = {"libri2mix": OF_WHAM, "libri3mix": OF_WHAM, "wsj0_2mix": ("mix",), "wsj0_3mix": ("mix",), "wham": OF_WHAM,
            "whamr": tuple(f"{name}_{room}" for name in OF_WHAM for room in ("anechoic", "reverb"))}
LSB = 2.0**-15  # of 16-bit samples


@dataclass(frozen=True)
class MixtureFolders:
    """Hold the folders of the mixtures and their sources.

    Attributes:
        mixtures: folder of the mixtures.
        sources: the folder of each source that is to be found.
        parts: the folders whose sum is the mixture; none if this is not known.
    """

    mixtures: Path
    sources: tuple[Path, ...]
    parts: tuple[Path, ...] = ()


def find_folders(name: str, root: Path, part: str, sample_rate_hz: int, length: str, mixture: str,
                 references: str = "anechoic") -> MixtureFolders:
    """Find the folders of a known set.

    Args:
        name: one of `NUMBER_OF_SPEAKERS`.
        root: of the set, or the folder that holds its mixtures and sources.
        part: such as "test" of LibriMix or "tt" of the others.
        sample_rate_hz: 8000 or 16000.
        length: "min" or "max".
        mixture: one of `MIXTURES[name]`.
        references: of WHAMR!, "anechoic" or "reverb".

    Raises:
        UserError: there is no such folder.
    """
    if mixture not in MIXTURES[name]:
        raise UserError(f"{name} has no mixtures {mixture}; give one of {', '.join(MIXTURES[name])}.")
    n_speakers = NUMBER_OF_SPEAKERS[name]
    below = Path(f"wav{sample_rate_hz // 1000}k", length, part)
    places = [root / below, root / f"{n_speakers}speakers" / below, root]
    place = next((place for place in places if (place / mixture).is_dir()), None)
    if place is None:
        raise UserError(f"there is no folder {places[0] / mixture}; give the root of {name}, or the folder that "
                        f"contains {mixture} and s1, with --root.")
    numbers = range(1, 2 if mixture.startswith("mix_single") else n_speakers + 1)
    room = mixture.rpartition("_")[2]
    of_room, of_references = (f"_{room}", f"_{references}") if name == "whamr" else ("", "")
    noise = () if re.match("mix$|mix_clean", mixture) else (place / "noise",)
    return MixtureFolders(place / mixture, tuple(place / f"s{number}{of_references}" for number in numbers),
                          tuple(place / f"s{number}{of_room}" for number in numbers) + noise)


def load_folders(name: str, folders: MixtureFolders, sample_rate_hz: int | None = None, sexes: Path | None = None,
                 speaker_ids: str = "", first: int | None = None, files: str = "*.wav") -> BenchmarkSet:
    """Load a set from its folders; the signals are read when they are needed.

    Args:
        name: of the set, for tables.
        folders: of the mixtures, sources and parts.
        sample_rate_hz: of all files; None takes that of the first mixture.
        sexes: table of the speakers' sexes; None if there is none.
        speaker_ids: regular expression whose first group finds the id of each speaker in the name of a mixture.
        first: number of mixtures to load; None loads all.
        files: pattern of the names of the mixtures.

    Raises:
        UserError: a folder or a file is missing, or a file has another sample rate or length than the others.
    """
    table = SpeakerSexes(sexes)
    missing = [folder for folder in (folders.mixtures, *folders.sources, *folders.parts) if not folder.is_dir()]
    if missing:
        raise UserError(f"there is no folder {missing[0]}; give the folders of the mixtures and of all their parts.")
    if speaker_ids and re.compile(speaker_ids).groups > 1:
        raise UserError(f"--speaker-ids {speaker_ids} has several groups; give a pattern with one group, which is "
                        "found once for each speaker in the name of a mixture.")
    found = matching_files(folders.mixtures, files)[:first]
    if not found:
        raise UserError(f"{folders.mixtures} contains no file {files}; give a folder of mixtures.")
    if sample_rate_hz is None:
        with audio.Decoder(found[0], whole=False) as decoder:
            sample_rate_hz = decoder.sample_rate_hz
    mixtures = []
    for path in tqdm(found, "checking files", unit=" mixtures", leave=False, disable=None):
        n_samples = stated_length(path, sample_rate_hz)
        for folder in dict.fromkeys([*folders.sources, *folders.parts]):
            if (other := stated_length(folder / path.name, sample_rate_hz)) != n_samples:
                raise UserError(f"{folder / path.name} has {other} samples, but {path} has {n_samples}; give the "
                                "sources of this mixture.")
        speakers = tuple(re.findall(speaker_ids, path.stem, re.IGNORECASE)) if speaker_ids else ()
        if sexes is not None and len(speakers) < len(folders.sources):
            raise UserError(f"the name of {path} contains {len(speakers)} ids of speakers, but the mixture has "
                            f"{len(folders.sources)} sources; give --speaker-ids, or leave out --sexes.")
        speakers = speakers[: len(folders.sources)]
        read = partial(_read, path, folders, n_samples, speakers)
        mixtures.append(BenchmarkMixture(path.stem, table.kind(speakers), speakers, read))
    corpus = "librispeech" if speaker_ids == LIBRISPEECH_IDS else ""
    return BenchmarkSet(name, sample_rate_hz, tuple(mixtures), corpus)


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files in a folder whose names match a pattern, sorted.

    Raises:
        UserError: the pattern is empty, or is not one of names in a folder, such as "." or an absolute path.
    """
    try:
        if not PurePath(pattern).name:  # "" or "."
            raise ValueError
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    except (NotImplementedError, ValueError):
        raise UserError(f"--files {pattern!r} is no pattern of names in a folder; give one such as '*.wav'.") from None


def _read(path: Path, folders: MixtureFolders, n_samples: int, speakers: tuple[str, ...]) -> Mixture:
    """Read the signals of a mixture, and check that it is the sum of its parts."""
    signal = read_whole(path, n_samples)
    signals = {folder: read_whole(folder / path.name, n_samples)
               for folder in dict.fromkeys([*folders.sources, *folders.parts])}
    sources = np.stack([signals[folder] for folder in folders.sources])
    if folders.parts:
        parts = [signals[folder] for folder in folders.parts]
        _require_sum(path, signal, parts, folders.parts)
    return mixture_of_files(signal, sources, speakers)


def _require_sum(path: Path, signal: np.ndarray, parts: Sequence[np.ndarray], folders: Sequence[Path]) -> None:
    """Raise UserError if a mixture differs from the sum of its parts by more than 16-bit rounding."""
    difference = np.abs(signal - np.sum(parts, axis=0))
    difference[np.max(np.abs([signal, *parts]), axis=0) >= 1 - 2 * LSB] = 0  # cut at full scale
    if difference.max() > (len(parts) + 1) * LSB:
        names = " + ".join(folder.name for folder in folders)
        raise UserError(f"{path} is not the sum of {names}: it differs by {difference.max():.2g} of full scale; give "
                        "the folders that this mixture was made from.")
