"""The path of a recording and the wanted outputs become the names of the files to write, which are checked."""

import contextlib
import filecmp
import glob
import logging
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from lab41_sce import atomic_write
from lab41_sce.audio.decoder import open_file
from lab41_sce.errors import UserError
from lab41_sce.printable import printable

MAX_VOICES = 10  # models are trained on two or three
MAX_NAME_BYTES = 255
# Of the files of a folder that are separated; a file that is given by its name may have any
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".m4b", ".mp4", ".mov", ".webm", ".mkv", ".mka", ".opus", ".oga",
            ".aac", ".amr", ".3gp", ".3g2", ".wma", ".wmv", ".asf", ".avi", ".aiff", ".aif", ".aifc", ".caf", ".au",
            ".w64", ".rf64", ".mp2", ".mpg", ".ts", ".flv", ".ac3", ".ape", ".wv")
LOSSLESS_SUFFIXES = (".wav", ".flac")  # the voices of such recordings have the format of the recording
SPECTROGRAMS, ACTIVITY, JSON, RTTM = "_spectrograms.png", "_voices.png", ".json", ".rttm"
VOICE_COMMENT = "voice separated by lab41_sce"  # in the header of every file with a voice
EXTRAS = (SPECTROGRAMS, ACTIVITY, JSON, RTTM)
REST = "rest"  # in place of a name, for the file of what belongs to no voice

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutputPaths:
    """Name the files that separating a recording writes.

    Attributes:
        recording: path of the recording.
        folder: for the files.
        wanted: those of `EXTRAS` to write in addition to the voices.
        suffix: of the voices, such as ".mp3"; None for the recording's own if it is FLAC, otherwise ".wav". MP3 and
            other lossy formats would lose sound again.
        rest: whether to write a file of what belongs to no voice.
    """

    recording: Path
    folder: Path
    wanted: tuple[str, ...] = ()
    suffix: str | None = None
    rest: bool = False

    @property
    def extras(self) -> dict[str, Path]:
        """Return the files to write in addition to the voices, by their endings."""
        return {ending: self.folder / f"{self.recording.stem}{ending}" for ending in self.wanted}

    def voices(self, n_speakers: int) -> list[Path]:
        """Return the file of each voice without a name."""
        return self.named([str(number) for number in range(1, n_speakers + 1)])

    def named(self, names: Sequence[str]) -> list[Path]:
        """Return the file of each voice, by the names of the voices."""
        own = self.recording.suffix.lower()
        suffix = self.suffix or (own if own in LOSSLESS_SUFFIXES else ".wav")
        return [self.folder / f"{self.recording.stem}_{name}{suffix}" for name in names]

    def sounds(self, names: Sequence[str]) -> list[Path]:
        """Return the file of each voice, by the names of the voices, and that of the rest, if it is wanted."""
        return self.named([*names, REST] if self.rest else names)

    def all(self, names: Sequence[str]) -> list[Path]:
        """Return every file, by the names of the voices."""
        return [*self.sounds(names), *self.extras.values()]

    def leftovers(self, names: Sequence[str]) -> list[Path]:
        """List existing files that an earlier call in this format may have written, and that this one leaves.

        Files of voices count only with the comment of their header. Others, such as the JSON file, may be those of
        another program.

        Args:
            names: of the voices that this call writes.
        """
        unwanted = [self.folder / f"{self.recording.stem}{ending}" for ending in EXTRAS if ending not in self.wanted]
        # Unlike Path.exists, os.path.exists accepts names that are too long for the system.
        voices = [path for path in filter(os.path.exists, self.voices(MAX_VOICES)) if is_voice(path)]
        candidates = [*voices, *self._named_before(), *filter(os.path.exists, unwanted)]
        return [path for path in dict.fromkeys(candidates) if path not in self.sounds(names)]

    def _named_before(self) -> list[Path]:
        """List the files in which earlier calls wrote voices of this recording with the names of people."""
        [any_voice] = self.named(["*"])
        pattern = any_voice.name.removeprefix(self.recording.stem)  # such as "_*.wav"
        voices = sorted(self.folder.glob(glob.escape(self.recording.stem) + pattern))
        # The voice talk_1_Ann.wav is that of talk_1.wav, if there is such a recording, and not that of talk.wav.
        longer = {path.stem for path in self.recording.parent.glob(f"{glob.escape(self.recording.stem)}_*")}
        # talk_b_1.wav may be that of a recording talk_b in another folder.
        start = len(self.recording.stem) + 1
        return [path for path in voices if not _begins_with_one(path.stem, longer)
                and not re.search(r"._\d+$", path.stem[start:]) and is_voice(path)]


