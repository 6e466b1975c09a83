"""Numbers become tables of text in reading order, with the same cells in Markdown and in HTML."""

import re

import numpy as np
import pandas as pd
import pytest
from test_report import make_differences, make_summary

from lab41_sce.errors import UserError
from lab41_sce.reporting import tables


def cells(markdown):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in markdown.splitlines()]


def test_scores_have_the_numbers_in_reading_order():
    table = tables.markdown(tables.scores(make_summary()))
    head, rule, *rows = cells(table)
    assert head[:6] == ["split", "system", "SDRi FF", "SDRi FM", "SDRi MM", "SDRi All"]
    assert head[6:] == ["SIRi", "SAR", "SI-SDRi", "n"]
    assert all(re.fullmatch("-+:?", cell) for cell in rule)
    order = ["sce", "pit", "unprocessed", "sce oracle centroids", "ideal binary mask"]
    assert [row[:2] for row in rows] == [[split, name] for split in ("in-set", "unseen") for name in order]
    assert rows[5][2:6] == ["6.3 [5.8, 6.8]", "7.3 [6.8, 7.8]", "8.3 [7.8, 8.8]", "5.3 [4.8, 5.8]"]
    assert rows[5][6:] == ["15.3", "25.3", "35.3", "40"]
    assert rows[2][5] == "0.0 [-0.5, 0.5]"  # -0.04, without the sign
    assert len({len(line) for line in table.splitlines()}) == 1  # aligned for a terminal


def test_scores_rank_each_split_by_its_own_mean():
    summary = make_summary()
    oracle = summary[summary["system"] == "sce_oracle_centroids"]
    summary = pd.concat([summary, oracle.assign(system="pit_oracle_centroids", mean=9.0)])
    better = (summary["system"] == "pit") & (summary["split"] == "unseen") & (summary["kind"] == "All")
    summary.loc[better & (summary["metric"] == "SDRi"), "mean"] = 5.3
    summary.loc[~better & (summary["metric"] == "SDRi") & (summary["system"] == "pit"), "mean"] = 5.2  # in-set, kinds
    mask = summary[summary["system"] == "ideal_binary_mask"]
    summary = pd.concat([mask.assign(system="phase_sensitive_mask"), summary])
    _, _, *rows = cells(tables.markdown(tables.scores(summary)))
    names = [row[1] for row in rows]
    references = ["unprocessed", "pit oracle centroids", "sce oracle centroids", "ideal binary mask",
                  "phase sensitive mask"]
    assert names == ["sce", "pit", *references, "pit", "sce", *references]


def test_scores_cope_with_few_mixtures_and_gaps():
    summary = make_summary(("FFF", "FFM"), ("SDRi", "SAR")).assign(n=4)
    summary.loc[summary["kind"] == "FFM", ["low", "high"]] = np.nan
    summary = summary[(summary["system"] != "pit") | (summary["kind"] == "FFF")]
    summary["system"] = summary["system"].replace("sce", "a|b")
    head, rule, *rows = cells(tables.markdown(tables.scores(summary, ("SDRi", "SIRi", "SAR"))))
    assert head == ["split", "system", "SDRi FFF", "SDRi FFM", "SDRi All", "SAR", "n"]
    assert all("-" in cell for cell in rule)  # GitHub wants a hyphen even in the narrow column of n
    assert rows[0] == ["in-set", "a\\|b", "6.3 [5.8, 6.8]", "7.3", "5.3 [4.8, 5.8]", "15.3", "4"]
    assert rows[1] == ["in-set", "pit", "5.0 [4.5, 5.5]", "–", "–", "–", "–"]  # systems without a mean come last


def test_missing_columns_and_metrics_are_named():
    with pytest.raises(UserError, match="has no column low, n"):
        tables.scores(make_summary().drop(columns=["low", "n"]))
    with pytest.raises(UserError, match="no metric SDRi"):
        tables.scores(make_summary(metrics=("SAR",)))


