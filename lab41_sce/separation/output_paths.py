"""A recording and the command line become the names of the files that separating it writes, and these are checked."""

import argparse
import itertools
import os
from pathlib import Path

from lab41_sce import atomic_write
from lab41_sce.errors import UserError

MAX_VOICES = 10  # models are trained on two or three
MAX_NAME_BYTES = 255  # bytes
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


class Outputs:
    """Name the files that separating a recording writes.

    Args:
        path: the recording.
        options: the command line.
    """

    def __init__(self, path: Path, options: argparse.Namespace):
        self._stem, self._folder = path.stem, options.out_dir
        self._suffix = path.suffix.lower() if path.suffix.lower() in SUFFIXES else ".wav"
        wanted = {"_spectrograms.png": options.plot, "_voices.png": options.plot, ".json": options.json,
                  ".rttm": options.rttm}
        paths = {end: options.out_dir / f"{path.stem}{end}" for end in wanted}
        self.extras = {end: extra for end, extra in paths.items() if wanted[end]}
        self._unwanted = [extra for end, extra in paths.items() if not wanted[end]]

    def voices(self, n_speakers: int) -> list[Path]:
        """Name the file of each voice."""
        return [self._folder / f"{self._stem}_{number}{self._suffix}" for number in range(1, n_speakers + 1)]

    def all(self, n_speakers: int) -> list[Path]:
        """Name every file."""
        return [*self.voices(n_speakers), *self.extras.values()]

    def leftovers(self, n_speakers: int) -> list[Path]:
        """List what an earlier call wrote about the same recording and this one does not."""
        more = itertools.takewhile(Path.exists, self.voices(MAX_VOICES)[n_speakers:])
        return [*more, *filter(Path.exists, self._unwanted)]


def check_outputs(inputs: list[Path], outputs: list[Path], force: bool) -> None:
    """Raise UserError if an output is written twice, replaces an input, exists and may not be replaced, or is too long.

    Args:
        inputs: files that no output may replace.
        outputs: files that will be written.
        force: outputs that exist may be replaced.
    """
    taken, places = {*map(os.path.realpath, inputs)}, set()  # which, unlike resolve(), bears links in a circle
    for output in outputs:
        if len(os.fsencode(atomic_write.temporary_name(output).name)) > MAX_NAME_BYTES:
            raise UserError(f"{output.name} is too long for the name of a file; rename the recording.")
        place = os.path.realpath(output)
        if place in taken:
            raise UserError(f"{output} is a recording that was given, and a voice would replace it; "
                            "choose another --out-dir.")
        if place in places:
            raise UserError(f"{output} would be written twice; separate recordings of one name apart.")
        if output.is_dir() or (output.exists() and not force):
            raise UserError(f"{output} exists already; add --force to replace it, or choose another --out-dir.")
        places.add(place)
