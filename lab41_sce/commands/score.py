"""Score separated voices in files against the true voices.

    python -m lab41_sce.score MIXTURES REFERENCES VOICES --out scores.csv

compares VOICES/talk_1.wav, VOICES/talk_2.wav, ... (as `lab41_sce.separate` writes them, in any order) with
REFERENCES/talk_1.wav, ... and MIXTURES/talk.wav. scores.csv has the columns mixture, speakers, metric, value (dB) and
checksum. Mixtures whose scores it contains are skipped, unless the checksum of their files has changed.
"""

import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.command_line import Parser, command
from lab41_sce.errors import UserError
from lab41_sce.evaluation.folder_scoring import mean_scores, score_files
from lab41_sce.process_pool import ENGINES
from lab41_sce.separation.output_paths import list_recordings


@command("interrupted: the scores so far are saved; run the same command again to continue")
def main(arguments: Sequence[str] | None = None) -> int:
    """Score the voices of a folder and print the mean scores.

    Args:
        arguments: command line without the program; None uses that of this process.

    Returns:
        Exit status: 0, or 1 if a mixture could not be scored, after one error message for each.
    """
    parser = Parser("lab41-sce score", description=__doc__.splitlines()[0])
    parser.add_argument("mixtures", type=Path, nargs="+", metavar="MIXTURES", help="folder of the mixtures (or files)")
    parser.add_argument("references", type=Path, metavar="REFERENCES", help="folder of the true voices")
    parser.add_argument("voices", type=Path, metavar="VOICES", help="folder of the separated voices")
    parser.add_argument("--out", type=Path, default=Path("scores.csv"), metavar="CSV",
                        help="table to write, or to add to (default: scores.csv)")
    parser.add_argument("--jobs", type=int, default=-1, metavar="N", help="number of processes (default: one per core)")
    parser.add_argument("--parallel-backend", choices=ENGINES, default="loky",
                        help="where the processes run: on this machine (loky, the default) or on a cluster")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    if options.jobs < -1 or options.jobs == 0:
        raise UserError(f"--jobs {options.jobs} is not possible; give a number of processes, or -1 (one per core).")
    errors = score_files(list_recordings(options.mixtures), options.references, options.voices, options.out,
                         options.parallel_backend, options.jobs)
    for message in errors:
        print(f"error: {message}", file=sys.stderr)
    for row in mean_scores(options.out).itertuples():
        limits = "" if math.isnan(row.low) else f" [{row.low:.1f}, {row.high:.1f}]"
        print(f"{row.metric:8} {row.mean:6.1f} dB{limits}, {row.n:.0f} mixture{'s' if row.n > 1 else ''}")
    return int(bool(errors))
