"""Every benchmark runs, and the table holds its measurements beside those of an earlier version."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="an installed package has no benchmarks")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def bench(folder, *arguments):
    subprocess.run([sys.executable, "-m", "benchmarks", folder, "--quick", *arguments], check=True, cwd=ROOT)
    return pd.read_csv(folder / "summary.csv")


def test_measurements_are_compared_with_earlier_ones():
    from benchmarks.__main__ import merge

    columns = ["name", "value", "unit"]
    measured = [pd.DataFrame([("speed", value, "1/s"), ("new", 7.0, "s")], columns=columns)
                for value in (3.0, 9.0, 4.0)]
    earlier = [pd.DataFrame([("speed", value, "1/s"), ("old", 1.0, "s")], columns=columns) for value in (1.0, 3.0)]
    table = merge(measured, earlier).set_index("name")
    assert table.index.to_list() == ["speed", "new"]
    assert table.loc["speed", ["value", "reference", "ratio"]].to_list() == [4, 2, 2]
    assert table.loc["new", "value"] == 7 and table.loc["new", ["reference", "ratio"]].isna().all()


def test_a_part_may_bring_its_own_reference(tmp_path, monkeypatch):
    from benchmarks import __main__ as bench_command

    row = pd.DataFrame([("input", 8.0, "1/s", 2.0, 4.0)], columns=["name", "value", "unit", "reference", "ratio"])
    monkeypatch.setattr(bench_command, "run_part", lambda *_: row)
    monkeypatch.setattr(sys, "argv", ["bench", str(tmp_path), "--parts", "reference"])
    bench_command.main()
    assert pd.read_csv(tmp_path / "summary.csv").loc[0, ["value", "reference", "ratio"]].to_list() == [8, 2, 4]


@pytest.mark.slow
def test_input_and_scoring_are_measured_beside_the_reference_commit(tmp_path):
    from benchmarks.reference import BEFORE

    if subprocess.run(["git", "cat-file", "-e", BEFORE], cwd=ROOT, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("the clone lacks the reference commit")
    out = tmp_path / "out.csv"
    subprocess.run([sys.executable, "-m", "benchmarks.reference", out, "--rows", "input", "scoring", "--quick"],
                   check=True, cwd=ROOT)
    table = pd.read_csv(out).set_index("name")
    assert table.index.to_list() == ["input from a store", "scoring six systems"] and (table["value"] > 0).all()
    assert table.loc["scoring six systems", "ratio"] > 3


def test_measured_rows_replace_earlier_ones(tmp_path):
    from benchmarks.__main__ import merge, write

    for rows in ([("a", 1.0, "s"), ("b", 2.0, "s")], [("b", 3.0, "s")]):
        text = write(tmp_path, merge([pd.DataFrame(rows, columns=["name", "value", "unit"])], []))
    table = pd.read_csv(tmp_path / "summary.csv")
    assert table.columns.to_list() == ["name", "value", "unit", "reference", "ratio"]
    assert table["name"].to_list() == ["a", "b"] and table["value"].to_list() == [1, 3]
    assert text == (tmp_path / "table.md").read_text() and "| b | 3 | s |\n" in text
    assert (tmp_path / "machine.json").exists()


@pytest.mark.slow
def test_an_earlier_commit_is_measured_beside(tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    (repository / "benchmarks").mkdir(parents=True)
    (repository / "benchmarks" / "peers.py").write_text(
        "import sys\nprint('name,value,unit\\nspeed,4,1/s', file=open(sys.argv[1], 'w'))")
    git = ["git", "-C", str(repository), "-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    from benchmarks import __main__ as bench_command

    monkeypatch.setattr(bench_command, "ROOT", repository)
    with bench_command.checkout("HEAD") as root:
        assert bench_command.run_part("peers", True, root).to_numpy().tolist() == [["speed", 4, "1/s"]]
    assert not root.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("part", "expected"), [
    ("training", ["matrix peak", "update on ready data", "share of the update's rate", "training frames/s",
                  "mixtures alone", "deterministic=true"]),
    ("separation", ["mixtures/s", "command: separate --help"]),
    ("lengths", ["peak memory", "times real time", "CPU seconds"]),
    ("corpus", ["indexing 100 utterances, first", "from memory", "from a store", "not in memory", "peak memory",
                "the first batch", "making a store"]),
    ("peers", ["lab41_sce, the shipped model, separation of 1 s"]),
    ("losses", ["loss of sce", "loss of deep clustering", "loss of recurrent mask", "speaker vectors alone",
                "whole update"])])
def test_every_part_measures(part, expected, tmp_path):
    table = bench(tmp_path, "--parts", part)
    described = table["name"] + " " + table["unit"]
    missing = [words for words in expected if not described.str.contains(words, regex=False).any()]
    assert not missing and (table["value"] > 0).all() and table["name"].is_unique
    if part == "separation":
        from benchmarks.separation import STAGES

        shares = set(table["name"].str.extract("share of (.*)")[0].dropna())
        assert shares == {*STAGES.values(), "writing", "the rest"}
        assert table.loc[table["name"].str.contains("share of"), "value"].sum() == pytest.approx(1, abs=1e-2)


def test_every_stage_is_a_function_of_the_package():
    from benchmarks.separation import STAGES

    assert all(callable(pkgutil.resolve_name(f"lab41_sce.{name}")) for name in STAGES)


def test_the_estimate_follows_its_model():
    from benchmarks.full_scale import estimate, gpu_seconds

    table = pd.DataFrame({"name": ["article's network, 100 x 40 frames: an update", "other, 1 x 40 frames: an update",
                                   "article's network, 20 x 40 frames: an update"], "value": [200.0, 1.0, 100.0]})
    gpu = gpu_seconds(table)
    assert gpu == ([20, 100], [0.1, 0.2])
    measured = {"frames of an excerpt": 41.0, "weights": 1e9, "a validation": 9.0,
                "input of one process, from a store": 1025.0}  # four for each GPU
    one = estimate(measured, 8.0, gpu, 1, 60)
    assert (one["GPU, ms"], one["input, ms"]) == pytest.approx((150, 600)) and one["update, ms"] == one["input, ms"]
    assert one["in all, hours"] == pytest.approx((92_000 * 0.6 + 184 * 9) / 3600)
    two = estimate(measured, 8.0, gpu, 2, 40)  # 20 excerpts each; 4 GB of gradients sent and received
    assert two["GPU, ms"] == pytest.approx(100 + 2 * 0.5 * 4e9 / 8e9 * 1000) and two["input, ms"] == pytest.approx(200)
    assert two["excerpts a second"] == pytest.approx(40 / 0.6)


def test_every_benchmark_can_be_imported():
    for path in (ROOT / "benchmarks").glob("[a-z]*.py"):
        if path.stem not in ("gpu", "peers_torch"):  # these need PyTorch
            importlib.import_module(f"benchmarks.{path.stem}")


def test_lengths_can_be_given(monkeypatch, tmp_path):
    from benchmarks import lengths
    from benchmarks.timing import Rows

    def measured(package, options, recording):
        seconds = 1 + soundfile.info(recording).duration / 30
        return {"seconds": seconds, "cpu_seconds": 2 * seconds, "peak_megabytes": 100.0}

    monkeypatch.setattr(lengths.first_voice, "measure", measured)
    rows = Rows(tmp_path)
    lengths.measure(rows, False, [15, 60])
    values = {name: value for name, value, _ in rows}
    assert values["separation of 15 s"] == 1.5 and values["separation of 60 s: speed"] == 20
    assert values["separation, from 15 to 60 s: each further minute"] == 2
    assert values["separation, from 15 to 60 s: CPU seconds of a minute"] == 4


def test_variants_are_compared_by_the_medians_of_their_processes():
    from benchmarks.turns import comparison

    rows = pd.DataFrame([{"case": "1", "variant": variant, "seconds": seconds, "checksum": 2.0}
                         for variant, figures in {"old": (4.0, 9.0, 5.0), "new": (2.0, 1.0, 8.0)}.items()
                         for seconds in figures])
    table = comparison(rows, {"1": "masks of 1 s"}, ("old", "new"), {"seconds": "s"})
    assert table.to_dict("records") == [
        {"name": "masks of 1 s: seconds", "value": 2.0, "unit": "s", "reference": 5.0, "ratio": 0.4}]
    rows.loc[rows["variant"] == "new", "checksum"] = 2.1
    with pytest.raises(RuntimeError, match="the results of masks of 1 s differ: 2.1 and 2.0"):
        comparison(rows, {"1": "masks of 1 s"}, ("old", "new"), {"seconds": "s"})
