"""The cost of a choice is the difference of two runs on the same mixtures."""

import pandas as pd
import pytest
from made_runs import make_run, write_run
from test_score_claims import mixture_list, mixture_scores, summary

from lab41_sce.article.__main__ import main
from lab41_sce.article.changes import measured_costs


def changed_run(folder, sce_db, *overrides, **tables):
    """Write a run whose method has another mean; `make_run` gives the main run 5.5 dB."""
    scores = {"summary.csv": summary({"All": sce_db}, "sce"),
              "differences.csv": summary({"All": -1.0}, "deep_clustering"),
              "mixtures.csv": mixture_scores({"deep_clustering": 4.0, "sce": sce_db})}
    return write_run(folder, scores | tables, *overrides)


def test_costs_are_differences_of_the_methods(tiny_model, tmp_path):
    run = make_run(tmp_path / "main", tiny_model)
    others = [changed_run(tmp_path / "1", 4.5, "front_end.compression=sqrt", "front_end.scaling=min_max",
                          "~method@others.deep_clustering", "name=other_name"),  # neither is compared
              changed_run(tmp_path / "2", 5.75, "corpus.subsets=[train-clean-5]")]
    # More mixtures of known speakers, before those of the unseen ones, do not matter.
    more = pd.concat([mixture_list(split="in-set"), mixture_list()])
    more.to_csv(others[1] / "evaluation.csv", index=False)
    rows = measured_costs(run, others).rows
    assert [row[0] for row in rows] == [
        "front_end.compression=sqrt instead of log, front_end.scaling=min_max instead of standard",
        "corpus.subsets=['train-clean-5'] instead of ['train-clean-5', 'train-clean-100']"]
    assert rows[0][1].startswith("4.5 [") and rows[0][2] == "-1.0 [-1.0, -1.0]"
    assert rows[1][1].startswith("5.8 [") and rows[1][2].startswith("+0.2 [")


@pytest.mark.slow
def test_the_report_shows_the_costs(tiny_model, tmp_path, capsys):
    run = make_run(tmp_path / "main", tiny_model)
    assert main([str(run)]) == 0
    without = (run / "article" / "REPORT.md").read_text()
    assert "`--changed RUN`" in without
    other = changed_run(tmp_path / "1", 4.5, "front_end.compression=sqrt")
    assert main([str(run), "--changed", str(other)]) == 0
    text = (run / "article" / "REPORT.md").read_text()
    section = text.split("## Differences from the original")[1].split("\n## ")[0]
    assert "front_end.compression=sqrt instead of log" in section and "-1.0 [-1.0, -1.0]" in section
    assert "`--changed RUN`" not in text and "| change 1 " in text
    capsys.readouterr()


@pytest.mark.parametrize(("overrides", "n", "wanted"), [
    ([], 20, "has the settings of"), (["~method@others.deep_clustering"], 20, "has the settings of"),
    (["front_end.compression=sqrt"], 19, "different mixtures of unseen speakers")])
def test_runs_that_cannot_be_compared_are_refused(tiny_model, tmp_path, overrides, n, wanted, capsys):
    run = make_run(tmp_path / "main", tiny_model)
    other = changed_run(tmp_path / "1", 4.5, *overrides, **{"evaluation.csv": mixture_list(n)})
    assert main([str(run), "--changed", str(other)]) == 1
    assert wanted in capsys.readouterr().err and not (run / "article").exists()
