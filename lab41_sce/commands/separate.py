"""Separate recordings from the command line.

    lab41-sce separate mixture.wav --out-dir voices

writes voices/mixture_1.wav, voices/mixture_2.wav and so on, one file for each speaker in the order in which they first
speak, at the rate of the input. FLAC files give FLAC files, all other recordings give WAV files.
"""

import argparse
import contextlib
import functools
import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lab41_sce.audio import check_format
from lab41_sce.audio.pipe import STDIN, saved_stdin
from lab41_sce.audio.recording import Recording
from lab41_sce.command_line import command
from lab41_sce.commands.separate_options import SPEAKERS, check_choices, output_paths, parse
from lab41_sce.errors import UserError
from lab41_sce.printable import printable
from lab41_sce.separation.output_paths import (
    ACTIVITY,
    MAX_VOICES,
    SPECTROGRAMS,
    check_outputs,
    is_copy,
    is_voice,
    list_recordings,
)

MIN_BAR_SECONDS = 60  # a shorter recording has no progress bar
BAR = "{desc}: {percentage:3.0f} %|{bar}| {elapsed} < {remaining}"


class Outcome(NamedTuple):
    """Hold the outcome of a recording: the files written, sentences about the result, and the error, if any."""

    outputs: list[Path]
    sentences: list[str]
    error: str | None = None


@functools.lru_cache(maxsize=1)  # once in a process
def load_separator(model: Path | None, runtime: str, call: str) -> Any:
    """Load a `Separator`. The id of the call makes a process that outlives the call load the model again."""
    from lab41_sce.separation.separator import Separator  # not needed for the help

    return Separator.load(model, runtime) if model else Separator.from_pretrained(runtime)


def open_recording(path: Path, options: argparse.Namespace) -> Recording:
    """Open a recording; raise UserError if it has no channel for each person although the options require it."""
    if options.channels != SPEAKERS:
        return Recording.open(path, options.channels, options.stream)
    recording = Recording.open(path, "each", options.stream)
    if not 2 <= recording.n_channels <= MAX_VOICES:
        raise UserError(f"{path} has {recording.n_channels} channel{'s' if recording.n_channels > 1 else ''}, and "
                        f"--channels {SPEAKERS} needs 2 to {MAX_VOICES}, one for each person; leave it out to separate "
                        "the voices.")
    return recording


def open_stream(recording: Recording, options: argparse.Namespace, people: Mapping[str, Any],
                progress: Callable[[float], object]) -> Any:
    """Return the stream of a recording's voices: separated ones, or its channels."""
    if options.channels == SPEAKERS:
        from lab41_sce.separation.channel_voices import ChannelStream

        return ChannelStream(recording, progress)
    separator = load_separator(options.model, options.runtime, options.call)
    return separator.open(recording, options.speakers, enroll=people, progress=progress)


def separate_file(path: Path, options: argparse.Namespace, inputs: Collection[Path],
                  people: Mapping[str, Any] = MappingProxyType({}), recording: Recording | None = None,
                  existing: Collection[Path] | None = None) -> Outcome:
    """Separate one file, in any process.

    Args:
        path: file of the recording.
        options: the parsed command line.
        inputs: files that no voice may replace.
        people: descriptions of the enrolled people by name (`Separator.describe_person`).
        recording: the recording, if it is open already.
        existing: of several recordings, the outputs of this one that existed before the call. Other outputs may be
            replaced if they are equal: a first attempt in a lost process wrote them. None: there is only one recording.
    """
    try:
        return separate_recording(recording or open_recording(path, options), options, inputs, people, existing)
    except UserError as error:
        return Outcome([], [], str(error))
    except Exception as error:  # the other recordings are separated nevertheless
        if existing is None:
            raise
        return Outcome([], [], f"{path} could not be separated ({type(error).__name__}: {error}); separate it alone "
                               "to see the traceback.")


