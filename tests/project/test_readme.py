"""The documents state only numbers that runs measured, and the results are complete and kept once.

A table whose head names a measure (`SDRi All`, `value`, ...) is a table of results. Its section must name the files
under `results/` that its numbers come from, and every row must be found there.
"""

import csv
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from lab41_sce.data.mixture import Mixture
from lab41_sce.evaluation import scoring
from lab41_sce.methods.base import Setup

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
pytestmark = pytest.mark.skipif(not RESULTS.exists(), reason="the tests of an installed package have no results")

CARD = ROOT / "lab41_sce" / "pretrained" / "MODEL_CARD.md"
FIGURE_6 = ROOT / "lab41_sce" / "article" / "figure6.csv"  # the numbers of the article
MEASURED = re.compile(r"(SDRi?|SIRi?|SAR|SI-SDRi?)( [FM]+| All)?( \(dB\))?|FF|FM|MM|All|value|ratio|correct|right|"
                      r"swapped|.*, (ms|s|hours)")
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
PLACES = [  # of results that other work reads
    *(f"model/{name}/summary.csv" for name in ("two_speakers", "three_speakers", "rooms", "counting", "diarisation",
                                               "conversations", "enrolment")),
    *(f"comparisons/{name}/summary.csv" for name in ("librispeech", "three_speakers", "embedded", "article_size")),
    "claims/REPORT.md", "performance/summary.csv", "reliability/summary.csv"]


class Row(NamedTuple):
    """A row of a table: the texts of its cells without numbers, and the numbers of the others."""

    texts: frozenset[str]
    numbers: list[str]


def documents() -> list[Path]:
    """Return the documents whose tables are checked."""
    return [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *RESULTS.rglob("README.md"), CARD]


