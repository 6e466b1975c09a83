"""Decide the article's first claim again from the kept scores of every mixture; writes `claim.md`.

    python tools/model/judge_first_claim.py results/comparisons/figure6/seed_2 \
        results/comparisons/librispeech/evaluation.csv

The folder has `mixtures.csv.gz`, which `keep_results.py --mixtures` wrote. The intervals cover other speakers.
"""

import argparse
from pathlib import Path

import pandas as pd

from lab41_sce.article.score_claims import judge_against_deep_clustering
from lab41_sce.atomic_write import write_text
from lab41_sce.reporting.tables import markdown


def main() -> None:
    """Judge, then write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with mixtures.csv.gz; gets claim.md")
    parser.add_argument("evaluation", type=Path, help="evaluation.csv of these mixtures")
    options = parser.parse_args()
    mixtures = pd.read_csv(options.evaluation, dtype={"speaker_1": str, "speaker_2": str})
    claim = judge_against_deep_clustering([pd.read_csv(options.folder / "mixtures.csv.gz")], mixtures)
    write_text(options.folder / "claim.md", f"{claim.title}: {claim.verdict}\n\n{claim.reason}\n\n"
                                            f"{markdown(claim.table)}\n")


if __name__ == "__main__":
    main()
