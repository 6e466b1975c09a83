"""`lab41-sce export-mixtures`: the evaluation mixtures of a run become files that any separator can read.

    lab41-sce export-mixtures runs/reproduce mixtures
    lab41-sce score mixtures/unseen/mix 'mixtures/unseen/s*' VOICES
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.command_line import Parser, command


@command("interrupted: the files so far are kept; repeat the command to continue")
def main(arguments: Sequence[str] | None = None) -> int:
    """Export the mixtures of a run.

    Args:
        arguments: of the command line; those of the process if None.

    Returns:
        The exit status: 0 if all files are in place, 1 after an error, 130 after an interruption.
    """
    parser = Parser(
        "lab41-sce export-mixtures", description="Write the evaluation mixtures of a run, their sources and their "
        "noise as WAV files, in the layout of LibriMix: DIR/SPLIT/mix, s1, s2, ... and noise.",
        epilog="Repeat an interrupted command to continue. Exit status: 0 complete, 1 error, 2 wrong arguments, "
               "130 interrupted.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder for the files")
    parser.add_argument("--encoding", choices=("float", "16"), default="float",
                        help="float: the samples that the run was scored on (the default); 16: 16 bits, each mixture "
                             "at its own level; in both, the mixture is exactly the sum of its sources and its noise")
    options = parser.parse_args(arguments)
    from lab41_sce.runs.export_mixtures import export_mixtures  # TensorFlow is not needed for the help

    n_mixtures, n_kept = export_mixtures(options.run, options.folder, options.encoding)
    print(f"{options.folder}: {n_mixtures} mixtures" + (f", {n_kept} of them were there already" if n_kept else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
