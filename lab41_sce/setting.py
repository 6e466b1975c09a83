"""One declaration for each setting: a dataclass field with default, range, unit, choices and help.

    @dataclass
    class TrainingSettings:
        minutes: float | None = setting(None, "Limit of the training time", unit="minutes", at_least=1e-3)

The type of the field is the type of the setting: `int` is a whole number, `| None` allows null, and the limits and
choices of a list hold for its elements. `check_fields` compares a mapping of values with the declarations.
"""

import copy
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from lab41_sce.errors import UserError
from lab41_sce.suggestion import nearest

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text (a number in quotes)",
          NoneType: "null"}


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The meaning of a setting and its possible values.

    Attributes:
        help: one sentence about the meaning.
        unit: of the value, such as "seconds".
        at_least: lowest value.
        at_most: highest value.
        below: limit that the value must stay below.
        choices: the possible texts.
        distinct: whether the elements of a list must differ.
        free_on_resume: whether a run may be resumed with another value.
        is_location: whether the setting is a place or a mode of the call, which a comparison of runs leaves out.
    """

    help: str
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    distinct: bool = False
    free_on_resume: bool = False
    is_location: bool = False

    def allows(self, value: Any) -> bool:
        """Return whether a value of the right type is in the range or among the choices."""
        if isinstance(value, list):
            return all(map(self.allows, value)) and not (self.distinct and len(set(value)) < len(value))
        if isinstance(value, str):
            return not self.choices or value in self.choices
        if value is None or isinstance(value, (bool, dict)):
            return True
        return (math.isfinite(value) and (self.at_least is None or self.at_least <= value)
                and (self.at_most is None or value <= self.at_most)
                and (self.below is None or value < self.below))

    def range(self) -> str:
        """Return the limits in words; an empty string without limits."""
        limits = (("at least", self.at_least), ("at most", self.at_most), ("below", self.below))
        return " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)


def setting(default: Any, help: str, **options: Any) -> Any:
    """Declare a setting as a dataclass field.

    Args:
        default: the default value; lists and dictionaries are copied for each instance.
        help: one sentence about the meaning.
        **options: the other attributes of `Declaration`.
    """
    metadata = {"setting": Declaration(help=help, **options)}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def group(settings: type, *, free_on_resume: bool = False) -> Any:
    """Declare a group of settings, which is another dataclass, as a dataclass field.

    Args:
        settings: the dataclass of the group.
        free_on_resume: whether a run may be resumed with other values in this group.
    """
    return field(default_factory=settings, metadata={"group": settings, "free_on_resume": free_on_resume})


def declaration(item: Field) -> Declaration:
    """Return the declaration of a field made by `setting`."""
    return item.metadata["setting"]


def defaults(settings: type) -> dict[str, Any]:
    """Return the default of every setting of a dataclass, with groups as inner dictionaries."""
    values: dict[str, Any] = {}
    for item in fields(settings):
        if "group" in item.metadata:
            values[item.name] = defaults(item.metadata["group"])
        else:
            values[item.name] = item.default if item.default is not MISSING else item.default_factory()  # type: ignore
    return values


def names_of(settings: type, flag: str, prefix: str = "") -> list[str]:
    """List the dotted names of the settings, and of the whole groups, that have a flag.

    Args:
        settings: the dataclass to search, groups included.
        flag: "free_on_resume" or "is_location".
        prefix: added to each name; used for groups.
    """
    names = []
    for item in fields(settings):
        if item.metadata.get(flag) or ("setting" in item.metadata and getattr(declaration(item), flag)):
            names.append(prefix + item.name)
        elif "group" in item.metadata:
            names += names_of(item.metadata["group"], flag, f"{prefix}{item.name}.")
    return names


def check_fields(settings: type, values: Mapping[str, Any], name: str = "") -> None:
    """Compare values with the declarations of a dataclass; call the function again for each group of settings.

    Args:
        settings: the dataclass.
        values: plain values by field name; a missing one counts as null.
        name: dotted name of the group, for messages.

    Raises:
        UserError: a value has the wrong type, lies outside its range, or is not among the choices.
    """
    kinds = get_type_hints(settings)
    for item in fields(settings):
        if "group" in item.metadata:
            continue
        value, dotted = values.get(item.name), f"{name}.{item.name}" if name else item.name
        if not (_has_type(value, kinds[item.name]) and declaration(item).allows(value)):
            raise UserError(f"{dotted}={value} is not possible; give {expected(item, kinds[item.name])}.")


def refuse_unknown(known: Collection[str], names: Iterable[str], group: str = "") -> None:
    """Raise UserError if a group has no setting of one of these names; the message contains the nearest name.

    Args:
        known: names of the settings of the group.
        names: those to compare.
        group: dotted name of the group; empty for that of all settings.
    """
    prefix = f"{group}." if group else ""
    for unknown in sorted(set(map(str, names)) - set(known)):
        choices = [name for name in known if not name.startswith("_")]
        near = nearest(unknown, choices)
        raise UserError(f"{prefix}{unknown} is no setting; " + (
            f"did you mean {prefix}{near}?" if near else f"there are {', '.join(choices) or 'none here'}."))


def expected(item: Field, kind: Any) -> str:
    """Describe the possible values of a setting, such as "a whole number of at least 1, or null"."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return ", or ".join(_describe(member, declaration(item)) for member in members)


def _describe(kind: Any, about: Declaration) -> str:
    """Describe the values of a type within the declared limits."""
    if get_origin(kind) is list:
        return f"a list of {'different ' if about.distinct else ''}values, each {_describe(get_args(kind)[0], about)}"
    if get_origin(kind) is dict:
        return "a mapping"
    if kind is str and about.choices:
        return f"one of {', '.join(about.choices)}"
    limits = about.range() if kind in (int, float) else ""
    return f"{_NAMES[kind]} of {limits}" if limits else _NAMES[kind]


def _has_type(value: object, kind: Any) -> bool:
    """Return whether a plain value has a type; a whole number is a float, too, and a bool is no number."""
    if get_origin(kind) in (Union, UnionType):
        return any(_has_type(value, member) for member in get_args(kind))
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_has_type(element, get_args(kind)[0]) for element in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    if kind in (int, float):
        return isinstance(value, Real if kind is float else Integral) and not isinstance(value, bool)
    return isinstance(value, kind)
