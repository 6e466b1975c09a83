"""Entry of `python -m lab41_sce.sweep`; the command is in `commands/sweep.py`."""

import sys

from lab41_sce.commands.sweep import main

if __name__ == "__main__":
    sys.exit(main())
