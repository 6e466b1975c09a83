"""Separate recordings from the command line.

    python -m lab41_sce.separate mixture.wav --out-dir voices

writes voices/mixture_1.wav, voices/mixture_2.wav and so on, one for each speaker, in the input's format and rate.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lab41_sce import audio, files
from lab41_sce.diarisation import rttm
from lab41_sce.errors import UserError
from lab41_sce.recordings import Recording

MOST_SPEAKERS = 10  # models are trained on two or three
DRAWN_SECONDS = 60  # of the spectrograms
LONGEST_NAME = 255  # bytes
BAR = "{desc}: {percentage:3.0f} %|{bar}| {elapsed} < {remaining}"  # None disables it where no terminal is
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("python -m lab41_sce.separate", description="Write one file for each speaker.")
    parser.add_argument("files", nargs="+", metavar="FILE",
                        help="recordings (WAV, FLAC, OGG, MP3), or folders of them")
    parser.add_argument("--model", type=Path, metavar="RUN_OR_FILE",
                        help="folder of a run, or a .keras file (default: the model that is shipped)")
    parser.add_argument("--speakers", default="auto", metavar="auto|N",
                        help="how many people talk (default: counted, up to 3)")
    parser.add_argument("--enroll", type=Path, metavar="FILE", help="a person who talks alone: that voice comes first")
    parser.add_argument("--out-dir", default=Path("."), type=Path, metavar="DIR", help="for the voices (default: here)")
    parser.add_argument("--channels", default="mix", metavar="mix|each|N",
                        help="separate the mean of the channels (default), each with the masks of the mean, or one")
    parser.add_argument("--plot", action="store_true",
                        help="draw the voices (spectrograms of the first minute) and who speaks when, as PNG")
    parser.add_argument("--json", action="store_true", help="write what is known of the voices, too, as JSON")
    parser.add_argument("--rttm", action="store_true", help="write who speaks when, too, as RTTM")
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    return parser.parse_args(arguments)


def check_choices(options: argparse.Namespace) -> None:
    """Make numbers of `--speakers` and `--channels`, and paths of the files; raise UserError about what is none."""
    if "" in options.files:
        raise UserError("an empty name was given for a file; give the path of a recording.")
    options.files = [Path(file) for file in options.files]
    for name, words, most in (("speakers", ("auto",), MOST_SPEAKERS), ("channels", ("mix", "each"), 1024)):
        given = getattr(options, name)
        if given in words:
            continue
        if not given.isdecimal() or not 1 <= int(given) <= most:
            raise UserError(f"--{name} {given} is not possible; give {', '.join(words)} or a number from 1 to {most}.")
        setattr(options, name, int(given))


def recordings(paths: list[Path]) -> list[Path]:
    """List the files that are named, and those with audio of the folders that are.

    Raises:
        UserError: a folder without any.
    """
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        try:
            of_folder = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()
                               and not file.name.startswith("."))
        except OSError as error:
            raise UserError(f"{path} cannot be listed ({error.strerror}); give files, or another folder.") from None
        if not of_folder:
            raise UserError(f"{path} holds no {', '.join(SUFFIXES)} file; give a folder with recordings, or a file.")
        found += of_folder
    return found


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
        more = itertools.takewhile(Path.exists, self.voices(MOST_SPEAKERS)[n_speakers:])
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
        if len(os.fsencode(files.temporary_name(output).name)) > LONGEST_NAME:
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


def separate_file(separator, recording: Recording, options: argparse.Namespace, inputs: list[Path],
                  enrolled=None) -> list[Path]:
    """Separate one file.

    Args:
        separator: a `Separator`.
        recording: the opened file.
        options: the command line.
        inputs: files that no voice may replace.
        enrolled: vector of the voice that should come first (`Separator.voice`).

    Returns:
        The files written.

    Raises:
        UserError: the recording cannot be read, or a file cannot be written.
    """
    path, rate_hz = Path(recording.name), recording.sample_rate_hz
    outputs = Outputs(path, options)
    seconds = recording.n_samples / rate_hz
    with tqdm(total=1 + 1e-9, desc=path.name, bar_format=BAR, leave=False, disable=seconds < 60 or None) as bar:
        separation = separator.open(recording, options.speakers, enrolled, bar.update)
        voices = outputs.voices(separation.n_speakers)
        check_outputs(inputs, outputs.all(separation.n_speakers), options.force)
        parts = iter(separation)
        first = next(parts)  # before anything is written
        staging = options.out_dir / f".{path.stem}.part"  # the files of a recording appear together, or none does
        staged = {output: staging / output.name for output in outputs.all(separation.n_speakers)}
        files.make_folder(staging)
        peak = 0.0
        try:
            with audio.writers([staged[voice] for voice in voices], rate_hz, recording.n_channels,
                               recording.n_samples) as write:
                for part in itertools.chain([first], parts):
                    write(part)
                    peak = max(peak, float(np.abs(part).max(initial=0.0)))
            write_extras({end: staged[extra] for end, extra in outputs.extras.items()}, separation, recording,
                         [staged[voice] for voice in voices])
            for output in reversed(staged):  # the first voice last: with it, all are there
                staged[output].replace(output)
        except OSError as error:
            raise UserError(f"{path.name}: its voices could not be written to {options.out_dir} ({error.strerror}); "
                            "choose another --out-dir.") from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    for sentence in sentences(separation, voices[0], peak, outputs.leftovers(separation.n_speakers)):
        tqdm.write(f"{path.name}: {sentence}", file=sys.stderr)
    return outputs.all(separation.n_speakers)


def sentences(separation, voice: Path, peak: float, leftovers: list[Path]) -> list[str]:
    """Say what somebody who looks at the voices should know: how many and why, whose is first, what is clipped.

    Args:
        separation: a `Separation`.
        voice: the file of the first voice.
        peak: of all voices.
        leftovers: files of an earlier call, about the same recording.

    Returns:
        The sentences.
    """
    said = [str(separation.count)] if separation.count else []
    if separation.likeness is not None:
        whose = "the first voice is" if separation.found else "none of the voices is"
        said.append(f"{whose} that of the enrolled person (likeness {separation.likeness[0]:.2f})")
    if peak > 1:
        clipped = "was clipped; give a WAV file to keep it" if voice.suffix == ".flac" else "players may clip it"
        said.append(f"a voice peaks at {peak:.2f} of full scale: {clipped}")
    if leftovers:
        said.append(f"left from an earlier call, so not of these voices: {', '.join(map(str, leftovers))}")
    return said


def write_extras(extras: dict[str, Path], separation, recording: Recording, voices: list[Path]) -> None:
    """Write what was asked for besides the voices: pictures, JSON, RTTM."""
    segments = separation.frames.segments()
    if ".rttm" in extras:
        files.write_text(extras[".rttm"], rttm(Path(recording.name).stem, segments))
    if ".json" in extras:
        files.write_text(extras[".json"], json.dumps(describe(separation, recording, voices, segments), indent=2))
    if "_voices.png" in extras:
        from lab41_sce import figures, sound_figures

        drawn = min(recording.n_samples, round(DRAWN_SECONDS * recording.sample_rate_hz))
        panels = {Path(part.name).name: part.read(0, min(drawn, part.n_samples)).mean(axis=0)
                  for part in (recording, *map(Recording.open, voices))}
        figures.save(sound_figures.spectrograms(panels, recording.sample_rate_hz), extras["_spectrograms.png"])
        figures.save(sound_figures.who_speaks_when(separation.frames), extras["_voices.png"])


def describe(separation, recording: Recording, voices: list[Path], segments) -> dict:
    """Collect what is known of the voices, for JSON: seconds; confidence from 0 to 1, or None; cosines."""
    confidence, *by_second = (None if np.isnan(value) else round(value, 3) for value in (
        separation.frames.confidence(), *separation.frames.confidence_by_second().tolist()))
    described = {
        "file": Path(recording.name).name, "seconds": recording.n_samples / recording.sample_rate_hz,
        "speakers": separation.n_speakers, "confidence": confidence, "confidence_by_second": by_second,
        "voices": [{"file": voice.name, "speaks": [[round(time, 3) for time in pair] for pair in of_voice]}
                   for voice, of_voice in zip(voices, segments, strict=True)]}
    if separation.count:
        described["count"] = {"why": str(separation.count), "spreads": separation.count.spreads}
    if separation.likeness is not None:
        described["enrolled"] = {"found": separation.found, "likeness": separation.likeness.tolist()}
    return described


def main(arguments: list[str] | None = None) -> int:
    """Separate every file; return 0, or 1 if something could not be done, after one sentence about it."""
    options = parse(arguments)
    failed = False
    try:
        check_choices(options)
        if options.out_dir.exists() and not options.out_dir.is_dir():
            raise UserError(f"--out-dir {options.out_dir} is a file; choose another folder.")
        paths = recordings(options.files)
        inputs = [*paths, *([options.enroll] if options.enroll else [])]
        least = 1 if options.speakers == "auto" else options.speakers  # so many voices there will be
        outputs = {path: Outputs(path, options).all(least) for path in paths}
        several = paths != options.files or len(paths) > 1
        check_outputs(inputs, [output for path in paths for output in outputs[path]], options.force or several)
        if several and not options.force:  # an earlier call may have been interrupted
            done = [path for path in paths if all(output.exists() for output in outputs[path])]
            if done:
                which = f"{done[0]}" if len(done) == 1 else f"{done[0]} to {done[-1]}"
                print(f"left out, since their voices exist: {len(done)} of {len(paths)} recordings ({which}); "
                      "add --force to separate them again", file=sys.stderr)
            paths = [path for path in paths if path not in done]
            if not paths:
                return 0
        alone = Recording.open(options.enroll, "mix") if options.enroll else None
        # Of several, one that cannot be read stops no other.
        only = None if several else Recording.open(paths[0], options.channels)
        from lab41_sce.separation import Separator  # imports TensorFlow: after what can be told at once

        separator = Separator.load(options.model) if options.model else Separator.from_pretrained()
        enrolled = separator.voice(alone) if alone else None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in tqdm(paths, "separating", unit=" files", disable=len(paths) == 1):
        try:
            recording = only or Recording.open(path, options.channels)
            for output in separate_file(separator, recording, options, inputs, enrolled):
                tqdm.write(str(output))
        except UserError as error:
            failed = True
            tqdm.write(f"error: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: what was finished is kept, nothing is half-written; the same command goes on")
