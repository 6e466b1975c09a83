"""Names of systems, and of the functions that build them, are checked before anything else is loaded.

A name becomes the name of a folder and of a column, so it has letters, digits, _ and - only. A configuration may be a
stranger's, so it may call the front end, the networks and the systems of this package, and nothing else.
"""

import ast
import re
from pathlib import Path
from typing import Any

from lab41_sce.errors import UserError, reason
from lab41_sce.suggestion import did_you_mean

NAME = re.compile(r"[A-Za-z0-9_-]+")
TARGETS = re.compile(r"lab41_sce\.(models\.front_end\.FrontEnd|models\.(networks|mask_network|band_split)\.\w+|"
                     r"methods\.\w+\.\w+|evaluation\.saved_model\.build)")
PACKAGE = Path(__file__).resolve().parents[1]


def check_names(values: dict[str, Any]) -> None:
    """Raise UserError about a system without a name that can be used.

    Args:
        values: a configuration as plain data, in which `method` and each of `others` are mappings.
    """
    for place, system in {"method": values["method"],
                          **{f"others.{name}": system for name, system in values["others"].items()}}.items():
        name = system.get("name")
        if name is None:
            raise UserError(f"{place}.name must be given; write the name of the system into its file, like this: "
                            "name: my_system.")
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise UserError(f"{place}.name={name} is not possible; give a name of letters from a to z, digits, _ and "
                            "-.")
    for name, system in values["others"].items():
        if (own := system["name"]) != name:
            raise UserError(f"others.{name}.name={own} is not possible; use one name, +method@others.{own}={own}, or "
                            f"set the other, others.{name}.name={name}.")


def check_targets(values: Any, name: str = "") -> None:
    """Raise UserError where a configuration calls a function or class that is not there, or outside `TARGETS`.

    Args:
        values: a configuration as plain data, or a part of it.
        name: dotted name of the part.
    """
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        dotted = f"{name}.{key}" if name else str(key)
        if key == "_target_":
            if not TARGETS.fullmatch(str(value)):
                raise UserError(f"{dotted}={value} is not possible: {_possible(name)}.")
            _check_exists(dotted, value)
        if isinstance(value, (dict, list)):
            check_targets(value, dotted)


def target_file(target: str) -> Path:
    """Return the Python file of a function or class of this package, such as `lab41_sce.methods.sce.build`."""
    return PACKAGE.joinpath(*target.split(".")[1:-1]).with_suffix(".py")


def _possible(place: str) -> str:
    """Say what the configuration of a front end, of a network or of a system may call."""
    if place == "front_end":
        return "the front end is lab41_sce.models.front_end.FrontEnd; change its settings"
    return ("a configuration may call lab41_sce.models.networks.NAME or lab41_sce.methods.FILE.NAME only; put your own "
            "function there, or use one that returns voices from anywhere, by method=waveform")


def _check_exists(dotted: str, target: str) -> None:
    """Raise UserError if a file of this package, or what it defines, is missing; nothing is imported."""
    file, wanted = target_file(target), target.rpartition(".")[2]
    if not file.is_file():
        near = did_you_mean(file.stem, [other.stem for other in file.parent.glob("*.py")])
        raise UserError(f"{dotted}={target} is not possible: there is no file {file.relative_to(PACKAGE.parent)}"
                        f"{near or '; put your own function there.'}")
    try:
        parts = ast.parse(file.read_text("utf-8")).body
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UserError(f"{dotted}={target} is not possible: {file.relative_to(PACKAGE.parent)} cannot be read as "
                        f"Python ({reason(error)}); correct it.") from None
    names = set()
    for node in parts:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    if wanted not in names:
        hint = did_you_mean(wanted, [name for name in names if not name.startswith("_")])
        raise UserError(f"{dotted}={target} is not possible: {file.relative_to(PACKAGE.parent)} has no {wanted}"
                        f"{hint or '; give the name of a function in it.'}")
