"""`lab41-sce benchmark`: score systems on a published set of mixtures, or on any folders of mixtures and sources.

    lab41-sce benchmark libri2mix --metadata libri2mix_test-clean.csv --librispeech LibriSpeech --out OUT
    lab41-sce benchmark libri2mix --root Libri2Mix --sexes SPEAKERS.TXT --out OUT
    lab41-sce benchmark whamr --root whamr --mixture mix_both_reverb --sexes spkrinfo.txt --out OUT
    lab41-sce benchmark run --root runs/reproduce --systems pretrained mine=my_module:separate --out OUT
    lab41-sce benchmark recordings --mixtures sessions --rttm turns.rttm --out OUT
    lab41-sce benchmark folders --mixtures mix --sources s1 s2 --systems pretrained other=voices --out OUT
"""

import argparse
import logging
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.atomic_write import lock, make_folder
from lab41_sce.command_line import Parser, command
from lab41_sce.data.benchmark_set import LENGTHS, RATES_HZ, BenchmarkSet
from lab41_sce.data.mixture_folders import (
    LIBRISPEECH_IDS,
    MIXTURES,
    NUMBER_OF_SPEAKERS,
    WSJ0_IDS,
    MixtureFolders,
    find_folders,
    load_folders,
)
from lab41_sce.errors import UserError
from lab41_sce.evaluation.definitions import ALL_METRICS, ENERGY_METRICS
from lab41_sce.evaluation.perceptual import check_metrics
from lab41_sce.process_pool import ENGINES

BUSY = "another call writes scores to {}; wait for it, or choose another --out."
ANY_WAV = "*.wav"
SYSTEMS = ("pretrained", "unprocessed", "ideal_binary_mask", "ideal_ratio_mask")


