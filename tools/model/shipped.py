"""Helpers of the tools that score the shipped model: command line, speech of a split, summary."""

import argparse
import copy
from pathlib import Path
from typing import Any

import pandas as pd

from lab41_sce.atomic_write import write_text
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.speech import Speech
from lab41_sce.pretrained import MODEL
from lab41_sce.reporting import tables
from lab41_sce.runs.run_directory import write_csv
from lab41_sce.separation.separator import Separator

HERE = Path(__file__).parent


def parser(description: str, per_kind: int) -> argparse.ArgumentParser:
    """Return the command line that all have: corpus, folder of the results, split, mixtures of each kind, model."""
    shared = argparse.ArgumentParser(description=description.splitlines()[0])
    shared.add_argument("root", help="LibriSpeech")
    shared.add_argument("results", type=Path, help="folder to write to")
    shared.add_argument("--split", default="unseen", choices=["unseen", "validation"])
    shared.add_argument("--per-kind", type=int, default=per_kind, help="mixtures of each kind")
    shared.add_argument("--model", type=Path, default=MODEL)
    return shared


def utterances(options: argparse.Namespace) -> pd.DataFrame:
    """Return the table of a split, which `splits.csv` beside the model defines; make the folder of the results."""
    folders = [folder for folder in (options.model, *options.model.parents) if (folder / "splits.csv").is_file()]
    splits = pd.read_csv(folders[0] / "splits.csv", dtype=str).query("split == @options.split")
    table = load_corpus(options.root, sorted(splits["subset"].unique()), check="headers")
    options.results.mkdir(parents=True, exist_ok=True)
    return table.merge(splits[["utterance", "split"]], on="utterance")


def load(options: argparse.Namespace, sample_rate_hz: int | None = None) -> tuple[Separator, Speech, pd.DataFrame]:
    """Load the model, and the speech and the table of a split, at the model's rate or another."""
    separator, table = Separator.load(options.model), utterances(options)
    return separator, Speech(table, sample_rate_hz or separator.model.front_end.sample_rate_hz), table


def scored_rows(file: Path, checksum: str) -> list[dict[str, Any]]:
    """Return the rows that an interrupted call wrote to a table; end the program if they are of another model."""
    if not file.exists():
        return []
    table = pd.read_csv(file, dtype={"model": str})
    if "model" not in table or not table["model"].eq(checksum).all():
        raise SystemExit(f"{file} has the scores of another or of an unknown model; delete it, or give another folder.")
    return table.to_dict("records")


def without_mask_network(model: Any) -> Any:
    """Return a model of onnxruntime without its second network: its masks are soft."""
    simple = copy.copy(model)
    simple.mask_network = None
    return simple


def write_summary(summary: pd.DataFrame, results: Path) -> None:
    """Write a table as `summary.csv` and, formatted, as `table.md`; print the latter."""
    write_csv(summary, results / "summary.csv")
    text = tables.markdown(tables.Table([tables.words(name) for name in summary.columns],
                                        [[f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row]
                                         for row in summary.itertuples(index=False)]))
    write_text(results / "table.md", text + "\n")
    print(text)


def write_thresholds(name: str, shares: dict[float, float], results: Path) -> None:
    """Write the share of right decisions with each threshold of the model's attribute `name`; print the best."""
    table = pd.DataFrame({name: shares.keys(), "right": shares.values()}).round(4)
    write_csv(table, results / "thresholds.csv")
    best = max(shares, key=lambda threshold: shares[threshold])
    print(f"the best threshold, {best}, is right in {shares[best]:.1%}")
