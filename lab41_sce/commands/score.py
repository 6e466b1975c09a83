"""Score separated voices in files against the true voices.

    lab41-sce score MIXTURES REFERENCES VOICES --out scores.csv
    lab41-sce score test/mix_clean test/s1 test/s2 VOICES --out scores.csv --report scores

The first call compares VOICES/talk_1.wav, VOICES/talk_2.wav, ... (as `lab41-sce separate` writes them, in any order)
with REFERENCES/talk_1.wav, ... and MIXTURES/talk.wav. The second has a folder for each source, as LibriMix and
WSJ0-2mix do, and VOICES/s1/talk.wav, ... or VOICES/talk_1.wav, ... scores.csv has the columns mixture, speakers,
metric, value and checksum. Mixtures whose scores it contains are skipped, unless the checksum of their files has
changed.
"""

import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab41_sce.command_line import Parser, command
from lab41_sce.errors import UserError
from lab41_sce.evaluation.definitions import ALL_METRICS, ENERGY_METRICS, digits, unit
from lab41_sce.printable import printable
from lab41_sce.process_pool import ENGINES


@command("interrupted: the scores so far are saved; run the same command again to continue")
def main(arguments: Sequence[str] | None = None) -> int:
    """Score the voices of a folder and print the mean scores.

    Args:
        arguments: command line without the program; None uses that of this process.

    Returns:
        Exit status: 0, or 1 if a mixture could not be scored, after one error message for each.
    """
    parser = Parser(
        "lab41-sce score", description=__doc__.splitlines()[0],
        usage="lab41-sce score [options] MIXTURES REFERENCES VOICES\n"
              "       lab41-sce score [options] MIXTURES S1 S2 ... VOICES")
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH",
                        help="folder of the mixtures (or files), folder of the true voices NAME_1.wav, ... or one "
                             "folder for each source, folder of the separated voices; a quoted pattern such as 's*' "
                             "stands for the folders that match it")
    parser.add_argument("--out", type=Path, default=Path("scores.csv"), metavar="CSV",
                        help="table to write, or to add to (default: scores.csv)")
    parser.add_argument("--metrics", nargs="+", choices=ALL_METRICS, default=ENERGY_METRICS, metavar="METRIC",
                        help=f"of {', '.join(ALL_METRICS)} (default: {' '.join(ENERGY_METRICS)})")
    parser.add_argument("--baseline", type=Path, metavar="VOICES",
                        help="folder of the voices of another system, scored into a second table (OUT_baseline.csv)")
    parser.add_argument("--report", type=Path, metavar="FOLDER",
                        help="folder for summary.csv, differences.csv, not_scored.csv, table.md and table.tex")
    parser.add_argument("--jobs", type=int, default=-1, metavar="N", help="number of processes (default: one per core)")
    parser.add_argument("--parallel-backend", choices=ENGINES, default="loky",
                        help="where the processes run: on this machine (loky, the default) or on a cluster")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    if options.jobs < -1 or options.jobs == 0:
        raise UserError(f"--jobs {options.jobs} is not possible; give a number of processes, or -1 (one per core).")
    if len(options.paths) < 3:
        parser.error("give mixtures, references and voices")
    from lab41_sce.evaluation.folder_layout import find_layout  # pandas and mir_eval are not needed for the help
    from lab41_sce.evaluation.folder_scoring import score_files
    from lab41_sce.reporting.score_report import ScoredSystem, write_score_report

    if options.out.is_dir():
        raise UserError(f"--out {options.out} is a folder; give the name of a table, such as scores.csv.")
    if options.baseline and not options.baseline.is_dir():
        raise UserError(f"--baseline {options.baseline} is no folder; give the folder of the voices of another system.")
    mixtures, layout = find_layout(options.paths)
    layouts = {options.out: layout}
    if options.baseline:
        table = options.out.with_stem(f"{options.out.stem}_baseline")
        layouts[table] = replace(layout, voices=options.baseline.absolute())
    names = [of_system.voices.name for of_system in layouts.values()]
    if len(names) > len(set(names)):  # folders with the same name
        names = [f"{name} {number}" for number, name in enumerate(names, start=1)]
    systems = []
    for name, (table, of_system) in zip(names, layouts.items(), strict=True):
        errors = score_files(mixtures, of_system, table, options.metrics, options.parallel_backend, options.jobs)
        systems.append(ScoredSystem(name, table, [mixture.name for mixture in mixtures], errors))
        _print(systems[-1], options.baseline is not None)
    if options.report:
        write_score_report(options.report, systems)
    return int(any(system.errors for system in systems))


def _print(system: Any, with_name: bool) -> None:
    """Print errors, counts and mean scores of a `ScoredSystem`."""
    from lab41_sce.evaluation.folder_means import count_others, mean_scores
    from lab41_sce.reporting.score_report import voices_sentence

    for message in system.errors.values():
        print(f"error: {printable(message)}", file=sys.stderr)
    if system.errors:
        print(f"{len(system.errors)} of {len(system.mixtures)} mixtures are not scored, for the reasons above.",
              file=sys.stderr)
    if n_others := count_others(system.table, system.mixtures):
        mixtures = "other mixture, which does" if n_others == 1 else "other mixtures, which do"
        print(f"{system.table} has {n_others} {mixtures} not count in these means.", file=sys.stderr)
    if sentence := voices_sentence(system):
        print(sentence, file=sys.stderr)
    if with_name:
        print(f"{system.name}:")
    for row in mean_scores(system.table, system.scored).itertuples():
        mean, low, high = (f"{value:.{digits(row.metric)}f}" for value in (row.mean, row.low, row.high))
        limits = "" if math.isnan(row.low) else f" [{low}, {high}]"  # one mixture has no interval
        print(f"{row.metric:8} {mean:>6} {unit(row.metric):2}{limits}, {row.n:.0f} mixture{'s' if row.n > 1 else ''}")
