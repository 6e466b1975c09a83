"""The notebooks are short, define almost nothing, and contain only pictures as outputs. `make test` also runs them."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="an installed package has no notebooks")


def test_there_are_four_in_order():
    assert [path.name[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, 4)


def test_it_is_short(notebook):
    nbformat.validate(notebook)
    assert 5 < len(notebook.cells) < 15
    assert notebook.cells[0].source.startswith("# ")


def test_it_defines_almost_nothing(notebook):
    code = "\n".join(cell.source.replace("%matplotlib", "# ") for cell in notebook.cells if cell.cell_type == "code")
    defined = [node for node in ast.walk(ast.parse(code)) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert len(defined) <= 1 and "lab41_sce" in code


def test_its_outputs_are_small_pictures(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs and all(set(output.data) == {"image/png"} for output in outputs)
    assert all(len(output.data["image/png"]) < 150_000 for output in outputs)  # of base64
    assert not any(cell.get("execution_count") for cell in notebook.cells)


def test_it_contains_no_path_of_one_machine(notebook):
    text = "\n".join(cell.source for cell in notebook.cells)
    assert not re.search(r"(?<![\w.$/])/(home|work|root|tmp|Users)/|[A-Z]:\\", text)


def test_its_links_lead_to_existing_files(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\(((?!https?:)[^)]+)\)", text)
    assert [target for target in targets if not (NOTEBOOKS[0].parent / target).exists()] == []
