"""Copy the small files of a run into `results/`, to be committed: tables, settings, versions, command and pictures.

    python tools/model/keep_results.py runs/compare_librispeech results/comparisons/librispeech

With `--mixtures`, the scores of every mixture are kept as `mixtures.csv.gz`, with four decimals: the claims can be
decided again from them.

The folder of the corpus becomes $LIBRISPEECH and that of the run runs/NAME, so that no path of a machine is committed.
`splits.csv` is copied only if `results/` does not contain the same file yet.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
import yaml

from lab41_sce.reporting import figures
from lab41_sce.runs.versions import redact_paths

RESULTS = Path(__file__).parents[2] / "results"
TEXTS = ("summary.csv", "differences.csv", "systems.csv", "table.md", "history.csv", "splits.csv", "evaluation.csv",
         "config.yaml", "benchmark.json", "version.json")


def main() -> None:
    """Copy, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("results", type=Path, help="folder to write to")
    parser.add_argument("--mixtures", action="store_true", help="keep the scores of every mixture, too")
    options = parser.parse_args()
    run, results = options.run, options.results
    settings = run / "config.yaml"  # a benchmark has none
    config = (yaml.safe_load(settings.read_text("utf-8")) if settings.exists()
              else {"run_dir": run, "corpus": {"root": ""}})
    results.mkdir(parents=True, exist_ok=True)
    present = [name for name in TEXTS if (run / name).exists()]  # some runs train or score nothing
    for name in present:
        text = redact_paths((run / name).read_text("utf-8"), config, run)
        if name == "splits.csv" and any(kept.read_text("utf-8") == text for kept in RESULTS.rglob(name)):
            continue
        (results / name).write_text(text, "utf-8")
    version = json.loads((results / "version.json").read_text("utf-8"))
    commands = [start["command"] for start in (version, *version.get("resumed", [])) if "command" in start]
    (results / "command.txt").write_text("".join(f"{command}\n" for command in dict.fromkeys(commands)), "utf-8")
    if options.mixtures:  # without a time in the file: the same scores are the same bytes
        scores = pd.read_csv(run / "mixtures.csv", dtype={"mixture": str}).round(4)
        scores.to_csv(results / "mixtures.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})
    if "summary.csv" in present:
        figures.save(figures.scores(pd.read_csv(results / "summary.csv")), results / "scores.png")
    if "history.csv" in present:
        figures.save(figures.training_curves(pd.read_csv(results / "history.csv")), results / "training.png")


if __name__ == "__main__":
    main()
