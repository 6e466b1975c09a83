"""`import lab41_sce` is fast and offers a few names, each imported on first use."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import lab41_sce as sce

PACKAGE = Path(sce.__file__).parent


def test_the_import_takes_under_a_tenth_of_a_second_and_loads_no_library():
    code = ("import sys, time; start = time.perf_counter(); import lab41_sce; print(time.perf_counter() - start); "
            "print(*({'numpy', 'keras', 'tensorflow', 'sklearn', 'pandas'} & set(sys.modules)))")

    def measure():
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds, *loaded = result.stdout.split()
        assert loaded == []
        return float(seconds)

    assert min(measure() for _ in range(3)) < 0.1  # the fastest of three: other processes may slow one down


@pytest.mark.parametrize("name", sorted(sce.MODULES))
def test_every_public_name_is_what_its_module_defines(name):
    found = getattr(sce, name)
    assert found is getattr(importlib.import_module(sce.MODULES[name]), name)
    assert callable(found) and found.__doc__


def test_the_listed_names_are_the_public_ones():
    assert set(dir(sce)) == {"Separator", "separate", "load_audio", "score", "evaluation_mixtures", "training_batches",
                             "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'seperate'"):
        _ = sce.seperate


def test_the_stub_imports_the_same_names_from_the_same_modules():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text("utf-8"))
    imported = {alias.asname: (node.module, alias.name) for node in tree.body if isinstance(node, ast.ImportFrom)
                for alias in node.names}
    assert imported == {name: (module, name) for name, module in sce.MODULES.items()}
    declared = [node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)]
    assert declared == ["__version__"] and isinstance(sce.__version__, str)


def test_no_module_imports_the_entry_files_that_share_a_name_with_a_public_function():
    """Importing `lab41_sce.separate` as a module would replace the function `lab41_sce.separate`."""
    shadowing = {name for name in sce.MODULES if (PACKAGE / f"{name}.py").exists()}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            modules = names if isinstance(node, ast.Import) else [getattr(node, "module", None)]
            assert not {f"lab41_sce.{name}" for name in shadowing} & {*modules}, file
            assert not (isinstance(node, ast.ImportFrom) and node.module == "lab41_sce" and shadowing & {*names}), file


def test_type_checkers_find_the_hints():
    assert (PACKAGE / "py.typed").exists()
