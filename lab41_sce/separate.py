"""Run `lab41-sce separate` as `python -m lab41_sce.separate`."""

import sys

from lab41_sce.commands.separate import main

if __name__ == "__main__":
    sys.exit(main())
