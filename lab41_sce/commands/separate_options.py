"""The words of the command line `lab41-sce separate` become checked options and the names of the files to write."""

import argparse
import uuid
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.audio.decoder import MAX_RATE_HZ, MIN_RATE_HZ
from lab41_sce.audio.pipe import STDIN
from lab41_sce.audio.writing import SUFFIXES
from lab41_sce.command_line import Parser
from lab41_sce.commands.enrolment_options import parse_people
from lab41_sce.errors import UserError
from lab41_sce.separation.output_paths import ACTIVITY, JSON, MAX_VOICES, REST, RTTM, SPECTROGRAMS, OutputPaths

SPEAKERS = "speakers"  # the choice of --channels for recordings with a person on each channel


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser("lab41-sce separate", description="Write one file for each speaker.")
    parser.add_argument("files", nargs="+", metavar="FILE",
                        help="recordings (WAV, FLAC, OGG, MP3, M4A, MP4, WebM, WMA, AMR and others; of films, the "
                             "sound), folders that contain them, or - for standard input")
    parser.add_argument("--model", type=Path, metavar="RUN_OR_FILE",
                        help="folder of a run, or a .keras file (default: the shipped model)")
    parser.add_argument("--runtime", choices=("onnx", "keras"), default="onnx", help="default: onnx, it loads faster")
    parser.add_argument("--speakers", default="auto", metavar="auto|N|N-M",
                        help="number of speakers, or the range to count in, such as 2-4 (default: counted, up to 5)")
    parser.add_argument("--enroll", action="append", default=[], metavar="[NAME=]FILE",
                        help="recording of one person who talks alone; the voice of this person comes first and gets "
                             "the name. Can be given several times, for several people or several files of a person")
    parser.add_argument("--out-dir", default=Path("."), type=Path, metavar="DIR",
                        help="folder for the voices (default: the current folder)")
    parser.add_argument("--format", choices=[suffix[1:] for suffix in SUFFIXES], metavar="|".join(
        suffix[1:] for suffix in SUFFIXES), help="format of the voices (default: flac for FLAC files, otherwise wav)")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate of the voices (default: as the recording)")
    parser.add_argument("--stream", type=int, default=1, metavar="N",
                        help="stream of sound to separate, where a file has several (default: 1)")
    parser.add_argument("--channels", default="mix", metavar="mix|each|N|speakers",
                        help="separate the mean of the channels (default), each channel with the masks of the mean, so "
                             "that stereo voices stay at their places, or one channel; speakers: each channel holds "
                             "one person already, as in a recorded call")
    parser.add_argument("--rest", action="store_true",
                        help="write what belongs to no voice, such as noise, to a file that ends in _rest")
    parser.add_argument("--plot", action="store_true",
                        help="draw spectrograms of the voices (first minute) and the times when each speaks, as PNG")
    parser.add_argument("--json", action="store_true", help="write times, confidence and speaker count as JSON")
    parser.add_argument("--rttm", action="store_true", help="write the times when each voice speaks as RTTM")
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument("--jobs", type=int, metavar="N",
                        help="number of processes for several recordings (default: 1; -1: one for each core, which is "
                             "the default on a cluster)")
    parser.add_argument("--parallel-backend", choices=("loky", "dask", "ray"), default="loky",
                        help="run the processes on this machine (loky, default) or on a cluster")
    return parser.parse_args(arguments)


def check_choices(options: argparse.Namespace) -> None:
    """Convert `--speakers` and `--channels` to numbers and the files to paths.

    Raises:
        UserError: a value is not possible.
    """
    if "" in options.files:
        raise UserError("an empty name was given for a file; give the path of a recording.")
    if options.files.count(str(STDIN)) > 1:
        raise UserError("standard input (-) can be given only once; leave out the second one.")
    options.files = [Path(file) for file in options.files]
    options.people = parse_people(options.enroll)
    if options.stream < 1:
        raise UserError(f"--stream {options.stream} is not possible; give 1 for the first stream of sound.")
    if options.rate is not None and not MIN_RATE_HZ <= options.rate <= MAX_RATE_HZ:
        raise UserError(f"--rate {options.rate} is not possible; give {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz.")
    for name, words, most, also in (("speakers", ("auto",), MAX_VOICES, ", or a range such as 2-4"),
                                    ("channels", ("mix", "each", SPEAKERS), 1024, "")):
        value = getattr(options, name)
        if value in words:
            continue
        limits = [int(part) if part.isdecimal() else 0 for part in (value.split("-") if also else [value])]
        if len(limits) > 2 or limits != sorted(limits) or not 1 <= limits[0] <= limits[-1] <= most:
            raise UserError(f"--{name} {value} is not possible; give {', '.join(words)} or a number from 1 to {most}"
                            f"{also}.")
        setattr(options, name, tuple(limits) if len(limits) == 2 else limits[0])
    if options.channels == SPEAKERS and (options.enroll or options.speakers != "auto"):
        unwanted = "--enroll" if options.enroll else "--speakers"
        raise UserError(f"--channels {SPEAKERS} makes each channel a voice, so {unwanted} has no effect; leave one of "
                        "the two out.")
    if options.model and options.channels == SPEAKERS:
        raise UserError(f"--channels {SPEAKERS} needs no model; leave out --model.")
    if options.rest and options.channels == SPEAKERS:
        raise UserError(f"--channels {SPEAKERS} leaves no rest; leave out --rest.")
    if options.rest and REST in options.people:
        raise UserError(f"--enroll {REST}=... and --rest would write the same file; give the person another name.")
    on_cluster = options.parallel_backend != "loky"
    options.jobs = (-1 if on_cluster else 1) if options.jobs is None else options.jobs
    if options.jobs < -1 or options.jobs == 0:
        raise UserError(f"--jobs {options.jobs} is not possible; give a number of processes, or -1: one for each core.")
    if on_cluster and STDIN in options.files:
        raise UserError("standard input (-) cannot be read on a cluster; save the recording to a file.")
    if on_cluster:  # its processes may have other working folders
        options.files = [file.absolute() for file in options.files]
        options.out_dir, options.model = (path and path.absolute() for path in (options.out_dir, options.model))
        options.people = {name: [file.absolute() for file in files] for name, files in options.people.items()}
    options.call = uuid.uuid4().hex
    if options.out_dir.exists() and not options.out_dir.is_dir():
        raise UserError(f"--out-dir {options.out_dir} is a file; choose another folder.")


def output_paths(path: Path, options: argparse.Namespace) -> OutputPaths:
    """Name the outputs of a recording."""
    wanted = {SPECTROGRAMS: options.plot, ACTIVITY: options.plot, JSON: options.json, RTTM: options.rttm}
    return OutputPaths(path, options.out_dir, tuple(ending for ending in wanted if wanted[ending]),
                       options.format and f".{options.format}", options.rest)
