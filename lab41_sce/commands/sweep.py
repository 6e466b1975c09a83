"""Collect the runs of a sweep in one table, with the best run first.

    python -m lab41_sce.sweep runs/two_speaker_embedded

after `python -m lab41_sce.experiment -m +exp=two_speaker seed=0,1,2` prints one row for each run in the folder and
each of its systems, without the unprocessed mixture and the oracles: the settings that differ, and the SDR
improvement by kind of mixture with its interval. A second table has the mean and the standard deviation over runs that
differ only in the seed. The command also writes sweep.csv, sweep_seeds.csv and sweep.md into the folder.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.atomic_write import lock, write_csv, write_text
from lab41_sce.command_line import Parser, command


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Print and write the table of a sweep.

    Args:
        arguments: command line without the program; None uses that of this process.

    Returns:
        Exit status: 0, or 1 after one error message.
    """
    parser = Parser("lab41-sce sweep", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the sweep, such as runs/two_speaker_embedded")
    options = parser.parse_args(arguments)
    from lab41_sce.reporting import sweep, tables  # pandas is not needed for the help

    scores, unfinished = sweep.collect(options.folder)
    text, over_seeds = tables.markdown(sweep.table(scores)), sweep.over_seeds(options.folder, scores)
    if over_seeds is not None:
        text += ("\n\nMean ± standard deviation over seeds, on the same mixtures:\n\n"
                 + tables.markdown(sweep.seeds_table(over_seeds)))
    with lock(options.folder / ".sweep.lock", f"another process writes the table of {options.folder}; repeat the "
              "command when it has finished."):
        write_csv(sweep.without_formulas(scores), options.folder / "sweep.csv")
        if over_seeds is not None:
            write_csv(sweep.without_formulas(over_seeds), options.folder / "sweep_seeds.csv")
        write_text(options.folder / "sweep.md", text + "\n")
    if alone := sweep.without_mixtures(options.folder, scores):
        print(f"no mean over seeds with {', '.join(alone)}: evaluation.csv is missing there", file=sys.stderr)
    if unfinished:
        print(f"without scores yet: {', '.join(unfinished)}", file=sys.stderr)
    print(text)
    return 0
