"""A small made-up run becomes figures, a table and a page: its numbers, its sounds, nothing from outside."""

import base64
import io
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from lab41_sce import figures
from lab41_sce.errors import UserError
from lab41_sce.report import markdown_table, write_report

RATE_HZ = 10000
MEANS = {"ideal_binary_mask": 12.0, "sce_true_centres": 7.04, "unprocessed": -0.04, "sce": 5.26, "pit": 4.0}


def make_summary(kinds=("FF", "FM", "MM"), metrics=("SDRi", "SIRi", "SAR", "SI-SDRi")):
    """Sort as a group-by does; of each kind 1 dB more than the one before, of each metric 10 dB more."""
    return pd.DataFrame([
        (system, split, kind, metric, mean + place + 10 * tens, mean + place - 0.5, mean + place + 0.5, 40)
        for system, mean in sorted(MEANS.items()) for split in ("in-set", "unseen")
        for tens, metric in enumerate(metrics) for place, kind in enumerate(["All", *kinds])
    ], columns=["system", "split", "kind", "metric", "mean", "low", "high", "n"])


def make_history(n_rows=5):
    time = np.arange(1, n_rows + 1)
    gains = np.where(time % 2, time / 2.0, np.nan)
    return pd.DataFrame({"update": 250 * time, "minutes": 0.5 * time, "learning_rate": 1e-3,
                         "loss": 0.7 / time, "validation_loss": 0.7 / time, "validation_si_sdri_db": gains,
                         "validation_si_sdri_db_FM": gains + 1, "validation_si_sdri_db_FF": np.nan})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two speakers with two examples, the second of them in loud floats, and its report."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    make_summary().to_csv(folder / "summary.csv", index=False)
    make_history().to_csv(folder / "history.csv", index=False)
    pd.DataFrame([("007", "unseen", "MF", "sce", "SDRi", 3.21), ("007", "unseen", "MF", "sce", "SAR", 8.88),
                  ("007", "in-set", "MF", "sce", "SDRi", 9.99)],
                 columns=["mixture", "split", "kind", "system", "metric", "value"],
                 ).to_csv(folder / "mixtures.csv", index=False)
    pd.DataFrame([("01", "007", "unseen", "FM", "<19> 26"), ("02", "008", "in-set", "FF", "27 32")],
                 columns=["example", "mixture", "split", "kind", "speakers"],
                 ).to_csv(folder / "examples.csv", index=False)
    for example, peak, subtype in (("01", 0.4, "PCM_16"), ("02", 2.0, "FLOAT")):
        sounds = folder / "examples" / example
        sounds.mkdir(parents=True)
        for name in ("mixture", "reference_1", "reference_2", "estimate_1", "estimate_2"):
            soundfile.write(sounds / f"{name}.wav", rng.uniform(-peak, peak, 2000), RATE_HZ, subtype=subtype)
    (folder / "config.yaml").write_text(
        'name: "a <script>alert(1)</script> & b $lead"\nseed: 11\nnetwork: {units: 300, inner: {depth: 2}}\n')
    (folder / "version.json").write_text(
        '{"lab41_sce": "0.1.0", "command": "python -m x a=<b>", "keras": "3.15"}')
    write_report(folder)
    return folder


