"""The README states only what a run wrote, and only what exists."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from lab41_sce.data.mixture import Mixture
from lab41_sce.evaluation import scoring
from lab41_sce.methods.base import Setup

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="the tests of an installed package have no README")


def test_every_row_of_results_stands_in_a_table_that_a_run_wrote():
    written = set()
    for table in (ROOT / "results").glob("*/table.md"):
        written |= set(table.read_text("utf-8").splitlines())
    begins = re.compile(r"\| (in-set|unseen|command:|separation|indexing|scoring) ")
    rows = [line for line in README.read_text("utf-8").splitlines() if begins.match(line)]
    assert rows
    assert not [row for row in rows if row not in written]


def test_the_model_card_says_what_runs_wrote(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "model"))
    from write_model_card import card

    assert (ROOT / "lab41_sce" / "pretrained" / "MODEL_CARD.md").read_text("utf-8") == card()


def test_every_verdict_stands_in_the_report():
    def verdicts(path):
        return re.findall(r"^\| (.+?) +\| (\*\*.+?\*\*) +\|$", path.read_text("utf-8"), re.MULTILINE)

    assert verdicts(README) and verdicts(README) == verdicts(ROOT / "results" / "REPORT.md")


def test_every_file_that_it_names_exists():
    named = re.findall(r"\]\(((?!http)[^)]+)\)", README.read_text("utf-8"))
    assert named and not [name for name in named if not (ROOT / name.partition("#")[0]).exists()]


def test_every_module_is_on_its_map():
    text = README.read_text("utf-8")
    modules = [path.name for path in (ROOT / "lab41_sce").glob("*.py") if path.name not in ("__init__.py", "errors.py")]
    assert not [name for name in modules if f"`{name}`" not in text]


def test_the_eighth_system_works_as_shown(front_end):
    code, settings = re.search(r"```python\n(# lab41_sce/methods/split_band.+?)```\n\n```yaml\n(.+?)```",
                               README.read_text("utf-8"), re.DOTALL).groups()
    assert len((code + settings).splitlines()) <= 20
    namespace, build = {}, yaml.safe_load(settings)["build"]
    exec(code, namespace)
    assert build.pop("_target_") == "lab41_sce.methods.split_band.build"
    time = np.arange(10000) / 10000
    mixture = Mixture(np.stack([np.sin(2 * np.pi * 300 * time), np.sin(2 * np.pi * 2000 * time)]).astype(np.float32))
    masks = namespace["build"](Setup(front_end, None, 2), **build)(mixture)
    estimates = scoring.apply_masks(front_end, mixture.signal, masks)
    np.testing.assert_allclose(estimates[:, 500:-500], mixture.sources[:, 500:-500], atol=0.05)
