"""The folder of a stranger's run: its text reaches reports and tables as text, whatever it contains."""

import re

import markdown
import numpy as np
import pytest
import soundfile
from hostile_run import HOSTILE, Elements, write_run

from lab41_sce.commands import sweep
from lab41_sce.reporting.report import write_report
from lab41_sce.reporting.tables import Table, escape_markdown, markdown_code
from lab41_sce.reporting.tables import markdown as markdown_table


@pytest.mark.parametrize("text", HOSTILE)
def test_the_report_shows_text_as_text(tmp_path, text):
    (tmp_path / "outside").mkdir()
    soundfile.write(tmp_path / "outside" / "mixture.wav", np.zeros(2000), 8000)
    harmless = Elements(write_report(write_run(tmp_path / "runs" / "a", "plain")).read_text("utf-8"))
    page = Elements(write_report(write_run(tmp_path / "runs" / "b", text)).read_text("utf-8"))
    assert page.tags == harmless.tags  # no element comes from the text, and no recording from outside the run
    assert [name for name, _ in page.attributes] == [name for name, _ in harmless.attributes]
    assert ("http-equiv", "Content-Security-Policy") in page.attributes
    assert text.replace("_", " ") in page.text or text in page.text


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_tables_show_text_as_text(text):
    written = markdown_table(Table(["a", "b"], [[text, "x"], [text, "y"]]))
    html = markdown.markdown(written, extensions=["tables"])
    page = Elements(html)
    assert set(page.tags) <= {"table", "thead", "tbody", "tr", "th", "td"} and page.tags.count("td") == 4, html
    code = Elements(markdown.markdown(f"before {markdown_code(text)} after {escape_markdown(text)}"))
    assert set(code.tags) == {"p", "code"} and code.tags.count("code") == 1


def test_a_sweep_resolves_nothing_and_writes_no_formula(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/the/home")
    for number, text in enumerate(("${oc.env:HOME}", "=1+1")):
        write_run(tmp_path / str(number), text)
    assert sweep.main([str(tmp_path)]) == 0
    written = (tmp_path / "sweep.csv").read_text("utf-8")
    assert "/the/home" not in written and "${oc.env:HOME}" in written
    assert not re.search(r"(^|,)\"?=", written, re.MULTILINE) and "'=1+1" in written
