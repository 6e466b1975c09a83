"""Decide the article's first claim again from the kept scores of every mixture; writes `claim.md`.

    python tools/model/judge_first_claim.py results/comparisons/figure6/claim.md \
        results/comparisons/librispeech/evaluation.csv \
        results/comparisons/figure6/repeated/seed_? results/comparisons/figure6/seed_2

Each folder has the `mixtures.csv.gz` of one training, which `keep_results.py --mixtures` wrote. The intervals cover
other speakers and, with several folders, other trainings.
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
    parser.add_argument("out", type=Path, help="claim.md, to write")
    parser.add_argument("evaluation", type=Path, help="evaluation.csv of the mixtures")
    parser.add_argument("folders", type=Path, nargs="+", help="folders with mixtures.csv.gz, one for each seed")
    options = parser.parse_args()
    mixtures = pd.read_csv(options.evaluation, dtype={"speaker_1": str, "speaker_2": str})
    claim = judge_against_deep_clustering([pd.read_csv(folder / "mixtures.csv.gz") for folder in options.folders],
                                          mixtures)
    write_text(options.out, f"{claim.title}: {claim.verdict}\n\n{claim.reason}\n\n{markdown(claim.table)}\n")


if __name__ == "__main__":
    main()
