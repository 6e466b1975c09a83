"""The documents are short, link to existing files, show examples that run, and agree with results and version."""

import csv
import doctest
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import lab41_sce
from lab41_sce.data.mixture import Mixture
from lab41_sce.evaluation import scoring
from lab41_sce.methods.base import Setup

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
    invented = {"lab41_sce/methods/NAME.py", "experiments/method/NAME.yaml", "tests/methods/test_NAME.py",
                "docs/systems/NAME.md", "benchmarks/NAME.py"}
    assert not [path for path in named if path not in invented and not (ROOT / path).exists()]


@pytest.mark.parametrize("page", [page for page in PAGES if ">>> " in page.read_text("utf-8")], ids=name_of)
def test_examples_return_what_the_page_shows(page):
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted and not result.failed


def test_the_example_of_a_new_system_works(front_end):
    page = (ROOT / "docs" / "experiments.md").read_text("utf-8")
    code, settings = re.search(r"```python\n(# lab41_sce/methods/split_band.+?)```\n\n```yaml\n(.+?)```", page,
                               re.DOTALL).groups()
    namespace, build = {}, yaml.safe_load(settings)["build"]
    exec(code, namespace)
    assert build.pop("_target_") == "lab41_sce.methods.split_band.build"
    time = np.arange(10000) / 10000
    mixture = Mixture(np.stack([np.sin(2 * np.pi * 300 * time), np.sin(2 * np.pi * 2000 * time)]).astype(np.float32))
    masks = namespace["build"](Setup(front_end, None, 2), **build)(mixture)
    estimates = scoring.apply_masks(front_end, mixture.signal, masks)
    np.testing.assert_allclose(estimates[:, 500:-500], mixture.sources[:, 500:-500], atol=0.05)


def test_the_results_of_the_readme_are_those_of_the_model_and_the_article():
    rows = re.findall(r"^\| (.+?) \| +([\d.]+) \| +([\d.]+) \| +([\d.]+) \| +([\d.]+) \|$",
                      (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    shown = {name: [float(value) for value in values] for name, *values in rows}
    with open(ROOT / "results" / "model" / "two_speakers" / "summary.csv", encoding="utf-8") as file:
        means = {(row["system"], row["kind"]): float(row["mean"]) for row in csv.DictReader(file)
                 if row["metric"] == "SDRi" and row["split"] == "unseen"}
    with open(ROOT / "lab41_sce" / "article" / "figure6.csv", encoding="utf-8") as file:
        article = {row["method"]: row for row in csv.DictReader(line for line in file if not line.startswith("#"))}

    def of_run(system):
        return [means[system, kind] for kind in ("FF", "FM", "MM", "All")]

    def of_article(method):
        return [float(article[method][kind]) for kind in ("female_female", "female_male", "male_male", "all")]

    expected = {"shipped model": of_run("pretrained"),
                "ideal binary mask, an oracle that knows the true voices": of_run("ideal_binary_mask"),
                "article: source-contrastive estimation": of_article("source_contrastive_estimation"),
                "article: deep clustering": of_article("deep_clustering"),
                "article: permutation-invariant training (CNN)": of_article("pit_cnn")}
    assert shown.keys() == expected.keys()
    for name, values in expected.items():
        assert shown[name] == pytest.approx(values, abs=0.0501), name


def test_every_system_has_a_page():
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs" / "systems").glob("*.md"))
    systems = {path.stem for path in (ROOT / "experiments" / "method").glob("*.yaml")} - {"saved", "pretrained"}
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
