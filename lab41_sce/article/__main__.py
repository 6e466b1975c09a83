"""Write a report on the article from runs: what was run, the figures, and a verdict on each claim.

    python -m lab41_sce.article runs/reproduce [--timing timing.csv] [--ablation RUN] [--noisy RUN]
                                [--seeds RUN ...] [--changed RUN ...] [--article-size RUN] [--out DIR]

writes REPORT.md, report.html (the same text with its pictures inside) and figures/ into DIR, by default RUN/article.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from lab41_sce.command_line import Parser, command


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report and print its paths; return the exit status."""
    parser = Parser("python -m lab41_sce.article", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run with the method sce")
    parser.add_argument("--timing", type=Path, metavar="FILE", help="table that lab41_sce.article.timing wrote")
    parser.add_argument("--ablation", type=Path, metavar="RUN", help="folder of a finished run of +exp=ablation")
    parser.add_argument("--noisy", type=Path, metavar="RUN", help="folder of a finished run of +exp=noisy")
    parser.add_argument("--seeds", type=Path, metavar="RUN", nargs="+", default=[],
                        help="folders of finished runs that differ from the first one only in the seed")
    parser.add_argument("--article-size", type=Path, metavar="RUN",
                        help="folder of a finished run of +exp=article_size, which Figure 6 then shows, too")
    parser.add_argument("--changed", type=Path, metavar="RUN", nargs="+", default=[],
                        help="folders of finished runs that differ from the first one in one choice")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: RUN/article)")
    options = parser.parse_args(arguments)
    from lab41_sce.article.report import write  # loads TensorFlow

    report = write(options.run, options.out or options.run / "article", options.timing, options.ablation,
                   options.noisy, options.seeds, options.changed, options.article_size)
    print(report, report.with_name("report.html"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
