"""Separate recordings from the command line.

    python -m lab41_sce.separate mixture.wav --out-dir voices

writes voices/mixture_1.wav, voices/mixture_2.wav and so on, one for each speaker, in the input's format and rate.
"""

import argparse
import functools
import itertools
import json
import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from lab41_sce import atomic_write, audio
from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError
from lab41_sce.separation.activity import rttm
from lab41_sce.separation.output_paths import MAX_VOICES, SUFFIXES, Outputs, check_outputs

DRAWN_SECONDS = 60  # of the spectrograms
BAR = "{desc}: {percentage:3.0f} %|{bar}| {elapsed} < {remaining}"  # None disables it where no terminal is


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
    parser.add_argument("--jobs", type=int, metavar="N",
                        help="processes, for many recordings (default: 1; -1, and on a cluster: one each core)")
    parser.add_argument("--parallel-backend", choices=("loky", "dask", "ray"), default="loky",
                        help="where they are: on this machine (default), or on a cluster")
    return parser.parse_args(arguments)


def check_choices(options: argparse.Namespace) -> None:
    """Make numbers of `--speakers` and `--channels`, and paths of the files; raise UserError about what is none."""
    if "" in options.files:
        raise UserError("an empty name was given for a file; give the path of a recording.")
    options.files = [Path(file) for file in options.files]
    for name, words, most in (("speakers", ("auto",), MAX_VOICES), ("channels", ("mix", "each"), 1024)):
        given = getattr(options, name)
        if given in words:
            continue
        if not given.isdecimal() or not 1 <= int(given) <= most:
            raise UserError(f"--{name} {given} is not possible; give {', '.join(words)} or a number from 1 to {most}.")
        setattr(options, name, int(given))
    cluster = options.parallel_backend != "loky"
    if options.jobs is None:
        options.jobs = -1 if cluster else 1
    if options.jobs < -1 or options.jobs == 0:
        raise UserError(f"--jobs {options.jobs} is not possible; give a number of processes, or -1 for one each core.")
    if cluster:  # whose processes may be in other folders
        options.files = [file.absolute() for file in options.files]
        options.out_dir, options.model, options.enroll = (
            path and path.absolute() for path in (options.out_dir, options.model, options.enroll))


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


class Done(NamedTuple):
    """Say what became of a recording: the files written, what should be known of them, what went wrong."""

    outputs: list[Path]
    sentences: list[str]
    error: str | None = None


@functools.lru_cache(maxsize=1)  # once in a process
def load_separator(model: Path | None, call: str):
    """Load a model, or the one that is shipped, anew for every call of the command: a process may outlive it."""
    from lab41_sce.separation.separator import Separator  # imports TensorFlow: after what can be told at once

    return Separator.load(model) if model else Separator.from_pretrained()


def separate_file(path: Path, options: argparse.Namespace, inputs: list[Path], enrolled=None,
                  recording: Recording | None = None, before: list[Path] | None = None) -> Done:
    """Separate one file, in whatever process.

    Args:
        path: of the recording.
        options: the command line.
        inputs: files that no voice may replace.
        enrolled: vector of the voice that should come first (`Separator.voice`).
        recording: the file, if it has been opened already.
        before: of several recordings, which outputs of this one were there before; those of a first try, lost with its
            process, may be replaced. None: it is the only one.

    Returns:
        What became of it.
    """
    try:
        separator = load_separator(options.model, options.call)
        recording = recording or Recording.open(path, options.channels)
        return _separate(separator, recording, options, inputs, enrolled, before)
    except UserError as error:
        return Done([], [], str(error))
    except Exception as error:  # stops no other recording
        if before is None:
            raise
        return Done([], [], f"{path} could not be separated ({type(error).__name__}: {error}); separate it by itself "
                            "to see where that comes from.")


