"""Recordings without true voices become counts of speakers and diarisation error rates, such as LibriCSS or AMI.

    recordings, RTTM of the true turns, systems -> rows of `COLUMNS`, two for each recording and system

Only the times of the true speakers are needed. A system is a model, which counts the speakers, or a folder of RTTM
files that another program has written. The scores are those of `evaluation/diarisation.py`, without a collar and with
one of 0.25 s. `recordings.csv` has the scores of the last call, `other_scores.csv` those of earlier ones; a later call
uses those with the same checksums again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.atomic_write import write_csv
from lab41_sce.audio.recording import Recording
from lab41_sce.data.checksums import file_checksum, text_checksum
from lab41_sce.data.mixture_folders import matching_files
from lab41_sce.errors import UserError
from lab41_sce.evaluation.diarisation import Turn, compare_turns, read_turns, score_turns, summarise_turns, voice_turns
from lab41_sce.pretrained import MODEL
from lab41_sce.runs.benchmark_systems import model_checksum, name_and_path
from lab41_sce.runs.score_table import ScoreTable
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.voice_names import rttm_field

FILE = "recordings.csv"
ERRORS = ("total", "missed", "false_alarm", "confusion", "der", "jer")  # in seconds, the last two shares
NUMBERS = ("collar_seconds", "speakers", "counted", *ERRORS)
COLUMNS = ("recording", "system", *NUMBERS, "checksum")
COLLARS_SECONDS = (0.0, 0.25)
MAX_EXCESS_SECONDS = 1.0  # of true turns after the end of a recording


@dataclass(frozen=True)
class TimedRecording:
    """Hold a recording whose true turns are known.

    Attributes:
        path: of the file.
        seconds: its duration.
        turns: its true turns.
    """

    path: Path
    seconds: float
    turns: tuple[Turn, ...]

    @property
    def n_speakers(self) -> int:
        """The true number of speakers."""
        return len({speaker for speaker, _, _ in self.turns})


@dataclass(frozen=True)
class DiarisationSystem:
    """Hold a system that finds who speaks when.

    Attributes:
        name: in tables.
        find: receives the path of a recording, and returns the number of speakers and their turns.
        checksum: receives the path, and returns a text that changes if the turns may change.
    """

    name: str
    find: Callable[[Path], tuple[int, list[Turn]]]
    checksum: Callable[[Path], str]


def load_recordings(folder: Path, rttm: Path, files: str = "*.wav", first: int | None = None) -> list[TimedRecording]:
    """Find recordings and their true turns.

    Args:
        folder: of the recordings.
        rttm: an RTTM file with the turns of all recordings, or a folder of such files.
        files: pattern of the names of the recordings.
        first: number of recordings to load; None loads all.

    Raises:
        UserError: there is no recording, or one has no turns, or turns after its end.
    """
    turns, recordings = _all_turns(rttm), []
    paths = matching_files(folder, files)[:first]
    stems = [rttm_field(path.stem) for path in paths]
    if repeated := [stem for stem in stems if stems.count(stem) > 1]:
        raise UserError(f"{folder} has several recordings with the name {repeated[0]}, which RTTM cannot tell apart; "
                        "give --files for one of them.")
    for path in paths:
        with audio.Decoder(path, whole=False) as decoder:
            seconds = decoder.n_samples / decoder.sample_rate_hz
        name = rttm_field(path.stem)
        of_path = tuple(turns.get(name, ()))
        if not of_path:
            raise UserError(f"{rttm} has no turns of {path.name}; give RTTM in which they have the name {name}.")
        if (last := max(end for _, _, end in of_path)) > seconds + MAX_EXCESS_SECONDS:
            raise UserError(f"{path} has {seconds:.1f} s, but its last true turn ends at {last:.1f} s; give the turns "
                            "of this recording.")
        recordings.append(TimedRecording(path, seconds, of_path))
    if not recordings:
        raise UserError(f"{folder} contains no file {files}; give a folder of recordings.")
    return recordings


def build_diarisation_systems(given: Sequence[str]) -> list[DiarisationSystem]:
    """Build systems from "pretrained", a `.keras` file, the folder of a run, an RTTM file or a folder of RTTM files.

    Args:
        given: names and paths; `NAME=` before a path names the system in tables.

    Raises:
        UserError: there is no such system, or two have the same name.
    """
    systems = []
    for one in given:
        name, path = name_and_path(one)
        if str(path) == "pretrained":
            systems.append(_model(name, MODEL))
        elif path.suffix == ".rttm" and path.is_file() or path.is_dir() and any(path.glob("*.rttm")):
            systems.append(_turns_of_files(name, path))
        elif path.exists():
            systems.append(_model(name, path))
        else:
            raise UserError(f"{path} is no file or folder; give pretrained, the folder of a run, a .keras file, an "
                            "RTTM file, or a folder of RTTM files.")
        if name in [system.name for system in systems[:-1]]:
            raise UserError(f"two systems have the name {name}; name one of them, like this: OTHER={path}.")
    return systems


def score_recordings(folder: Path, recordings: Sequence[TimedRecording],
                     systems: Sequence[DiarisationSystem]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score systems on recordings, and write `recordings.csv`, `summary.csv` and `differences.csv`.

    Args:
        folder: of the benchmark.
        recordings: with their true turns.
        systems: the systems; the others are compared with the first one.

    Returns:
        The scores, with `COLUMNS`; their summary by system and collar: `der` of all speech with its 95 % interval
        (`low`, `high`), mean `jer`, `n` recordings, and how many of them are counted `right` and `within_one`; and the
        differences from the first system, the result of `compare_turns`.

    Raises:
        UserError: a recording or a file cannot be read, or pyannote.metrics is not installed.
    """
    score_turns([("somebody", 0.0, 1.0)], [], 1.0, 0.0)  # raises before any work if the package is missing
    file = ScoreTable(folder / FILE, COLUMNS, NUMBERS, ("recording", "system"))
    earlier = file.begin({(recording.path.stem, system.name) for recording in recordings for system in systems})
    scores: dict[tuple[str, str], list[tuple]] = {}
    for row in earlier.itertuples(index=False, name=None):
        scores.setdefault((row[0], row[1]), []).append(row)
    for recording in tqdm(recordings, "scoring", unit=" recordings", disable=None):
        of_truth = f"{file_checksum(recording.path)} {recording.turns}"
        for system in systems:
            key = recording.path.stem, system.name
            checksum = text_checksum(f"{of_truth} {system.checksum(recording.path)}")
            if [row[-1] for row in scores.get(key, [])] == [checksum] * len(COLLARS_SECONDS):
                continue
            counted, found = system.find(recording.path)
            scores[key] = []
            for collar in COLLARS_SECONDS:
                errors = score_turns(recording.turns, found, recording.seconds, collar)
                scores[key].append((*key, collar, recording.n_speakers, counted, *(errors[name] for name in ERRORS),
                                    checksum))
            file.write(_table(recordings, systems, scores))
    table = _table(recordings, systems, scores)
    file.write(table)
    summary = summarise_turns(table.rename(columns={"system": "set"})).rename(columns={"set": "system"})
    off = (table["counted"] - table["speakers"]).abs()
    counts = table.assign(right=off == 0, within_one=off <= 1)[table["collar_seconds"] == 0]
    summary = summary.merge(counts.groupby("system")[["right", "within_one"]].sum().reset_index(), on="system")
    differences = compare_turns(table, systems[0].name)
    write_csv(summary, folder / "summary.csv")
    write_csv(differences, folder / "differences.csv")
    return table, summary, differences