def list_recordings(paths: Sequence[Path]) -> list[Path]:
    """Replace each folder by the recordings that it contains, and leave out voices that were separated from them.

    Args:
        paths: files and folders.

    Returns:
        Files, in the order of `paths`, each once, those of a folder sorted by name. A warning counts the files that are
        left out.

    Raises:
        UserError: a folder contains no recording or cannot be listed.
    """
    stems = {path.stem for path in paths if not os.path.isdir(path)}
    recordings: list[Path] = []
    voices = []
    for path in paths:
        if os.path.isdir(path):
            recordings += _recordings_of(path)
        else:
            (voices if _begins_with_one(path.stem, stems) and is_voice(path) else recordings).append(path)
    if voices:
        logger.warning("left out are %d voices of the other recordings, such as %s; give a voice alone to separate "
                       "it.", len(voices), printable(str(voices[0])))
    different: dict[str, Path] = {}
    for path in recordings:
        different.setdefault(os.path.abspath(path), path)
    return [*different.values()]


def _begins_with_one(stem: str, stems: Collection[str]) -> bool:
    """Return whether a stem is one of `stems`, an underscore and more."""
    return any(stem[:place] in stems for place, letter in enumerate(stem) if letter == "_")


def is_voice(path: Path) -> bool:
    """Return whether a file holds a voice that this package has separated, by the comment in its header."""
    try:
        with contextlib.closing(open_file(path)) as file:
            return file.comment == VOICE_COMMENT
    except (soundfile.LibsndfileError, UserError, OSError, ValueError):
        return False  # ValueError: soundfile encodes no undecodable name


def _recordings_of(folder: Path) -> list[Path]:
    """List the recordings in a folder; a warning counts its other files."""
    kinds: dict[str, list[Path]] = {}
    try:
        for path in sorted(folder.iterdir()):
            kinds.setdefault(_kind(path), []).append(path)
    except OSError as error:
        raise UserError(f"{folder} cannot be listed ({error.strerror}); give files, or another folder.") from None
    recordings = kinds.pop("", [])
    left_out = ", ".join(f"{len(kinds[kind])} {kind}" for kind in sorted(kinds))
    if not recordings:
        raise UserError(f"{folder} contains no recording{left_out and f' to separate ({left_out})'}; give a folder "
                        "with recordings (.wav, .flac, .mp3, .m4a, .mp4 and others), or a file.")
    if left_out:
        logger.warning("%s: left out are %s.", printable(str(folder)), left_out)
    return recordings


def _kind(path: Path) -> str:
    """Return why a path in a folder is left out; empty for a recording."""
    if path.name.startswith("."):
        return "hidden"
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return "without sound"
    return "voices of other recordings" if is_voice(path) else ""


def check_outputs(inputs: Collection[Path], outputs: Collection[Path], replace: bool) -> None:
    """Check that files can be written.

    Args:
        inputs: files that no output may replace.
        outputs: files to write.
        replace: whether outputs that exist may be replaced.

    Raises:
        UserError: an output has the path of an input, exists and may not be replaced, or has too long a name.
    """
    input_places = {*map(os.path.realpath, inputs)}  # realpath, unlike Path.resolve, accepts circular links
    for output in outputs:
        if len(os.fsencode(atomic_write.lock_name(output).name)) > MAX_NAME_BYTES:
            raise UserError(f"{output.name} is too long for the name of a file; rename the recording.")
        place = os.path.realpath(output)
        if place in input_places:
            raise UserError(f"{output} is one of the given recordings, and a voice would replace it; "
                            "choose another --out-dir.")
        if output.is_dir():
            raise UserError(f"{output} is a folder; rename it, or choose another --out-dir.")
        if output.exists() and not replace:
            raise UserError(f"{output} exists already; add --force to replace it, or choose another --out-dir.")


def is_copy(output: Path, file: Path) -> bool:
    """Return whether an output exists and has the contents, or the samples, of a file.

    libsndfile 1.2.2 writes the time into WAV files of floats, so that two files of the same samples differ.
    """
    if not output.is_file():
        return False
    if filecmp.cmp(output, file, shallow=False):
        return True
    try:
        with soundfile.SoundFile(output) as one, soundfile.SoundFile(file) as other:
            if (one.samplerate, one.frames, one.channels) != (other.samplerate, other.frames, other.channels):
                return False
            blocks = zip(one.blocks(2**16), other.blocks(2**16), strict=True)
            return all(np.array_equal(ours, theirs) for ours, theirs in blocks)
    except (OSError, soundfile.LibsndfileError):
        return False