def sections(text: str) -> list[str]:
    """Split a document before each heading."""
    return re.split(r"^(?=#+ )", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), flags=re.MULTILINE)


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables of a text, each as its head and its rows of cells."""
    found = re.findall(r"^\|.*\n\|[ :|-]+\|\n(?:\|.*\n?)*", text, re.MULTILINE)
    cells = [[[cell.strip(" *") for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]
             for table in found]
    return [[rows[0], *rows[2:]] for rows in cells]


def row_of(cells: list[str]) -> Row:
    """Divide cells into texts and numbers; a cell such as `10.1 [9.8, 10.3]` has three numbers."""
    numeric = [cell for cell in cells if re.fullmatch(r"[-+\d.,e\[\] ]*\d[-+\d.,e\[\] ]*", cell)]
    numbers = [number.replace(",", "") for cell in numeric for number in NUMBER.findall(cell.replace(", ", " "))]
    return Row(frozenset(cell for cell in cells if cell and cell not in numeric), numbers)


def rows_of(file: Path) -> list[Row]:
    """Return the rows of the tables in a file in Markdown or CSV."""
    text = file.read_text("utf-8")
    if file.suffix == ".md":
        return [row_of(row) for table in tables(text) for row in table[1:]]
    return [row_of(cells) for cells in list(csv.reader(text.splitlines()))[1:]]


def named_files(document: Path, text: str) -> set[Path]:
    """Return the files and folders under `results/` that a text names, as a link or between backticks."""
    links = [document.parent / link.partition("#")[0] for link in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", text)]
    quoted = [ROOT / path for path in re.findall(r"`(results/[^`$ ]+)`", text)]
    return {path.resolve() for path in (*links, *quoted) if path.resolve().is_relative_to(RESULTS)}


def written_rows(document: Path, section: str) -> list[Row]:
    """Return the rows in the folders of the files that a section names, and those of the article."""
    folders = {path if path.is_dir() else path.parent for path in named_files(document, section)} - {RESULTS}
    return [row for folder in folders for kind in ("table.md", "summary.csv", "REPORT.md", "claim.md", "timing.csv")
            for file in folder.glob(kind) for row in rows_of(file)] + article_rows()


def article_rows() -> list[Row]:
    """Return the rows of the article's Figure 6, in the order FF, FM, MM, All."""
    with FIGURE_6.open(encoding="utf-8", newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return [Row(frozenset(), [row[kind] for kind in ("female_female", "female_male", "male_male", "all")])
            for row in csv.DictReader(lines)]


def follows(numbers: list[str], written: list[str]) -> bool:
    """Return whether a written row has the numbers, in this order, when rounded to as many decimals as these have."""
    remaining = iter(written)
    return all(any(abs(float(other) - float(number)) <= 0.5 * 10.0 ** -len(number.partition(".")[2]) + 1e-9
                   for other in remaining) for number in numbers)


def supported(row: Row, written: list[Row]) -> bool:
    """Return whether a row is written: under the same name, or, under a name of its own, at least three numbers."""
    named = [other for other in written if row.texts and row.texts <= other.texts]
    if not named and len(row.numbers) < 3:
        return False
    return any(follows(row.numbers, other.numbers) for other in named or written)


def unsupported(document: Path) -> list[str]:
    """Return the rows of a document's tables of results that no file named in their section has."""
    missing = []
    for section in sections(document.read_text("utf-8")):
        measured = [table for table in tables(section) if any(MEASURED.fullmatch(head) for head in table[0])]
        written = written_rows(document, section) if measured else []
        for head, *rows in measured:
            for cells in rows:
                row = row_of([cell for name, cell in zip(head, cells, strict=True) if name != "unit"])
                if row.numbers and not supported(row, written):
                    missing.append(f"{document.name}: {' | '.join(cells)}")
    return missing


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_row_of_a_table_of_results_is_in_the_files_that_its_section_names(document):
    assert unsupported(document) == []


@pytest.mark.parametrize(("row", "fits"), [
    ("| shipped model | 10.0 | 10.6 | 9.1 | 10.1 |", True),
    ("| shipped model | 10.0 | 10.6 | 9.1 | 10.2 |", False),
    ("| shipped model | 10.6 | 10.0 | 9.1 | 10.1 |", False),  # another order
    ("| pretrained | 14.9 | 15.0 | 14.8 | 14.9 |", False),  # the row of another system
    ("| sce | 5.5 | 7.3 | 6.1 | 6.6 |", False)])  # of files that the section does not name
def test_a_changed_score_is_found(monkeypatch, row, fits):
    document = ROOT / "docs" / "page.md"
    monkeypatch.setattr(Path, "read_text", _reading(document, "# Scores\n\n| system | FF | FM | MM | All |\n"
                                                    f"| --- | --: | --: | --: | --: |\n{row}\n\n"
                                                    "See `results/model/two_speakers/table.md`.\n"))
    assert (unsupported(document) == []) == fits


@pytest.mark.parametrize(("row", "fits"), [
    ("| indexing 10000 utterances, first | 0.5993 | s | 3.772 | 0.159 |", True),
    ("| indexing 10000 utterances, first | 0.6 | s | 3.77 | 0.159 |", True),  # rounded
    ("| indexing 10000 utterances, first | 0.4993 | s | 3.772 | 0.159 |", False),
    ("| indexing 10000 utterances, first | 0.5027 | s | 3.184 | 0.158 |", False),  # the numbers of another row
    ("| indexing | 0.5993 | s | | |", False)])  # a name that is in no file
def test_a_changed_cost_is_found(monkeypatch, row, fits):
    document = ROOT / "docs" / "page.md"
    monkeypatch.setattr(Path, "read_text", _reading(document, "# Costs\n\n| name | value | unit | reference | ratio |\n"
                                                    f"| --- | --: | --- | --: | --: |\n{row}\n\n"
                                                    "[Table](../results/performance/table.md)\n"))
    assert (unsupported(document) == []) == fits


def test_the_counts_that_the_results_name_are_those_of_the_mixtures():
    with (RESULTS / "model/counting/mixtures.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sure = [row for row in rows if float(row[f"probability_{row['counted']}"]) >= 0.8]
    right = sum(row["counted"] == row["speakers"] for row in sure)
    wrong = [(int(row["speakers"]), int(row["counted"])) for row in rows if "noise" not in row["condition"]
             and row["counted"] != row["speakers"]]
    by_one = sum(abs(number - counted) == 1 for number, counted in wrong)
    text = " ".join((RESULTS / "README.md").read_text("utf-8").split())
    assert f"Of the {len(sure)} estimates with a probability of at least 80 %, {right} are correct." in text
    assert (f"Without noise, {by_one} of {len(wrong)} errors are by one: two are counted as three "
            f"{wrong.count((2, 3))} times, three as four {wrong.count((3, 4))} times, four as five "
            f"{wrong.count((4, 5))} times and as three {wrong.count((4, 3))} times.") in text


def _reading(document: Path, text: str):
    """Return a `Path.read_text` that gives a document this text."""
    read_text = Path.read_text
    return lambda path, *arguments, **options: text if path == document else read_text(path, *arguments, **options)


@pytest.mark.parametrize("document", [*RESULTS.rglob("*.md"), CARD], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_the_results_name_exists(document):
    text = document.read_text("utf-8")
    links = {link.partition("#")[0] for link in re.findall(r"\]\((?!http|#)([^)]+)\)", text)}
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_readme_of_the_results_names_every_place_that_other_work_reads():
    text = (RESULTS / "README.md").read_text("utf-8")
    for place in PLACES:
        if (RESULTS / place).exists():
            assert str(Path(place).parent) in text, place
        else:
            assert re.search(rf"`{place}`.{{0,20}}not measured yet", text), place


def test_no_table_of_results_is_kept_twice():
    seen: dict[str, Path] = {}
    for path in sorted(path for path in RESULTS.rglob("*") if path.is_file() and path.stat().st_size > 1000):
        twin = seen.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
        assert twin == path, f"{path} has the content of {twin}"


def test_tables_and_summaries_name_the_systems_alike():
    for table in RESULTS.glob("*/*/table.md"):
        head, *rows = tables(table.read_text("utf-8"))[0]
        if "system" in head:
            with (table.parent / "summary.csv").open(encoding="utf-8", newline="") as file:
                systems = {row["system"] for row in csv.DictReader(file)}
            assert {row[head.index("system")].replace(" ", "_") for row in rows} == systems, table


def test_the_model_card_has_the_numbers_that_runs_wrote(monkeypatch):
    monkeypatch.syspath_prepend(str(next((ROOT / "tools").rglob("write_model_card.py")).parent))
    from write_model_card import card

    assert CARD.read_text("utf-8") == card()


def test_every_verdict_is_in_the_report_on_the_claims():
    def verdicts(path):
        return set(re.findall(r"^\| (.+?) +\| (\*\*.+?\*\*) +\|$", path.read_text("utf-8"), re.MULTILINE))

    report = verdicts(RESULTS / "claims" / "REPORT.md")
    assert len(report) == 6 and verdicts(RESULTS / "README.md") == report
    for document in documents():
        tables_of_claims = [table for table in tables(document.read_text("utf-8")) if table[0] == ["claim", "verdict"]]
        assert not tables_of_claims or verdicts(document) <= report, document


def test_the_example_of_a_system_of_your_own_works_as_shown(front_end):
    example = re.compile(r"```python\n(# lab41_sce/methods/split_band.+?)```.*?```yaml\n(.+?)```", re.DOTALL)
    found = [match.groups() for document in documents() for match in example.finditer(document.read_text("utf-8"))]
    assert found, "no document shows methods/split_band.py"
    for code, settings in found:
        assert len((code + settings).splitlines()) <= 20
        namespace, build = {}, yaml.safe_load(settings)["build"]
        exec(code, namespace)
        assert build.pop("_target_") == "lab41_sce.methods.split_band.build"
        time = np.arange(10000) / 10000
        sources = np.stack([np.sin(2 * np.pi * 300 * time), np.sin(2 * np.pi * 2000 * time)]).astype(np.float32)
        mixture = Mixture(sources)
        masks = namespace["build"](Setup(front_end, None, 2), **build)(mixture)
        estimates = scoring.apply_masks(front_end, mixture.signal, masks)
        np.testing.assert_allclose(estimates[:, 500:-500], mixture.sources[:, 500:-500], atol=0.05)
