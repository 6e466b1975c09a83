"""The rooms of the package import in one direction, and every file is short.

A package's file imports only rooms that come before its own. Circles between files are found, too.
"""

import ast
import importlib.util
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lab41_sce

ROOT = Path(lab41_sce.__file__).parent
ROOMS = ("audio", "data", "models", "methods", "training", "separation", "evaluation", "runs", "reporting", "article",
         "demo", "commands")
FILES = {".".join(("lab41_sce", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
         for path in ROOT.rglob("*.py")}


def imported(name):
    """Return the package's modules that a module imports, also inside functions."""
    package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {f"{module}.{alias.name}" if f"{module}.{alias.name}" in FILES else module for alias in node.names}
    return {module for module in found if module in FILES} - {name}


def room(module):
    """Return the room of a module; None for the modules at the top, which every room may import."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


@pytest.mark.parametrize("name", [name for name in FILES if room(name)])
def test_a_module_imports_only_earlier_rooms(name):
    against = [module for module in imported(name)
               if room(module) and ROOMS.index(room(module)) > ROOMS.index(room(name))]
    assert not against


def test_no_files_import_each_other_in_a_circle():
    [*TopologicalSorter({name: imported(name) for name in FILES}).static_order()]  # raises CycleError


def test_files_have_at_most_300_lines():
    assert not [name for name, path in FILES.items() if len(path.read_text("utf-8").splitlines()) > 300]