def _separate(separator, recording, options, inputs, enrolled, before):
    """Separate an opened recording, and write what is wanted."""
    path, rate_hz = Path(recording.name), recording.sample_rate_hz
    outputs = Outputs(path, options)
    seconds = recording.n_samples / rate_hz
    quiet = seconds < 60 or options.jobs != 1  # several bars would write over one another
    with tqdm(total=1 + 1e-9, desc=path.name, bar_format=BAR, leave=False, disable=quiet or None) as bar:
        separation = separator.open(recording, options.speakers, enrolled, bar.update)
        voices = outputs.voices(separation.n_speakers)
        wanted = outputs.all(separation.n_speakers)
        check_outputs(inputs, wanted, options.force or before is not None and not {*wanted} & {*before})
        parts = iter(separation)
        first = next(parts)  # before anything is written
        staging = options.out_dir / f".{path.name}.part"  # the files of a recording appear together, or none does
        staged = {output: staging / output.name for output in outputs.all(separation.n_speakers)}
        atomic_write.make_folder(staging)
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
    said = sentences(separation, voices[0], peak, outputs.leftovers(separation.n_speakers))
    return Done(wanted, [f"{path.name}: {sentence}" for sentence in said])


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
    if separation.similarity is not None:
        whose = "the first voice is" if separation.found else "none of the voices is"
        said.append(f"{whose} that of the enrolled person (likeness {separation.similarity[0]:.2f})")
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
        atomic_write.write_text(extras[".rttm"], rttm(Path(recording.name).stem, segments))
    if ".json" in extras:
        described = describe(separation, recording, voices, segments)
        atomic_write.write_text(extras[".json"], json.dumps(described, indent=2))
    if "_voices.png" in extras:
        from lab41_sce.reporting import figures, sound_figures

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
        described["count"] = {"why": str(separation.count), "cluster_variances": separation.count.cluster_variances}
    if separation.similarity is not None:
        described["enrolled"] = {"found": separation.found, "similarity": separation.similarity.tolist()}
    return described


def main(arguments: list[str] | None = None) -> int:
    """Separate every file; return 0, or 1 if something could not be done, after one sentence about it."""
    options = parse(arguments)
    options.call = uuid.uuid4().hex
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
            there = {path: all(output.exists() for output in outputs[path]) for path in paths}
            done = [path for path in paths if there[path]]
            if done:
                which = f"{done[0]}" if len(done) == 1 else f"{done[0]} to {done[-1]}"
                print(f"left out, since their voices exist: {len(done)} of {len(paths)} recordings ({which}); "
                      "add --force to separate them again", file=sys.stderr)
            paths = [path for path in paths if not there[path]]
            if not paths:
                return 0
        alone = Recording.open(options.enroll, "mix") if options.enroll else None
        # Of several, one that cannot be read stops no other.
        only = None if several else Recording.open(paths[0], options.channels)
        separator = load_separator(options.model, options.call)
        enrolled = separator.speaker_embedding(alone) if alone else None
        if only:
            return int(not tell(separate_file(paths[0], options, inputs, enrolled, only)))
        return int(not separate_files(paths, options, inputs, enrolled))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def separate_files(paths: list[Path], options: argparse.Namespace, inputs: list[Path], enrolled=None) -> bool:
    """Separate several files, here or in several processes; tell what became of each, and return whether all went well.

    Raises:
        UserError: the processes cannot be had, or were lost.
    """
    from joblib import delayed

    from lab41_sce.process_pool import workers

    places = {os.path.realpath(path): path for path in inputs}

    def job(path):
        outputs = Outputs(path, options).all(MAX_VOICES)
        in_the_way = [places[place] for place in map(os.path.realpath, outputs) if place in places]  # all are many
        return delayed(separate_file)(path, options, in_the_way, enrolled, before=[*filter(Path.exists, outputs)])

    with workers(options.parallel_backend, options.jobs) as run:
        done = run(map(job, paths))
        return all([tell(each) for each in tqdm(done, "separating", len(paths), unit=" files",
                                                disable=len(paths) == 1)])


def tell(done: Done) -> bool:
    """Print what became of a recording; return whether it went well."""
    for sentence in [*done.sentences, *([f"error: {done.error}"] if done.error else [])]:
        tqdm.write(sentence, file=sys.stderr)
    for output in done.outputs:
        tqdm.write(str(output))
    return not done.error


if __name__ == "__main__":
    from lab41_sce.separate import main  # noqa: F811 (by its name, other processes find what is in here)

    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: what was finished is kept, nothing is half-written; the same command goes on")
