"""`tools/bench.py`: every part runs, and its table says what it measured and against what."""

import importlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

TOOLS = Path(__file__).parents[2] / "tools"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not TOOLS.exists(), reason="an installed package has no tools")]


def bench(folder, *arguments):
    subprocess.run([sys.executable, TOOLS / "bench.py", folder, "--quick", *arguments], check=True, capture_output=True)
    return pd.read_csv(folder / "summary.csv")


def test_figures_are_compared_with_earlier_ones(tmp_path):
    parts = ["--parts", "corpus"]
    before = bench(tmp_path / "before", *parts)
    assert before.columns.to_list() == ["name", "value", "unit", "reference", "ratio"]
    assert before["reference"].isna().all() and (before["value"] > 0).all() and before["name"].is_unique
    before.loc[0, "value"] *= 2
    before.iloc[:-1].to_csv(tmp_path / "before.csv", index=False)
    after = bench(tmp_path / "after", *parts, "--before", tmp_path / "before.csv")
    assert after["name"].to_list() == before["name"].to_list()
    pd.testing.assert_series_equal(after["reference"][:-1], before["value"][:-1], check_names=False)
    assert pd.isna(after["ratio"].iloc[-1])
    assert after["ratio"].iloc[0] == pytest.approx(after["value"].iloc[0] / before["value"].iloc[0], abs=1e-3)
    assert "| ratio |" in (tmp_path / "after" / "table.md").read_text()
    assert (tmp_path / "after" / "machine.json").exists()


def test_an_earlier_checkout_is_measured_beside(tmp_path):
    (tmp_path / "old" / "tools").mkdir(parents=True)
    (tmp_path / "old" / "tools" / "bench_corpus.py").write_text(
        "import sys\nprint('name,value,unit\\n\"indexing 100 utterances, first\",4,s', file=open(sys.argv[1], 'w'))")
    table = bench(tmp_path / "now", "--parts", "corpus", "--before", tmp_path / "old").set_index("name")
    assert table["reference"].dropna().to_dict() == {"indexing 100 utterances, first": 4.0}


@pytest.mark.parametrize(("part", "wanted"), [
    ("training", ["matrix peak", "update on ready data", "share of the update's rate", "training frames/s",
                  "mixtures alone"]),
    ("separation", ["peak memory", "times real time", "share of hidden layers", "share of writing"]),
    ("store", ["from memory", "from a store", "not in memory", "peak memory", "the first batch", "times real time"]),
    ("scoring", ["mixtures/s"]), ("peers", ["lab41_sce, the shipped model, separation of 1 s"]),
    ("losses", ["loss of sce", "loss of deep clustering", "loss of recurrent mask"]), ("start", ["separate --help"])])
def test_every_part_measures(monkeypatch, part, wanted):
    monkeypatch.syspath_prepend(TOOLS)
    rows = importlib.import_module("bench").Rows()
    importlib.import_module(f"bench_{part}").measure(rows, quick=True)
    table = pd.DataFrame(rows, columns=["name", "value", "unit"])
    described = table["name"] + " " + table["unit"]
    assert all(described.str.contains(words, regex=False).any() for words in wanted) and (table["value"] > 0).all()
    shares = table[table["name"].str.contains("separation of .* share of")]
    assert part != "separation" or shares["value"].sum() == pytest.approx(1, abs=1e-2)
