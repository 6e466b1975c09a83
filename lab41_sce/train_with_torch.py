"""Entry of `python -m lab41_sce.train_with_torch` (`commands/train_with_torch.py`)."""

import sys

from lab41_sce.commands.train_with_torch import main

if __name__ == "__main__":
    sys.exit(main())
