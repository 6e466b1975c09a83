"""Run folders of strangers: random text with HTML, Markdown, formulas and control characters in every text field."""

import contextlib
import io

import numpy as np
import pytest
from hostile_run import HOSTILE, Elements, write_run

from lab41_sce.commands import sweep
from lab41_sce.reporting.report import write_report
from reliability.campaign import Lost

pytestmark = pytest.mark.torture(part="inputs")
N_CASES = 120


def test_reports_of_strangers(campaign, quick, tmp_path):
    rng = np.random.default_rng(0)
    harmless = Elements(write_report(write_run(tmp_path / "harmless", "plain")).read_text("utf-8"))
    for number in range(6 if quick else N_CASES):
        text = "".join(rng.choice(HOSTILE, rng.integers(1, 4)))
        folder = tmp_path / str(number)

        def case(text=text, folder=folder):
            page = Elements(write_report(write_run(folder / "0", text)).read_text("utf-8"))
            if page.tags != harmless.tags:
                raise Lost(f"{text!r} became elements")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                assert sweep.main([str(folder)]) == 0
            assert "\x1b" not in printed.getvalue() and "\u202e" not in printed.getvalue()

        campaign.run(case)
    campaign.record("Text of strangers in reports and tables", campaign.time_and_memory())
