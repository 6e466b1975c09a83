"""Figures of scores show the means and intervals of a summary beside those of the article."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from lab41_sce.article.score_figures import SYSTEMS, article_scores, beside_article, improvement_by_snr


def test_article_scores_are_those_read_off_figure_6():
    table = article_scores()
    assert list(table.columns) == ["system", "kind", "mean"]
    wide = table.pivot(index="system", columns="kind", values="mean")
    assert wide.loc["sce"].to_dict() == {"FF": 5.31, "MM": 5.45, "FM": 9.95, "All": 7.68}
    assert wide.loc["pit_cnn", "MM"] == 4.03 and wide.loc["deep_clustering", "FF"] == 4.21
    assert set(wide.index) == set(SYSTEMS) - {"pit_temporal_cnn"}  # ours
    # "All" is the mean over FF, MM, FM and MF, but for what pixels allow.
    np.testing.assert_allclose((wide["FF"] + wide["MM"] + 2 * wide["FM"]) / 4, wide["All"], atol=0.05)


def make_summary(systems, kinds=("All", "FF", "FM", "MM")):
    return pd.DataFrame([
        (system, split, kind, metric, 10 * (split == "unseen") + 3 * place + number + (metric == "SDRi"))
        for place, system in enumerate(systems) for split in ("in-set", "unseen")
        for number, kind in enumerate(kinds) for metric in ("SDR", "SDRi")
    ], columns=["system", "split", "kind", "metric", "mean"]).assign(
        low=lambda table: table["mean"] - 0.5, high=lambda table: table["mean"] + 1, n=40)


def test_bars_are_our_means_beside_those_of_the_article():
    systems = ["unprocessed", "pit_cnn", "sce", "deep_clustering", "sce_oracle_centroids"]
    summary, article = make_summary(systems), article_scores()
    figure = beside_article(summary, article)
    panel, = figure.axes
    kinds = [label.get_text() for label in panel.get_xticklabels()]
    assert kinds == ["FF", "MM", "FM", "All"]
    groups = {group.get_label(): group for group in panel.containers if group.get_label()[0] != "_"}
    names = [f"{name}{which}" for name in ("sce", "deep clustering", "pit cnn") for which in ("", ", article")]
    assert list(groups) == names == [text.get_text() for text in figure.legends[0].texts]
    ours = summary[(summary["split"] == "unseen") & (summary["metric"] == "SDRi")]
    ends = []
    for name, group in groups.items():
        table = article if "article" in name else ours
        table = table[table["system"] == name.removesuffix(", article").replace(" ", "_")].set_index("kind")
        assert [bar.get_height() for bar in group] == list(table.loc[kinds, "mean"])
        assert all(bool(bar.get_hatch()) == ("article" in name) for bar in group)
        assert all(to_rgb(bar.get_facecolor()) == to_rgb(SYSTEMS[table["system"].iloc[0]]) for bar in group)
        if "article" not in name:
            low, high = np.array(group.errorbar.lines[2][0].get_segments())[:, :, 1].T
            np.testing.assert_allclose([low, high], table.loc[kinds, ["low", "high"]].T)
        for tick, bar in enumerate(group):
            ends.append((bar.get_x(), bar.get_x() + bar.get_width()))
            assert abs(bar.get_x() + bar.get_width() / 2 - tick) < 0.5
    ends.sort()
    assert all(left[1] <= right[0] + 1e-9 for left, right in zip(ends, ends[1:]))  # none hides another
    assert "SDRi (dB)" in panel.get_ylabel() and "unseen" in panel.get_ylabel()


def test_a_run_of_the_article_s_size_stands_between():
    larger = make_summary(["sce", "deep_clustering"])
    larger["mean"] += 100
    panel, = beside_article(make_summary(["sce"]), article_scores(), article_size=larger).axes
    groups = [group for group in panel.containers if group.get_label()[0] != "_"]
    assert [group.get_label() for group in groups] == ["sce", "sce, article's size", "sce, article"]
    assert [group[0].get_height() for group in groups] == [12, 112, 5.31]
    starts = [group[0].get_x() for group in groups]
    assert starts == sorted(starts) and groups[1][0].get_hatch() == "..."


def test_a_system_that_the_article_lacks_has_our_bars_only():
    panel, = beside_article(make_summary(["sce", "pit_temporal_cnn"]), article_scores()).axes
    labels = [group.get_label() for group in panel.containers if group.get_label()[0] != "_"]
    assert labels == ["sce", "sce, article", "pit temporal cnn"]


def test_missing_systems_and_kinds_leave_no_gap():
    article = article_scores()
    panel, = beside_article(make_summary(["sce", "unprocessed"]), article, split="in-set", metric="SDR").axes
    groups = [group for group in panel.containers if group.get_label()[0] != "_"]
    assert [group.get_label() for group in groups] == ["sce", "sce, article"]
    assert [bar.get_height() for bar in groups[0]] == [1, 3, 2, 0]
    partial = make_summary(["sce", "pit_cnn"], kinds=("All", "MM"))
    partial = partial[(partial["system"] == "sce") | (partial["kind"] == "All")]
    panel, = beside_article(partial, article).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["MM", "All"]
    pit = next(group for group in panel.containers if group.get_label() == "pit cnn")
    assert np.isnan(pit[0].get_height()) and pit[1].get_height() == 14
    for summary in (make_summary(["nmf"]), make_summary(["sce"], kinds=("FFF",))):
        with pytest.raises(ValueError, match="no 'SDRi' in split 'unseen'"):
            beside_article(summary, article)
    with pytest.raises(ValueError, match="no 'SIR'"):
        beside_article(make_summary(["sce"]), article, metric="SIR")


def test_improvement_over_the_signal_to_noise_ratio():
    rows = [("sce", "unseen", 6.0), ("sce", "unseen, SNR -5 dB", 1.0), ("sce", "unseen, SNR 10 dB", 4.0),
            ("saved", "unseen, SNR 10 dB", 3.0)]
    table = pd.DataFrame(rows, columns=["system", "split", "mean"])
    table = table.assign(metric="SDRi", kind="All", low=table["mean"] - 1, high=table["mean"] + 2)
    known = table.assign(split=table["split"].str.replace("unseen", "in-set"), mean=9.0)
    figure = improvement_by_snr(pd.concat([table, known]), {"sce": "with noise", "saved": "without", "absent": "?"})
    panel = figure.axes[0]
    first, second = (container.lines[0].get_xydata().tolist() for container in panel.containers)
    assert first == [[-5, 1], [10, 4], [15, 6]] and second == [[10, 3]]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["-5", "10", "no noise"]
    assert "(dB)" in panel.get_xlabel() and "(dB)" in panel.get_ylabel()
    low, high = panel.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == (0, 3)
    with pytest.raises(ValueError, match="at any SNR"):
        improvement_by_snr(table[table["split"] == "unseen"], {"sce": "with noise"})