class Page(HTMLParser):
    """Collect tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, wanted):
        return [attributes for tag, attributes in self.tags if tag == wanted]


def decoded(source, kind):
    head, data = source.split(",")
    assert head == f"data:{kind};base64"
    return io.BytesIO(base64.b64decode(data))


def table_cells(table):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_table_has_the_numbers_in_reading_order():
    table = markdown_table(make_summary())
    head, rule, *rows = table_cells(table)
    assert head[:6] == ["split", "system", "SDRi FF", "SDRi FM", "SDRi MM", "SDRi All"]
    assert head[6:] == ["SIRi", "SAR", "SI-SDRi", "n"]
    assert all(re.fullmatch("-+:?", cell) for cell in rule)
    order = ["pit", "sce", "unprocessed", "sce true centres", "ideal binary mask"]
    assert [row[:2] for row in rows] == [[split, name] for split in ("in-set", "unseen") for name in order]
    assert rows[6][2:6] == ["6.3 [5.8, 6.8]", "7.3 [6.8, 7.8]", "8.3 [7.8, 8.8]", "5.3 [4.8, 5.8]"]
    assert rows[6][6:] == ["15.3", "25.3", "35.3", "40"]
    assert rows[2][5] == "0.0 [-0.5, 0.5]"  # -0.04, without the sign
    assert len({len(line) for line in table.splitlines()}) == 1  # aligned for a terminal


def test_table_copes_with_few_mixtures_and_gaps():
    summary = make_summary(("FFF", "FFM"), ("SDRi", "SAR")).assign(n=4)
    summary.loc[summary["kind"] == "FFM", ["low", "high"]] = np.nan
    summary = summary[(summary["system"] != "pit") | (summary["kind"] == "FFF")]
    summary["system"] = summary["system"].replace("sce", "a|b")
    head, rule, *rows = table_cells(markdown_table(summary, metrics=("SDRi", "SIRi", "SAR")))
    assert head == ["split", "system", "SDRi FFF", "SDRi FFM", "SDRi All", "SAR", "n"]
    assert all("-" in cell for cell in rule)  # GitHub wants a hyphen even in the narrow column of n
    assert rows[1] == ["in-set", "a\\|b", "6.3 [5.8, 6.8]", "7.3", "5.3 [4.8, 5.8]", "15.3", "4"]
    assert rows[0] == ["in-set", "pit", "5.0 [4.5, 5.5]", "–", "–", "–", "–"]


def test_table_tells_what_is_missing():
    with pytest.raises(UserError, match="lacks low, n"):
        markdown_table(make_summary().drop(columns=["low", "n"]))
    with pytest.raises(UserError, match="no SDRi"):
        markdown_table(make_summary(metrics=("SAR",)))


def test_page_is_complete_and_self_contained(run):
    html = (run / "report.html").read_text("utf-8")
    page = Page(html)
    assert (run / "table.md").read_text("utf-8").startswith(markdown_table(make_summary()) + "\n")
    assert len(page.all("img")) == 4  # bars, curves, a picture for each example
    for image in page.all("img"):
        assert image["alt"]
        assert Image.open(decoded(image["src"], "image/png")).width > 800
    assert not re.search(r"https?:|url\(|@import|//[a-z]", re.sub('base64,[^"]*', "", html))
    assert all(value.startswith("data:") for _, attributes in page.tags
               for name, value in attributes.items() if name in ("src", "href"))
    for text in ("5.3 [4.8, 5.8]", "5.3\xa0dB", "units: 300, inner: {depth: 2}", "2.5 minutes, 1,250 updates",
                 "lab41_sce 0.1.0, keras 3.15", "SDRi: sce 3.2 dB", "SDRi: –", "unseen speakers <19> 26"):
        assert text in page.text
    assert "9.99" not in page.text and "10.0 dB" not in page.text  # of the other split
    assert not [file.name for file in run.iterdir() if file.name.startswith(".")]
    assert len(html) < 2_000_000


def test_page_escapes_what_it_shows(run):
    page = Page((run / "report.html").read_text("utf-8"))
    assert not page.all("script")
    assert page.text.count("a <script>alert(1)</script> & b $lead") == 3  # title, heading, configuration
    assert "python -m x a=<b>" in page.text


def test_page_follows_from_the_folder_alone(run):
    before = (run / "report.html").read_bytes()
    assert write_report(str(run)) == run / "report.html"
    assert (run / "report.html").read_bytes() == before


def test_sounds_come_back_as_they_were(run):
    players = Page((run / "report.html").read_text("utf-8")).all("audio")
    names = ("mixture", "reference_1", "estimate_1", "reference_2", "estimate_2")
    files = [run / "examples" / example / f"{name}.wav" for example in ("01", "02") for name in names]
    assert [player["aria-label"][:20] for player in players[:3]] == \
        ["Mixture", "Speaker 1, reference", "Speaker 1, estimate "]
    originals = [soundfile.read(file)[0] for file in files]
    decoded_signals = []
    for player in players:
        signal, rate_hz = soundfile.read(decoded(player["src"], "audio/wav"))
        assert rate_hz == RATE_HZ
        decoded_signals.append(signal)
    np.testing.assert_array_equal(decoded_signals[:5], originals[:5])
    loudest = max(np.abs(signal).max() for signal in originals[5:])
    np.testing.assert_allclose(decoded_signals[5:], np.array(originals[5:]) / loudest, atol=1 / 32768)


def test_page_leaves_out_what_is_missing(run, tmp_path):
    part = shutil.copytree(run, tmp_path / "part")
    for name in ("history.csv", "mixtures.csv", "version.json", "config.yaml", "examples/02/mixture.wav"):
        (part / name).unlink()
    html = write_report(part).read_text("utf-8")
    assert re.findall("<h2>(.*?)</h2>", html) == ["Results", "Examples to hear"]
    assert (len(Page(html).all("img")), len(Page(html).all("audio"))) == (2, 5)
    assert "SDRi: –" in Page(html).text


def test_page_needs_scores_only(tmp_path):
    with pytest.raises(UserError, match="no scores yet"):
        write_report(tmp_path)
    make_summary().to_csv(tmp_path / "summary.csv", index=False)
    html = write_report(tmp_path).read_text("utf-8")
    assert re.findall("<h2>(.*?)</h2>", html) == ["Results"]
    assert f"Speech separation: {tmp_path.name}" in html


def test_spectrograms_share_levels_time_and_frequency():
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 1000 * time)
    signals = {"loud": tone, "soft": 0.1 * tone[:RATE_HZ], "none": 0 * tone}
    figure = figures.spectrograms(signals, RATE_HZ, "a $title$")
    loud, soft, none = (axes.images[0] for axes in figure.axes[:3])
    assert loud.get_extent() == [0, 2, 0, 5] and soft.get_extent() == [0, 1, 0, 5]
    assert figure.axes[1].get_xlim() == (0, 2)
    levels = loud.get_array()
    assert levels[:, 100].argmax() / (len(levels) - 1) * 5 == pytest.approx(1, abs=0.02)  # kHz
    assert levels.max() == pytest.approx(0, abs=1e-4)
    assert soft.get_array().max() == pytest.approx(-20, abs=0.1)
    np.testing.assert_allclose(none.get_array(), -60, atol=1e-4)


def test_spectrograms_cope_with_silence_and_any_length(tmp_path):
    noise = np.random.default_rng(0).standard_normal(180 * RATE_HZ)
    signals = {"three minutes": noise, "one sample": np.ones(1), "nothing": np.zeros(0)}
    figure = figures.spectrograms(signals, RATE_HZ)
    assert figure.axes[0].images[0].get_array().shape == (257, figures.MAXIMUM_COLUMNS)
    figures.save(figure, tmp_path / "long.png")
    assert max(Image.open(tmp_path / "long.png").size) < 1200
    figures.save(figures.spectrograms({"silence": np.zeros(50)}, 8000), tmp_path / "silence.png")
    with pytest.raises(ValueError, match=r"\(2, 50\), want \[N\]"):
        figures.spectrograms({"stereo": np.zeros((2, 50))}, 8000)
    with pytest.raises(ValueError, match="no signal"):
        figures.spectrograms({}, 8000)


def test_training_curves_skip_what_was_not_measured():
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


def test_scores_draw_means_and_intervals():
    figure = figures.scores(make_summary())
    in_set, unseen = figure.axes
    assert [label.get_text() for label in unseen.get_xticklabels()] == ["FF", "FM", "MM", "All"]
    names = [text.get_text() for text in figure.legends[0].texts]
    assert names == ["pit", "sce", "sce true centres", "ideal binary mask"]  # unprocessed improves nothing
    bars = [container for container in in_set.containers if hasattr(container, "patches")]
    np.testing.assert_allclose([bar.get_height() for bar in bars[1]], [6.26, 7.26, 8.26, 5.26])
    whisker = bars[1].errorbar.lines[2][0].get_segments()[0]
    np.testing.assert_allclose(whisker[:, 1], [5.76, 6.76])
    legend = figures.scores(make_summary(), "SAR").legends[0]
    assert "unprocessed" in [text.get_text() for text in legend.texts]
    with pytest.raises(ValueError, match="no metric 'SDR'"):
        figures.scores(make_summary(), "SDR")


def test_save_writes_whole_files_or_none(tmp_path):
    figure = figures.scores(make_summary())
    for name in ("a.png", "b.svg", "c.SVG"):
        figures.save(figure, tmp_path / name)
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "c.SVG").read_bytes()
    with pytest.raises(UserError, match=r"\.png or \.svg"):
        figures.save(figure, tmp_path / "d.jpg")
    figure.savefig = lambda path, **_: (path.write_text("half"), 1 / 0)
    with pytest.raises(ZeroDivisionError):
        figures.save(figure, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").width == 1080
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.svg", "c.SVG"]
