"""A small artificial run becomes a table and a page with its numbers and its sounds, without anything from outside."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from lab41_sce.errors import UserError
from lab41_sce.reporting import tables
from lab41_sce.reporting.report import write_report

RATE_HZ = 10000
MEANS = {"ideal_binary_mask": 12.0, "sce_oracle_centroids": 7.04, "unprocessed": -0.04, "sce": 5.26, "pit": 4.0}


def make_summary(kinds=("FF", "FM", "MM"), metrics=("SDRi", "SIRi", "SAR", "SI-SDRi")):
    """Return a summary, sorted as by group-by, that grows by 1 dB with each kind and by 10 dB with each metric."""
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


def make_differences(main="sce"):
    """Return differences from the main method with intervals of +-0.5 dB, the same for all kinds."""
    summary = make_summary()
    return summary.assign(**{name: summary["system"].map(MEANS) - MEANS[main] + more
                             for name, more in (("mean", 0), ("low", -0.5), ("high", 0.5))}
                          )[summary["system"] != main]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run of two speakers with a report and two examples; the second one has floats above full scale."""
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
        '{"lab41_sce": "0.1.0", "command": "python -m x a=<b>", "keras": "3.15", "speech": ["A, CC BY 4.0", "B, CC0"],'
        ' "resumed": [{"started": "2026-01-02", "git_commit": "abc123"},'
        ' {"started": "2026-01-03", "git_commit": null}]}')
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def comparison(run, tmp_path_factory):
    """Return the same run with one example and a second trained system, pit, which is the method; and its report."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("runs") / "comparison")
    shutil.rmtree(folder / "examples" / "02")
    make_differences("pit").to_csv(folder / "differences.csv", index=False)
    systems = [{"system": name, "parameters": 1234567, "updates": updates, "minutes": 2.46, "best_update": 1000,
                "seconds_per_update": 0.1239} for name, updates in (("pit", 1250), ("sce", 1500))]
    pd.DataFrame(systems).to_csv(folder / "systems.csv", index=False)
    pd.concat([make_history(5).assign(system="pit"), make_history(6).assign(system="sce")]
              ).to_csv(folder / "history.csv", index=False)
    pd.DataFrame([("007", "unseen", "MF", name, "SDRi", value) for name, value in
                  (("pit", 3.21), ("ideal_binary_mask", 13.0), ("sce", 4.44), ("sce_oracle_centroids", 7.77))],
                 columns=["mixture", "split", "kind", "system", "metric", "value"],
                 ).to_csv(folder / "mixtures.csv", index=False)
    others = {"sce": {"name": "sce", "about": "vectors <i>"}, "unprocessed": {"name": "unprocessed"}}
    (folder / "config.yaml").write_text(json.dumps({"method": {"name": "pit", "about": "any order"}, "others": others}))
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


def test_page_is_complete_and_self_contained(run):
    html = (run / "report.html").read_text("utf-8")
    page = Page(html)
    table = (run / "table.md").read_text("utf-8")
    assert table.startswith(f"### Scores\n\n{tables.markdown(tables.scores(make_summary()))}\n")
    assert len(page.all("img")) == 4  # dots, curves, a picture for each example
    for image in page.all("img"):
        assert image["alt"]
        assert Image.open(decoded(image["src"], "image/png")).width > 800
    assert not re.search(r"https?:|url\(|@import|//[a-z]", re.sub('base64,[^"]*', "", html))
    assert all(value.startswith(("data:", "#section-")) for _, attributes in page.tags
               for name, value in attributes.items() if name in ("src", "href"))
    for text in ("5.3 [4.8, 5.8]", "5.3\xa0dB", "units: 300, inner: {depth: 2}", "2.5 minutes, 1,250 updates",
                 "lab41_sce 0.1.0, keras 3.15SpeechA, CC BY 4.0; B, CC0Seed", "2026-01-02 abc123; 2026-01-03",
                 "SDRi: sce 3.2 dB", "SDRi: –", "unseen speakers <19> 26"):
        assert text in page.text
    assert "9.99" not in page.text and "10.0 dB" not in page.text  # of the other split
    assert not [file.name for file in run.iterdir() if file.name.startswith(".")]
    assert len(html) < 2_000_000


def test_page_compares_several_systems(comparison):
    html = (comparison / "report.html").read_text("utf-8")
    assert re.findall("<h2>(.*?)</h2>", html) == [
        "Results", "Differences from pit", "Systems", "Listening examples", "Training", "What was run", "Configuration"]
    headings = re.findall('<section id="(.*?)"><h2>(.*?)</h2>', html)
    assert re.findall('<li><a href="#(.*?)">(.*?)</a></li>', html) == headings and len(headings) == 7
    page = Page(html)
    for text in ("4.0\xa0dB (pit, in-set; the highest of 2 is sce with 5.3 dB)", "vectors <i>", "1,500",
                 "5.5 minutes, 2,750 updates, over 2 systems", "minus that of pit on the same n mixtures",
                 "SDRi: sce 4.4 dB, pit 3.2 dBMixture", "Estimates are from pit. The run kept no audio"):
        assert text in page.text, text
    assert "<b>+1.3 [+0.8, +1.8]</b>" in html and not page.all("i")
    terms = re.findall("<dt>(.*?)</dt>", html)
    assert "Method" in terms and "Others" not in terms


def test_lead_names_the_best_system(comparison, tmp_path):
    left_out = shutil.ignore_patterns("examples", "history.csv")
    comparison = shutil.copytree(comparison, tmp_path / "part", ignore=left_out)
    config = json.loads((comparison / "config.yaml").read_text())
    lead = "5.3\xa0dB (sce, unseen; the highest of 2)."
    for main in ("sce", "unprocessed"):  # a method that is a reference does not compete
        (comparison / "config.yaml").write_text(json.dumps(config | {"method": {"name": main}}))
        assert lead in Page(write_report(comparison).read_text("utf-8")).text
    summary = make_summary()
    summary[summary["system"] != "pit"].to_csv(comparison / "summary.csv", index=False)
    assert "5.3\xa0dB (sce, unseen)." in Page(write_report(comparison).read_text("utf-8")).text


def test_tables_of_a_comparison_are_written_as_text(comparison):
    text = (comparison / "table.md").read_text("utf-8")
    assert re.findall("^### (.*)", text, re.MULTILINE) == ["Scores", "Differences from pit", "Systems"]
    assert tables.markdown(tables.differences(make_differences("pit"))) in text
    assert re.search(r"\| sce +\| vectors &lt;i&gt; +\| +1,234,567 \| +1,500 \| +0.124 \| +2.5 \| +1,000 \|", text)


def test_one_system_is_not_compared(comparison, tmp_path):
    comparison = shutil.copytree(comparison, tmp_path / "part", ignore=shutil.ignore_patterns("history.csv"))
    differences = make_differences("sce")
    differences[differences["system"] != "pit"].to_csv(comparison / "differences.csv", index=False)
    (comparison / "systems.csv").write_text("system,parameters,updates,minutes,seconds_per_update,best_update\n"
                                            "sce,10,20,0.5,0.1,20\n")
    (comparison / "config.yaml").write_text("method: {name: sce}\n")
    scores = pd.read_csv(comparison / "mixtures.csv", dtype=str)
    scores[scores["system"] != "pit"].to_csv(comparison / "mixtures.csv", index=False)
    html = write_report(comparison).read_text("utf-8")
    assert "Differences" not in html and "<h2>Systems</h2>" in html and "Estimates are from" not in html
    text = (comparison / "table.md").read_text("utf-8")
    assert re.findall("^### (.*)", text, re.MULTILINE) == ["Scores", "Systems"]
    (comparison / "systems.csv").unlink()
    shutil.rmtree(comparison / "examples")
    assert "<h2>Systems</h2>" not in write_report(comparison).read_text("utf-8")


def test_page_escapes_text(run):
    page = Page((run / "report.html").read_text("utf-8"))
    assert not page.all("script")
    assert page.text.count("a <script>alert(1)</script> & b $lead") == 3  # title, heading, configuration
    assert "python -m x a=<b>" in page.text


def test_page_depends_on_the_folder_only(run):
    before = (run / "report.html").read_bytes()
    assert write_report(str(run)) == run / "report.html"
    assert (run / "report.html").read_bytes() == before


def test_sounds_in_the_page_equal_the_files(run):
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


def test_page_leaves_out_parts_whose_files_are_missing(run, tmp_path):
    part = shutil.copytree(run, tmp_path / "part")
    for name in ("history.csv", "mixtures.csv", "version.json", "config.yaml", "examples/02/mixture.wav"):
        (part / name).unlink()
    html = write_report(part).read_text("utf-8")
    assert re.findall("<h2>(.*?)</h2>", html) == ["Results", "Listening examples"]
    assert (len(Page(html).all("img")), len(Page(html).all("audio"))) == (2, 5)
    assert "SDRi: –" in Page(html).text


def test_page_needs_scores_only(tmp_path):
    with pytest.raises(UserError, match="no scores yet"):
        write_report(tmp_path)
    make_summary().to_csv(tmp_path / "summary.csv", index=False)
    html = write_report(tmp_path).read_text("utf-8")
    assert re.findall("<h2>(.*?)</h2>", html) == ["Results"]
    assert f"Speech separation: {tmp_path.name}" in html


def test_page_shows_figures_that_have_a_caption(tmp_path):
    make_summary().to_csv(tmp_path / "summary.csv", index=False)
    (tmp_path / "figures").mkdir()
    for name in ("drawn", "unknown"):
        Image.new("RGB", (900, 2)).save(tmp_path / "figures" / f"{name}.png")
    assert "article’s figures" not in write_report(tmp_path).read_text("utf-8")
    page = Page(write_report(tmp_path, {"absent": "No file.", "drawn": "A <b>caption</b>."}).read_text("utf-8"))
    assert "The article’s figuresA <b>caption</b>." in page.text and "No file." not in page.text
    assert [image["alt"] for image in page.all("img")][1:] == ["A <b>caption</b>."]