def separate_recording(recording: Recording, options: argparse.Namespace, inputs: Collection[Path],
                       people: Mapping[str, Any], existing: Collection[Path] | None) -> Outcome:
    """Separate an opened recording and write the files; arguments as in `separate_file`."""
    from lab41_sce.separation.people import voice_names
    from lab41_sce.separation.voice_files import summarise, write_voice_files

    path = Path(recording.name)
    paths, rate_hz = output_paths(path, options), options.rate or recording.sample_rate_hz
    check_format(paths.voices(1)[0], rate_hz, 1 if options.channels == SPEAKERS else recording.n_channels)
    no_bar = recording.seconds < MIN_BAR_SECONDS or options.jobs != 1  # bars of several processes would overlap
    with tqdm(total=1 + 1e-9, desc=printable(path.name), bar_format=BAR, leave=False, disable=no_bar or None) as bar:
        stream = open_stream(recording, options, people, bar.update)
        outputs = paths.all(voice_names(stream.speakers.people, stream.speakers.n_speakers))
        retried = existing is not None and not {*outputs} & {*existing}
        check_outputs(inputs, outputs, options.force or retried)

        def check_again(staged: Mapping[Path, Path]) -> None:
            """Refuse the outputs that another call has written meanwhile."""
            others = [output for output, file in staged.items() if not (retried and is_copy(output, file))]
            check_outputs(inputs, others, options.force)

        separation, peak = write_voice_files(stream, recording, paths, draw_extras, check_again, rate_hz)
    sentences = [*recording.notes,
                 *summarise(separation, outputs[0], peak, paths.leftovers(separation.names))]
    return Outcome(outputs, [f"{path.name}: {sentence}" for sentence in sentences])


def draw_extras(extras: Mapping[str, Path], separation: Any, recording: Recording, voices: Sequence[Path]) -> None:
    """Draw the pictures of a recording, if requested."""
    if ACTIVITY in extras:
        from lab41_sce.reporting import separation_pictures

        separation_pictures.draw(extras[SPECTROGRAMS], extras[ACTIVITY], separation, recording, voices)


@command("interrupted: finished recordings are kept, no file is incomplete; run the same command to continue (with "
         "--force, it begins again)")
def main(arguments: Sequence[str] | None = None) -> int:
    """Separate every file; return 0, or 1 after a sentence about each file that could not be separated."""
    options = parse(arguments)
    check_choices(options)
    with contextlib.ExitStack() as temporary:
        options.files = [temporary.enter_context(saved_stdin()) if file == STDIN else file for file in options.files]
        return int(not separate_all(options))


def separate_all(options: argparse.Namespace) -> bool:
    """Check the outputs of all recordings, separate those that are missing, and return whether all succeeded.

    Raises:
        UserError: the files to write, the enrolled person's recording or the model cannot be used.
    """
    paths = list_recordings(options.files)
    several = paths != options.files or len(paths) > 1
    inputs = [*paths, *itertools.chain.from_iterable(options.people.values())]
    at_least = 2 if options.channels == SPEAKERS else 1
    min_speakers = at_least if options.speakers == "auto" else int(np.min(options.speakers))
    outputs = {path: certain_outputs(path, options, min_speakers) for path in paths}
    possible = _without_conflicts(paths, outputs, inputs, options.force or several)
    all_possible = possible == paths
    paths = _without_finished(possible, options, min_speakers) if several and not options.force else possible
    if not paths:
        return all_possible
    # A recording that cannot be read is reported before the model is loaded; one of several must not stop the others.
    opened = {name: [Recording.open(file, "mix") for file in files] for name, files in options.people.items()}
    only = None if several else open_recording(paths[0], options)
    people = {}
    if options.channels != SPEAKERS:
        # A mistake is reported once, not for each recording.
        separator = load_separator(options.model, options.runtime, options.call)
        separator.possible_numbers(options.speakers)
        people = {name: separator.describe_person(recordings) for name, recordings in opened.items()}
    if only:
        return report(separate_file(paths[0], options, inputs, people, only))
    return separate_files(paths, options, inputs, people) and all_possible


