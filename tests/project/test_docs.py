"""The documents are short, link to existing files, show examples that run, and agree with the version.

`test_readme.py` compares their tables of results with the files of the results.
"""

import csv
import doctest
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import lab41_sce

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")] + PAGES
pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="an installed package has no documents")


def name_of(path):
    return str(path.relative_to(ROOT))


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 150 and len(text.encode()) <= 10_000


def test_the_picture_of_the_readme_is_small():
    assert (ROOT / "docs" / "images" / "separation.png").stat().st_size < 200_000


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_to_existing_files(document):
    targets = re.findall(r"\]\(((?!https?:|#)[^)\s]+)\)", document.read_text("utf-8"))
    missing = [target for target in targets if not (document.parent / target.partition("#")[0]).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_named_files_of_the_repository_exist(document):
    """Paths in code font, such as `lab41_sce/methods/sce.py`, without placeholders."""
    folders = "lab41_sce|experiments|results|benchmarks|tests|tools|notebooks|docs"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", document.read_text("utf-8"))
    invented = {"lab41_sce/methods/NAME.py", "experiments/method/NAME.yaml", "experiments/network/NAME.yaml",
                "tests/methods/test_NAME.py", "docs/systems/NAME.md", "benchmarks/NAME.py"}
    assert not [path for path in named if path not in invented and not (ROOT / path).exists()]


@pytest.mark.parametrize("page", [page for page in PAGES if ">>> " in page.read_text("utf-8")], ids=name_of)
def test_examples_return_what_the_page_shows(page):
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted and not result.failed


def test_the_walk_names_existing_modules():
    walk = (ROOT / "docs" / "walk.md").read_text("utf-8")
    modules = re.findall(r"`(\w+/\w+\.py)`", walk)
    assert len(modules) > 20 and not [module for module in modules if not (ROOT / "lab41_sce" / module).exists()]


def test_every_system_has_a_page():
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs" / "systems").glob("*.md"))
    trained = {"saved", "pretrained", "pretrained_soft_masks"}
    systems = {path.stem for path in (ROOT / "experiments" / "method").glob("*.yaml")} - trained
    assert systems and not [system for system in systems if f"`{system}`" not in pages]


def test_every_experiment_is_described():
    page = (ROOT / "docs" / "experiments.md").read_text("utf-8")
    experiments = {path.stem for path in (ROOT / "experiments" / "exp").glob("*.yaml")}
    described = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert experiments and not experiments - described


def test_the_citation_has_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == lab41_sce.__version__
    assert f"## {lab41_sce.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_leaderboard_shows_every_published_figure():
    """`test_readme.py` compares its rows with the file; here none is missing."""
    page = (ROOT / "docs" / "leaderboard.md").read_text("utf-8")
    with (ROOT / "results/comparisons/published/summary.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert rows and all(row["url"].startswith("https://") for row in rows)
    columns = ("system", "training", "SI-SDRi", "SDRi", "source")
    assert not [row for row in rows if "| " + " | ".join(row[name] for name in columns).replace("|  |", "| |") + " |"
                not in page]


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_other_servers(tmp_path):
    for package in ("material", "mkdocstrings", "latex2mathml"):
        if importlib.util.find_spec(package) is None:
            pytest.skip("the documentation tools are not installed (make docs installs them)")
    built = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
                           cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = [*(tmp_path / "site").rglob("*.html")]
    assert len(pages) > len(PAGES)
    text = "\n".join(page.read_text("utf-8") for page in pages)
    assert "<math" in text
    loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?((?:https?:)?//[^\s\">]+)", text)
    loaded += re.findall(r"<link[^>]*\shref=\"?((?:https?:)?//[^\s\">]+)", text)
    assert not loaded
