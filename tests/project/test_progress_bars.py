"""No progress bar is written into a log."""

import ast
from pathlib import Path

import lab41_sce

PACKAGE = Path(lab41_sce.__file__).parent


def bars():
    """Yield (file, line, value of `disable`) of every call of tqdm in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tqdm":
                values = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "disable"]
                yield path.relative_to(PACKAGE), node.lineno, *(values or ["False"])


def test_bars_are_off_where_standard_error_is_no_terminal():
    """With `disable=None`, tqdm shows a bar on a terminal only."""
    found = [*bars()]
    assert len(found) > 10
    assert not [bar for bar in found if not (bar[2].endswith("None") or bar[2] == "True")]