def certain_outputs(path: Path, options: argparse.Namespace, n_speakers: int) -> list[Path]:
    """List the outputs of a recording that a call writes in any case; the other voices may have names."""
    n_names = sum(name != "" for name in options.people)
    return output_paths(path, options).all([str(number) for number in range(n_names + 1, n_speakers + 1)])


def _without_conflicts(paths: list[Path], outputs: Mapping[Path, list[Path]], inputs: Collection[Path],
                       replace: bool) -> list[Path]:
    """Report and leave out the recordings whose files cannot be written; arguments as in `check_outputs`."""
    times = Counter(os.path.realpath(output) for path in paths for output in outputs[path])
    possible = []
    for path in paths:
        try:
            check_outputs(inputs, outputs[path], replace)
            if twice := [output for output in outputs[path] if times[os.path.realpath(output)] > 1]:
                raise UserError(f"{twice[0]} would be written twice; separate {path} in a call with another --out-dir.")
            possible.append(path)
        except UserError as error:
            report(Outcome([], [], str(error)))
    return possible


def _without_finished(paths: list[Path], options: argparse.Namespace, n_speakers: int) -> list[Path]:
    """Print and leave out the recordings that an earlier, perhaps interrupted, call has separated."""
    def is_finished(path: Path) -> bool:
        outputs = output_paths(path, options)
        voices = outputs.named([*map(str, range(1, n_speakers + 1)), *filter(None, options.people)])
        others = [*outputs.sounds([]), *outputs.extras.values()]
        return (sum(voice.exists() and is_voice(voice) for voice in voices) >= n_speakers
                and all(other.exists() for other in others))

    finished = [*filter(is_finished, paths)]
    if finished:
        names = f"{finished[0]}" if len(finished) == 1 else f"{finished[0]} to {finished[-1]}"
        print(f"skipped, because their voices exist: {len(finished)} of {len(paths)} recordings ({printable(names)}), "
              "whatever their options were; add --force to separate them again", file=sys.stderr)
    return [path for path in paths if path not in finished]


def separate_files(paths: list[Path], options: argparse.Namespace, inputs: Collection[Path],
                   people: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Separate several files in one or several processes, report each outcome, and return whether all succeeded.

    Raises:
        UserError: the processes cannot be started, or were lost.
    """
    from joblib import delayed

    from lab41_sce.process_pool import workers
    from lab41_sce.separation.staging import delete_abandoned

    places = {os.path.realpath(path): path for path in inputs}

    def job(path: Path) -> Any:
        possible_names = [*map(str, range(1, MAX_VOICES + 1)), *filter(None, people)]
        outputs = output_paths(path, options).all(possible_names)
        in_the_way = [places[place] for place in map(os.path.realpath, outputs) if place in places]
        existing = [*filter(os.path.exists, outputs)]
        return delayed(separate_file)(path, options, in_the_way, {**people}, existing=existing)  # can be pickled

    try:
        with workers(options.parallel_backend, options.jobs) as run:
            return all([report(outcome) for outcome in tqdm(run(map(job, paths)), "separating", len(paths),
                                                            unit=" files", disable=len(paths) == 1 or None)])
    finally:
        delete_abandoned(options.out_dir)  # of processes that were killed: by joblib, when this one is interrupted


def report(outcome: Outcome) -> bool:
    """Print the outcome of a recording; return whether it succeeded."""
    for sentence in [*outcome.sentences, *([f"error: {outcome.error}"] if outcome.error else [])]:
        tqdm.write(printable(sentence), file=sys.stderr)
    for output in outcome.outputs:
        tqdm.write(printable(str(output)) if sys.stdout.isatty() else str(output))
    return not outcome.error
