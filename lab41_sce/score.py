"""Entry of `python -m lab41_sce.score`; the command is in `commands/score.py`."""

import sys

from lab41_sce.commands.score import main

if __name__ == "__main__":
    sys.exit(main())
