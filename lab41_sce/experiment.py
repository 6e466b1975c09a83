"""Entry of `python -m lab41_sce.experiment` (`commands/experiment.py`)."""

import sys

from lab41_sce.commands.experiment import main

if __name__ == "__main__":
    sys.exit(main())
