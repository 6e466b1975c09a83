"""The path of a recording and the wanted outputs become the names of the files to write, which are checked."""

import filecmp
import itertools
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab41_sce import atomic_write
from lab41_sce.errors import UserError

MAX_VOICES = 10  # models are trained on two or three
MAX_NAME_BYTES = 255
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SPECTROGRAMS, ACTIVITY, JSON, RTTM = "_spectrograms.png", "_voices.png", ".json", ".rttm"
EXTRAS = (SPECTROGRAMS, ACTIVITY, JSON, RTTM)


@dataclass(frozen=True)
class OutputPaths:
    """Name the files that separating a recording writes.

    Attributes:
        recording: path of the recording.
        folder: for the files.
        wanted: those of `EXTRAS` to write in addition to the voices.
    """

    recording: Path
    folder: Path
    wanted: tuple[str, ...] = ()

    @property
    def extras(self) -> dict[str, Path]:
        """Return the files to write in addition to the voices, by their endings."""
        return {ending: self.folder / f"{self.recording.stem}{ending}" for ending in self.wanted}

    def voices(self, n_speakers: int) -> list[Path]:
        """Return the file of each voice."""
        suffix = self.recording.suffix.lower()
        suffix = suffix if suffix in SUFFIXES else ".wav"
        return [self.folder / f"{self.recording.stem}_{number}{suffix}" for number in range(1, n_speakers + 1)]

    def all(self, n_speakers: int) -> list[Path]:
        """Return every file."""
        return [*self.voices(n_speakers), *self.extras.values()]

    def leftovers(self, n_speakers: int) -> list[Path]:
        """List existing files that an earlier call wrote for this recording and that this call does not replace."""
        further_voices = itertools.takewhile(Path.exists, self.voices(MAX_VOICES)[n_speakers:])
        unwanted = [self.folder / f"{self.recording.stem}{ending}" for ending in EXTRAS if ending not in self.wanted]
        return [*further_voices, *filter(Path.exists, unwanted)]


def list_recordings(paths: Sequence[Path]) -> list[Path]:
    """Replace each folder by the audio files that it contains.

    Args:
        paths: files and folders.

    Returns:
        Files, in the order of `paths`, those of a folder sorted by name. Hidden files are left out.

    Raises:
        UserError: a folder contains no audio file or cannot be listed.
    """
    recordings = []
    for path in paths:
        if not path.is_dir():
            recordings.append(path)
            continue
        try:
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()
                           and not file.name.startswith("."))
        except OSError as error:
            raise UserError(f"{path} cannot be listed ({error.strerror}); give files, or another folder.") from None
        if not files:
            raise UserError(f"{path} contains no {', '.join(SUFFIXES)} file; give a folder with recordings, or a "
                            "file.")
        recordings += files
    return recordings


def check_outputs(inputs: Collection[Path], outputs: Collection[Path], replace: bool) -> None:
    """Check that files can be written.

    Args:
        inputs: files that no output may replace.
        outputs: files to write.
        replace: whether outputs that exist may be replaced.

    Raises:
        UserError: an output has the path of an input or of another output, exists and may not be replaced, or has too
            long a name.
    """
    input_places = {*map(os.path.realpath, inputs)}  # realpath, unlike Path.resolve, accepts circular links
    places: set[str] = set()
    for output in outputs:
        if len(os.fsencode(atomic_write.lock_name(output).name)) > MAX_NAME_BYTES:
            raise UserError(f"{output.name} is too long for the name of a file; rename the recording.")
        place = os.path.realpath(output)
        if place in input_places:
            raise UserError(f"{output} is one of the given recordings, and a voice would replace it; "
                            "choose another --out-dir.")
        if place in places:
            raise UserError(f"{output} would be written twice; separate recordings with the same name in separate "
                            "calls.")
        if output.is_dir() or (output.exists() and not replace):
            raise UserError(f"{output} exists already; add --force to replace it, or choose another --out-dir.")
        places.add(place)


def is_copy(output: Path, file: Path) -> bool:
    """Return whether an output exists and has the contents of a file."""
    return output.is_file() and filecmp.cmp(output, file, shallow=False)
