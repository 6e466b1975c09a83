"""`python -m lab41_sce` is the console command `lab41-sce`."""

import sys

from lab41_sce.cli import main

if __name__ == "__main__":
    sys.exit(main())