def _table(recordings: Sequence[TimedRecording], systems: Sequence[DiarisationSystem],
           scores: dict[tuple[str, str], list[tuple]]) -> pd.DataFrame:
    """Return the rows of some recordings and systems in their order."""
    return pd.DataFrame([row for recording in recordings for system in systems
                         for row in scores.get((recording.path.stem, system.name), [])],
                        columns=[*COLUMNS]).astype({"speakers": int, "counted": int})


def _model(name: str, path: Path) -> DiarisationSystem:
    """Return the system of a trained model, which counts the speakers."""
    separator, checksum = Separator.load(path), model_checksum(path)

    def find(recording: Path) -> tuple[int, list[Turn]]:
        stream = separator.open(Recording.open(recording, "mix"))
        for _ in stream:  # the voices are not kept, so that memory does not grow with the recording
            pass
        separation = stream.result()
        return separation.n_speakers, voice_turns(separation.activity.segments())

    return DiarisationSystem(name, find, lambda _: checksum)


def _turns_of_files(name: str, place: Path) -> DiarisationSystem:
    """Return the system whose turns are those of an RTTM file, or of RTTM files in a folder."""
    turns = _all_turns(place)

    def find(recording: Path) -> tuple[int, list[Turn]]:
        stem = rttm_field(recording.stem)
        if stem not in turns:
            raise UserError(f"{place} has no turns of {stem}; give RTTM with this name.")
        return len({speaker for speaker, _, _ in turns[stem]}), turns[stem]

    return DiarisationSystem(name, find, lambda recording: text_checksum(str(turns.get(rttm_field(recording.stem)))))


def _all_turns(place: Path) -> dict[str, list[Turn]]:
    """Read the turns of an RTTM file, or of all RTTM files of a folder, by the name of the recording."""
    turns: dict[str, list[Turn]] = {}
    for path in sorted(place.glob("*.rttm")) if place.is_dir() else [place]:
        for recording, of_recording in read_turns(path).items():
            turns.setdefault(recording, []).extend(of_recording)
    return turns
