"""Figures show the given numbers, in order, without overlaps; saved files are complete and repeatable."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_report import RATE_HZ, make_history, make_summary

from lab41_sce.errors import UserError
from lab41_sce.reporting import figures, sound_figures
from lab41_sce.separation.activity import SpeakerActivity


def test_spectrograms_share_levels_time_and_frequency():
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 1000 * time)
    signals = {"loud": tone, "soft": 0.1 * tone[:RATE_HZ], "none": 0 * tone}
    figure = sound_figures.spectrograms(signals, RATE_HZ, "a $title$")
    loud, soft, none = (axes.images[0] for axes in figure.axes[:3])
    assert loud.get_extent() == [0, 2, 0, 5000] and soft.get_extent() == [0, 1, 0, 5000]
    assert figure.axes[1].get_xlim() == (0, 2)
    assert figure.get_supylabel() == "Frequency (Hz)"
    levels = loud.get_array()
    assert levels[:, 100].argmax() / (len(levels) - 1) * 5000 == pytest.approx(1000, abs=20)
    assert levels.max() == pytest.approx(0, abs=1e-4)
    assert soft.get_array().max() == pytest.approx(-20, abs=0.1)
    assert none.get_array().max() < none.get_clim()[0]  # dark


def test_brightness_of_spectrograms_does_not_follow_the_loudest_bin():
    rng = np.random.default_rng(0)
    signal = 0.01 * rng.standard_normal(RATE_HZ)
    signal[:500] += np.sin(2 * np.pi * 1000 * np.arange(500) / RATE_HZ)
    image = sound_figures.spectrograms({"a tone above noise": signal}, RATE_HZ).axes[0].images[0]
    darkest, brightest = image.get_clim()
    assert brightest - darkest == pytest.approx(60) and -30 <= brightest < -10


def test_spectrograms_cope_with_silence_and_any_length(tmp_path):
    noise = np.random.default_rng(0).standard_normal(180 * RATE_HZ)
    signals = {"three minutes": noise, "one sample": np.ones(1), "nothing": np.zeros(0)}
    figure = sound_figures.spectrograms(signals, RATE_HZ)
    assert figure.axes[0].images[0].get_array().shape == (257, sound_figures.MAX_COLUMNS)
    figures.save(figure, tmp_path / "long.png")
    assert max(Image.open(tmp_path / "long.png").size) < 1200
    silence = sound_figures.spectrograms({"silence": np.zeros(50)}, 8000)
    figures.save(silence, tmp_path / "silence.png")
    assert silence.axes[0].images[0].get_array().max() < silence.axes[0].images[0].get_clim()[0]  # dark
    with pytest.raises(ValueError, match=r"\(2, 50\) instead of \[N\]"):
        sound_figures.spectrograms({"stereo": np.zeros((2, 50))}, 8000)
    with pytest.raises(ValueError, match="no signal"):
        sound_figures.spectrograms({}, 8000)


def test_bars_have_the_names_of_the_voices():
    activity = SpeakerActivity(np.ones((3, 50)), np.ones(50), np.ones(50), 0.1, 0.05, 5.0)
    axes = sound_figures.who_speaks_when(activity, names=["Ann $x$", "2", "3"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Ann $x$", "voice 2", "voice 3"]
    assert not axes.get_yticklabels()[0].get_parse_math()
    axes = sound_figures.who_speaks_when(activity).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["voice 1", "voice 2", "voice 3"]


def test_training_curves_skip_missing_values():
    figure = figures.training_curves(make_history())
    losses, gains, updates = figure.axes
    assert [text.get_text() for text in losses.get_legend().texts] == ["training", "validation"]
    assert [text.get_text() for text in gains.get_legend().texts] == ["FM", "All"]
    np.testing.assert_array_equal(gains.lines[1].get_xydata(), [[0.5, 0.5], [1.5, 1.5], [2.5, 2.5]])
    for minutes, label in zip(updates.get_xticks(), updates.get_xticklabels(), strict=True):
        assert int(label.get_text().replace(",", "")) == pytest.approx(minutes * 500)
    one = figures.training_curves(make_history(1)[["update", "minutes", "loss"]])
    assert len(one.axes) == 2 and [label.get_text() for label in one.axes[1].get_xticklabels()] == ["250"]
    with pytest.raises(ValueError, match="no row"):
        figures.training_curves(make_history(0))


def test_training_curves_compare_systems():
    history = pd.concat([make_history(4).assign(system="pit_cnn"),
                         make_history().assign(system="sce", minutes=np.arange(1, 6))])
    panel, = figures.training_curves(history).axes
    sce, pit = panel.lines  # the higher last value comes first in the legend
    assert (sce.get_label(), pit.get_label()) == ("sce", "pit cnn")
    np.testing.assert_array_equal(sce.get_xydata(), [[1, 0.5], [3, 1.5], [5, 2.5]])
    np.testing.assert_array_equal(pit.get_xydata(), [[0.5, 0.5], [1.5, 1.5]])
    assert len(figures.training_curves(history[history["system"] == "sce"]).axes) == 3  # the same as without names


def test_scores_draw_means_and_intervals():
    summary = make_summary()
    summary = summary[(summary["system"] != "pit") | (summary["split"] != "unseen") | (summary["kind"] == "All")]
    summary.loc[(summary["system"] == "pit") & (summary["split"] == "unseen"), "mean"] = 6  # better than sce
    figure = figures.scores(summary)
    panels = np.reshape(figure.axes, (2, 4))
    assert [panel.get_title() for panel in panels[1]] == ["FF", "FM", "MM", "All"]
    assert [panel.get_ylabel() for panel in panels[:, 0]] == ["in-set", "unseen"]
    for line, separators in zip(panels, (["sce", "pit"], ["pit", "sce"]), strict=True):
        names = [label.get_text() for label in line[0].get_yticklabels()]
        assert names == [*separators, "sce oracle centroids", "ideal binary mask"]  # not unprocessed
        low, high = line[0].get_ylim()
        assert low > high  # the best on top
    sce = panels[1, 0].containers[1]  # pit has no score in FF, but keeps its row
    np.testing.assert_allclose(sce.lines[0].get_xydata(), [[6.26, 1]])
    np.testing.assert_allclose(sce.lines[2][0].get_segments()[0], [[5.76, 1], [6.76, 1]])
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert legend == ["clusters embeddings", "network outputs masks", "reference"]
    names = [label.get_text() for label in figures.scores(make_summary(), "SAR").axes[0].get_yticklabels()]
    assert names == ["sce", "pit", "unprocessed", "sce oracle centroids", "ideal binary mask"]
    with pytest.raises(ValueError, match="no metric 'SDR'"):
        figures.scores(make_summary(), "SDR")


@pytest.mark.parametrize(("n_systems", "kinds"), [(1, ("FF", "FM", "MM")), (9, ("FFF", "FFM", "FMM", "MMM"))])
def test_scores_of_any_number_of_systems_have_room(n_systems, kinds):
    means = {"deep_clustering_oracle_centroids": 7, "unprocessed": 0, "phase_sensitive_mask": 16}
    means |= {f"system_{number}": number for number in range(n_systems)}
    rows = [(system, split, kind, "SDRi", mean, mean - 1, mean + 1, 9) for system, mean in means.items()
            for split in ("in-set", "unseen") for kind in (*kinds, "All")]
    summary = pd.DataFrame(rows, columns=["system", "split", "kind", "metric", "mean", "low", "high", "n"])
    figure = figures.scores(summary)
    figure.draw_without_rendering()
    page = figure.bbox
    for column in np.reshape(figure.axes, (2, -1)).T:
        for panel in column:
            box = panel.get_tightbbox()
            assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        assert not column[0].get_tightbbox().overlaps(column[1].get_tightbbox())
        numbers = [label.get_window_extent() for label in column[1].get_xticklabels()]
        assert all(left.x1 < right.x0 for left, right in zip(numbers, numbers[1:]))
    names = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(names) == n_systems + 2 and all(upper.y0 > lower.y1 for upper, lower in zip(names, names[1:]))


@pytest.mark.slow
def test_save_writes_complete_files_or_none(tmp_path):
    for name in ("a.png", "b.svg", "c.SVG"):
        figure = figures.scores(make_summary())
        figures.save(figure, tmp_path / name)
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "c.SVG").read_bytes()
    with pytest.raises(UserError, match=r"\.png or \.svg"):
        figures.save(figure, tmp_path / "d.jpg")
    figure.savefig = lambda path, **_: (path.write_text("half"), 1 / 0)
    with pytest.raises(ZeroDivisionError):
        figures.save(figure, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").width == 1080
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.svg", "c.SVG"]


def test_scores_without_intervals_are_drawn():
    summary = pd.DataFrame([("sce", "unseen", kind, "SDRi", 5.0, np.nan, np.nan, 1) for kind in ("FM", "All")],
                           columns=["system", "split", "kind", "metric", "mean", "low", "high", "n"])
    figure = figures.scores(summary, "SDRi")
    figure.canvas.draw()
    assert all(np.isfinite(panel.get_xlim()).all() for panel in figure.axes)