@command("interrupted: the scores so far are saved; run the same command again to continue")
def main(arguments: Sequence[str] | None = None) -> int:
    """Score systems on a benchmark set and print the table.

    Args:
        arguments: of the command line; those of the process if None.

    Returns:
        The exit status: 0, also if mixtures without scores are left out, after a warning.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    if options.jobs < -1 or options.jobs == 0:
        raise UserError(f"--jobs {options.jobs} is not possible; give a number of processes, or -1 (one per core).")
    if options.first is not None and options.first < 1:
        raise UserError(f"--first {options.first} is not possible; give the number of mixtures to score, at least 1.")
    given = shlex.join(["lab41-sce", "benchmark", *(sys.argv[1:] if arguments is None else arguments)])
    if options.set == "recordings":
        print(f"{_score_recordings(options, given)}\nScores: {options.out.resolve()}")
        return 0
    if options.rttm:
        raise UserError(f"--rttm goes with recordings only; leave it out of {options.set}.")
    benchmark = load_set(options)
    metrics = [metric for metric in ALL_METRICS if metric in {"SI-SDR", *options.metrics}]
    check_metrics(metrics, benchmark.sample_rate_hz)
    # TensorFlow is not needed for the help, nor for mistakes in the files of the set.
    from lab41_sce.reporting.benchmark_report import write_benchmark_report
    from lab41_sce.runs.benchmark import open_benchmark, score_benchmark, summarise_benchmark
    from lab41_sce.runs.benchmark_systems import build_systems

    systems = build_systems(options.systems, benchmark)
    make_folder(options.out)
    with lock(options.out / ".lock", BUSY.format(options.out)):
        open_benchmark(options.out, benchmark, given)
        scores = score_benchmark(options.out, benchmark, systems, metrics, options.jobs, options.parallel_backend)
        summary, differences = summarise_benchmark(options.out, scores, systems[0].name)
        text = write_benchmark_report(options.out, summary, differences, systems[0].name, len(benchmark.mixtures))
    print(f"{text}\nScores: {options.out.resolve()}")
    return 0


def _score_recordings(options: argparse.Namespace, command: str) -> str:
    """Score systems on recordings without true voices, and return the table."""
    _require(options, "mixtures", "rttm")
    _refuse(options, "root", "metadata", "librispeech", "noise", "part", "rate", "mixture", "length", "references",
            "sexes", "sources", "more_than_sources", "speaker_ids")
    for name, is_default in (("metrics", options.metrics is ENERGY_METRICS), ("jobs", options.jobs == -1),
                             ("parallel-backend", options.parallel_backend == "loky")):
        if not is_default:
            raise UserError(f"--{name} has no effect on recordings without true voices; leave it out.")
    from lab41_sce.reporting.benchmark_report import write_recordings_report  # loads pandas
    from lab41_sce.runs.benchmark import begin_folder
    from lab41_sce.runs.recordings_benchmark import build_diarisation_systems, load_recordings, score_recordings

    pattern = ANY_WAV if options.files is None else options.files
    recordings = load_recordings(options.mixtures, options.rttm, pattern, options.first)
    systems = build_diarisation_systems(["pretrained"] if options.systems is SYSTEMS else options.systems)
    make_folder(options.out)
    with lock(options.out / ".lock", BUSY.format(options.out)):
        begin_folder(options.out, {"set": f"recordings {options.mixtures.name}"}, command)
        _, summary, differences = score_recordings(options.out, recordings, systems)
        return write_recordings_report(options.out, summary, differences, systems[0].name)


def load_set(options: argparse.Namespace) -> BenchmarkSet:
    """Load the set that the options of the command describe.

    Raises:
        UserError: an option is missing or does not go with the set, or a file of the set is missing.
    """
    name, rate_hz, sexes = options.set, options.rate, options.sexes
    pattern = ANY_WAV if options.files is None else options.files
    if name == "folders":
        _require(options, "mixtures", "sources")
        _refuse(options, "root", "metadata", "librispeech", "part", "mixture", "length", "references")
        try:
            re.compile(options.speaker_ids)
        except re.error as error:
            raise UserError(f"--speaker-ids {options.speaker_ids} is no regular expression ({error}); give one such as "
                            r"'(\d+)-'.") from None
        if options.more_than_sources and options.noise:
            raise UserError("--noise is for the check that each mixture is the sum of its parts, which "
                            "--more-than-sources leaves out; give one of the two.")
        parts = () if options.more_than_sources else (*options.sources, *([options.noise] if options.noise else []))
        folders = MixtureFolders(options.mixtures, tuple(options.sources), parts)
        return load_folders("folders", folders, rate_hz, sexes, options.speaker_ids, options.first, pattern)
    if name == "run":
        _require(options, "root")
        _refuse(options, "metadata", "librispeech", "noise", "rate", "mixture", "length", "references", "sexes",
                "mixtures", "sources", "more_than_sources", "speaker_ids", "files")
        from lab41_sce.runs.run_mixtures import load_run  # loads Keras

        return load_run(options.root, options.part or "unseen", options.first)
    rate_hz, length = rate_hz or 8000, options.length or "min"
    mixture = options.mixture or ("mix_both_reverb" if name == "whamr" else MIXTURES[name][0])
    if mixture not in MIXTURES[name]:
        raise UserError(f"{name} has no mixtures {mixture}; give one of {', '.join(MIXTURES[name])}.")
    _refuse(options, "mixtures", "sources", "more_than_sources", "speaker_ids")
    if options.references and name != "whamr":
        raise UserError(f"--references {options.references} goes with whamr only; leave it out.")
    if options.metadata:
        if not name.startswith("libri"):
            raise UserError(f"--metadata goes with libri2mix and libri3mix only; give --root for {name}.")
        _require(options, "librispeech")
        _refuse(options, "root", "part")
        unused = {"files": options.files is not None, "noise": mixture == "mix_clean" and options.noise}
        for option, given in unused.items():
            if given:
                raise UserError(f"--{option} has no effect on {mixture} made from --metadata; leave it out.")
        from lab41_sce.data.librimix import load_librimix  # loads pandas and SciPy

        return load_librimix(options.metadata, options.librispeech, options.noise, NUMBER_OF_SPEAKERS[name], rate_hz,
                             length, mixture, sexes, options.first)
    _require(options, "root")
    _refuse(options, "librispeech", "noise")
    of_librispeech = name.startswith("libri")
    part, references = options.part or ("test" if of_librispeech else "tt"), options.references or "anechoic"
    folders = find_folders(name, options.root, part, rate_hz, length, mixture, references)
    described = f"{part} {mixture} {length}"
    if folders.mixtures.parent == options.root:  # the names of the folders above may state something else
        for option in ("part", "length"):
            if getattr(options, option):
                raise UserError(f"--{option} has no effect on {options.root}, which itself contains {mixture}; leave "
                                "it out, or give the root of the set.")
        described = mixture
    title = f"{name} {described} {rate_hz} Hz" + (f", {references} sources" if name == "whamr" else "")
    ids = LIBRISPEECH_IDS if of_librispeech else WSJ0_IDS
    return load_folders(title, folders, rate_hz, sexes, ids, options.first, pattern)


def _require(options: argparse.Namespace, *names: str) -> None:
    """Raise UserError about an option that the set needs."""
    for name in names:
        if not getattr(options, name):
            other = " or --metadata" if name == "root" and options.set.startswith("libri") else ""
            raise UserError(f"{options.set} needs --{name}{other}; give it.")


def _refuse(options: argparse.Namespace, *names: str) -> None:
    """Raise UserError about an option that would have no effect."""
    for name in names:
        if getattr(options, name):
            raise UserError(f"--{name.replace('_', '-')} has no effect on the set {options.set}; leave it out.")


def _parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        "lab41-sce benchmark",
        description="Score systems on a set of mixtures, by the sexes of the speakers, with 95 % intervals and paired "
                    "differences.",
        epilog="Repeat an interrupted command to continue. Exit status: 0 complete, 1 error, 2 wrong arguments, "
               "130 interrupted.")
    parser.add_argument("set", metavar="SET",
                        choices=(*NUMBER_OF_SPEAKERS, "folders", "run", "recordings"),
                        help=f"one of {', '.join(NUMBER_OF_SPEAKERS)}; folders, for any other mixtures; run, for "
                             "the mixtures that an experiment was scored on; or recordings without true voices, for "
                             "counts and diarisation error rates")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for scores and tables")
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, metavar="SYSTEM",
                        help="pretrained, the folder of a run, a .keras file, a folder of separated voices, a function "
                             "of your own as package.module:name, unprocessed, "
                             "ideal_binary_mask, ideal_ratio_mask, phase_sensitive_mask or nmf_blind; "
                             "NAME=PATH gives a name; differences are from the first one "
                             f"(default: {' '.join(SYSTEMS)})")
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="root of the generated set; of run: the folder of "
                                                                       "the run")
    parser.add_argument("--metadata", type=Path, metavar="CSV", help="metadata of LibriMix, instead of --root")
    parser.add_argument("--librispeech", type=Path, metavar="FOLDER", help="LibriSpeech, for --metadata")
    parser.add_argument("--noise", type=Path, metavar="FOLDER",
                        help="WHAM!'s folder wham_noise, for --metadata with noise in the mixture; of folders: "
                             "the noise in the mixtures")
    parser.add_argument("--part", metavar="NAME", help="test or dev of LibriMix, tt, cv or tr (default: test or "
                                                       "tt); of run: the split (default: unseen)")
    parser.add_argument("--rate", type=int, choices=RATES_HZ, metavar="HZ", help="8000 (default) or 16000")
    parser.add_argument("--length", choices=LENGTHS, help="length of the mixtures: that of the shortest source (min, "
                                                          "the default), or of the longest")
    parser.add_argument("--mixture", metavar="NAME", help="such as mix_clean (default), mix_both, mix_single; of whamr "
                                                          "with _anechoic or _reverb (default: mix_both_reverb)")
    parser.add_argument("--references", choices=("anechoic", "reverb"),
                        help="true sources of whamr (default: anechoic)")
    parser.add_argument("--sexes", type=Path, metavar="FILE",
                        help="SPEAKERS.TXT of LibriSpeech or spkrinfo.txt of WSJ0, for scores by the sexes")
    parser.add_argument("--mixtures", type=Path, metavar="FOLDER", help="of folders: the mixtures; of recordings: "
                                                                           "these")
    parser.add_argument("--rttm", type=Path, metavar="PATH",
                        help="of recordings: RTTM file of the true turns, or folder of RTTM files")
    parser.add_argument("--sources", type=Path, nargs="+", metavar="FOLDER", help="of folders: one for each source")
    parser.add_argument("--more-than-sources", action="store_true",
                        help="of folders: the mixtures contain more than their sources and noise, such as echoes")
    parser.add_argument("--files", metavar="PATTERN", help=f"names of the mixtures (default: {ANY_WAV})")
    parser.add_argument("--speaker-ids", default="", metavar="REGEX",
                        help="of folders: finds the ids of the speakers in the name of a mixture, such as '(\\d+)-'")
    parser.add_argument("--first", type=int, metavar="N", help="score the first N mixtures only")
    parser.add_argument("--metrics", nargs="+", choices=ALL_METRICS, default=ENERGY_METRICS, metavar="METRIC",
                        help=f"of {', '.join(ALL_METRICS)} (default: {' '.join(ENERGY_METRICS)}); SI-SDR is always "
                             "scored")
    parser.add_argument("--jobs", type=int, default=-1, metavar="N", help="number of processes (default: one per core)")
    parser.add_argument("--parallel-backend", choices=ENGINES, default="loky",
                        help="where the processes run: on this machine (loky, the default) or on a cluster")
    return parser


if __name__ == "__main__":
    sys.exit(main())