def test_differences_mark_intervals_without_zero():
    differences = make_differences()
    by_kind = {"FF": (-1.3, -2.0, -0.04), "FM": (0.7, 0.04, 1.4), "MM": (-0.02, -0.5, 0.46), "All": (0.6, 0.0, 1.2)}
    for kind, values in by_kind.items():
        differences.loc[differences["kind"] == kind, ["mean", "low", "high"]] = values
    table = tables.differences(differences)
    assert [row[:2] for row in table.rows] == [["in-set", "pit"], ["unseen", "pit"]]  # no references
    assert cells(tables.markdown(table))[2][2:] == [
        "**-1.3 [-2.0, 0.0]**", "**+0.7 [0.0, +1.4]**", "0.0 [-0.5, +0.5]", "+0.6 [0.0, +1.2]", "40"]
    assert "<td><b>+0.7 [0.0, +1.4]</b></td><td>0.0 [-0.5, +0.5]</td>" in tables.html(table)


def test_systems_are_described_with_their_training():
    others = {"unprocessed": {"name": "unprocessed", "about": "as it is"}, "a": {"name": "a"},
              "c": {"name": "c", "about": "x|y"}}
    config = {"method": {"name": "b", "about": "the <b>"}, "others": others}
    trained = pd.DataFrame({"system": ["b", "a"], "parameters": [1234567, 1], "updates": [4000, 20], "best_update": 20,
                            "minutes": [29.96, 0.04], "seconds_per_update": [0.4567, 12.3]})
    table = tables.systems(config, trained)
    assert table.heads == ["system", "description", "parameters", "updates", "seconds per update", "minutes",
                           "best at update"]
    assert table.rows == [["b", "the <b>", "1,234,567", "4,000", "0.457", "30.0", "20"],
                          ["a", "–", "1", "20", "12.3", "0.0", "20"],
                          ["c", "x|y", "–", "–", "–", "–", "–"],
                          ["unprocessed", "as it is", "–", "–", "–", "–", "–"]]
    html = tables.html(table)
    assert "<td>the &lt;b&gt;</td>" in html and '<tr class="reference"><th scope="row">unprocessed</th>' in html
    assert "rowgroup" not in html
    nothing = pd.DataFrame(columns=["system"])
    assert not tables.systems({"method": {"name": "b"}}, nothing).rows
    assert not tables.systems({}, nothing).rows
    assert [row[0] for row in tables.systems({}, trained).rows] == ["b", "a"]  # a run without config.yaml


def test_html_has_the_cells_of_markdown_below_a_heading_for_each_split():
    table = tables.scores(make_summary())
    html = tables.html(table)
    groups = html.split("<tbody>")[1:]
    assert re.findall('<th scope="rowgroup" colspan="9">(.*?)</th>', html) == ["in-set", "unseen"]
    rows = [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for group in groups for row in group.split("<tr")[2:]]
    assert rows == [row[1:] for row in cells(tables.markdown(table))[2:]]
    assert html.count('<tr class="reference">') == 6


def test_a_score_without_interval_is_its_mean():
    assert tables.interval((5.26, float("nan"), float("nan"))) == tables.interval((5.26,)) == "5.3"
    assert tables.interval((5.26, float("nan"), float("nan")), signed=True) == "+5.3"
    assert tables.interval((5.26, 5.0, 5.5), signed=True) == "+5.3 [+5.0, +5.5]"


def test_latex_shows_every_character_as_it_is():
    text = tables.latex(tables.Table(["system", "95 %"], [["a_b", "1.0"], [r"[c]\d{e}", tables.ABSENT]]), "50 % & more")
    assert r"\begin{tabular}{lr}" in text and r"a\_b & 1.0 \\" in text and r"95 \%" in text
    assert r"{[}c]\textbackslash{}d\{e\} & --" in text and r"\caption{50 \% \& more}" in text
