"""Let `python -m lab41_sce.article` write the report."""

import sys

from lab41_sce.article.report import main

if __name__ == "__main__":
    sys.exit(main())
