"""Entry of `python -m lab41_sce.experiment` (`commands/experiment.py`, which takes seconds to import)."""

import sys

from lab41_sce.commands.experiment_help import HELP, experiment_help

if __name__ == "__main__":
    if sys.argv[1:] in HELP:
        print(experiment_help())
    else:
        from lab41_sce.commands.experiment import main

        sys.exit(main())
