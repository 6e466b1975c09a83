"""Means of a run against expected means."""

import re

import pandas as pd
import pytest

from lab41_sce.runs import reproduction

ROWS = [("sce", "unseen", "All", "SDRi", 4.0), ("sce_oracle_centroids", "unseen", "All", "SDRi", 5.0),
        ("pretrained", "unseen", "All", "SDRi", 8.0), ("sce", "unseen", "FM", "SDRi", 6.0),
        ("sce", "unseen", "All", "SAR", 9.0)]


@pytest.fixture
def run(tmp_path):
    summary = pd.DataFrame(ROWS, columns=[*reproduction.KEYS, "mean"])
    summary.to_csv(tmp_path / "summary.csv", index=False)
    pd.DataFrame({"system": ["sce", "pretrained"], "updates": [800, None]}).to_csv(tmp_path / "systems.csv",
                                                                                   index=False)
    assert reproduction.main([str(tmp_path), str(tmp_path / "expected.csv"), "--write"]) == 0
    return tmp_path, summary


def test_a_trained_system_has_the_larger_tolerance(run):
    table = pd.read_csv(run[0] / "expected.csv").set_index("system")
    assert table["tolerance"].to_dict() == {"pretrained": 0.05, "sce": 1.0, "sce_oracle_centroids": 1.0}
    assert table["mean"].to_dict() == {"pretrained": 8.0, "sce": 4.0, "sce_oracle_centroids": 5.0}


@pytest.mark.parametrize("system, change, difference", [
    ("sce", 0.9, None), ("sce", -1.1, "sce, unseen, All: SDRi 2.90 dB, expected 4.00 within 1"),
    ("pretrained", 0.04, None), ("pretrained", 0.06, "pretrained, unseen, All: SDRi 8.06 dB"),
    ("sce", float("nan"), "SDRi nan dB")])
def test_a_mean_beyond_its_tolerance_is_named(run, system, change, difference, capsys):
    folder, summary = run
    summary.loc[summary["system"] == system, "mean"] += change
    summary.to_csv(folder / "summary.csv", index=False)
    assert reproduction.main([str(folder), str(folder / "expected.csv")]) == (difference is not None)
    printed = capsys.readouterr().out
    if difference:
        assert printed.startswith("differs: ") and difference in printed
    else:
        assert printed.startswith("reproduced: 3 means")


def test_a_system_that_is_missing_is_named(run, capsys):
    folder, summary = run
    summary[summary["system"] != "sce_oracle_centroids"].to_csv(folder / "summary.csv", index=False)
    assert reproduction.main([str(folder), str(folder / "expected.csv")]) == 1
    assert "sce_oracle_centroids, unseen, All: SDRi is missing" in capsys.readouterr().out


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert reproduction.main([str(tmp_path), str(tmp_path / "expected.csv")]) == 1
    assert "give a finished run" in capsys.readouterr().err


def test_the_old_names_of_systems_are_compared_under_the_new_ones(run, capsys):
    folder, summary = run
    summary["system"] = summary["system"].str.replace("oracle_centroids", "true_centres")
    summary.to_csv(folder / "summary.csv", index=False)
    assert reproduction.main([str(folder), str(folder / "expected.csv")]) == 0
    assert capsys.readouterr().out.startswith("reproduced: 3 means")


@pytest.mark.parametrize(("change", "wanted"), [
    (lambda table: table[:0], "expected.csv has no rows"),
    (lambda table: table.assign(mean=float("nan")), "a tolerance that is no finite number .*system pretrained"),
    (lambda table: table.assign(tolerance=float("inf")), "a mean or a tolerance that is no finite number"),
    (lambda table: table.assign(mean="good"), "expected.csv cannot be read as a table"),
    (lambda table: table.drop(columns=["mean", "tolerance"]), "expected.csv lacks mean, tolerance"),
    (lambda table: pd.concat([table, table[:1]]), "more than one mean of pretrained, unseen, All, SDRi"),
])
def test_expected_means_that_cannot_be_compared_are_an_error(run, capsys, change, wanted):
    folder, _ = run
    path = folder / "expected.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)
    assert reproduction.main([str(folder), str(path)]) == 1
    printed = capsys.readouterr()
    assert re.search(wanted, printed.err) and not printed.out


@pytest.mark.parametrize(("change", "wanted"), [
    (lambda table: table[:0], "summary.csv has no rows"),
    (lambda table: table.drop(columns="mean"), "summary.csv lacks mean"),
    (lambda table: pd.concat([table, table]), "summary.csv has more than one mean of sce, unseen, All, SDRi"),
])
@pytest.mark.parametrize("write", [[], ["--write"]])
def test_a_run_without_usable_means_is_an_error(run, capsys, change, wanted, write):
    folder, summary = run
    change(summary).to_csv(folder / "summary.csv", index=False)
    before = (folder / "expected.csv").read_bytes()
    assert reproduction.main([str(folder), str(folder / "expected.csv"), *write]) == 1
    assert wanted in capsys.readouterr().err and (folder / "expected.csv").read_bytes() == before


@pytest.mark.parametrize("change", [lambda table: table[table["metric"] == "SAR"],
                                    lambda table: table.assign(mean=float("nan"))])
def test_nothing_is_expected_of_a_run_without_the_means_to_expect(run, capsys, change):
    folder, summary = run
    change(summary).to_csv(folder / "summary.csv", index=False)
    assert reproduction.main([str(folder), str(folder / "expected.csv"), "--write"]) == 1
    assert "the run has no SDRi of the kind All, or one that is no finite number" in capsys.readouterr().err
