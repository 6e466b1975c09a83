"""Files that may be a stranger's become plain data: no reference is resolved, and no file can exhaust the memory.

A run folder or a configuration may come from somebody else. Their YAML may refer to the environment of this machine
(`${oc.env:NAME}`), grow without end by aliases, or nest deeper than Python can follow.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from lab41_sce.errors import UserError, reason

MAX_BYTES, MAX_DEPTH, MAX_ALIASES = 2**20, 50, 100  # a run's configuration has 4 kB, 5 levels and no alias


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file as plain data.

    Args:
        path: of the file.

    Returns:
        Nested dicts and lists of text, numbers and None; interpolations such as `${oc.env:NAME}` stay text.

    Raises:
        UserError: the file cannot be read, is too large, nests too deeply, has too many aliases or is no mapping.
    """
    from omegaconf import OmegaConf  # takes 0.1 seconds, which a separation does not need
    from omegaconf.errors import OmegaConfBaseException

    try:
        text = _read_text(path)
        check_yaml(text)
        config = OmegaConf.create(text)
        values = OmegaConf.to_container(config, resolve=False)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); give a YAML file.") from None
    if not isinstance(values, dict) or not values:
        raise UserError(f"{path} cannot be read (it contains no settings); give a YAML file.")
    return values  # type: ignore[return-value]


def check_yaml_file(path: Path) -> None:
    """Raise UserError if a YAML file cannot be read, is too large, nests too deeply or has too many aliases."""
    try:
        check_yaml(_read_text(path))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); give a YAML file.") from None


def check_yaml(text: str) -> None:
    """Raise ValueError if YAML nests too deeply or has too many aliases; nothing is built before."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"it nests more than {MAX_DEPTH} levels")
        if aliases > MAX_ALIASES:
            raise ValueError(f"it has more than {MAX_ALIASES} aliases")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Raises:
        UserError: the file cannot be read, is too large or contains something else.
    """
    try:
        values = json.loads(_read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); give a JSON file.") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} cannot be read (it contains no object); give a JSON file.")
    return values


def _read_text(path: Path) -> str:
    """Read a file of limited size as UTF-8."""
    with open(path, "rb") as file:
        contents = file.read(MAX_BYTES + 1)
    if len(contents) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    return contents.decode("utf-8")


def flatten(values: dict[str, Any], name: str = "") -> dict[str, Any]:
    """Flatten nested settings: dotted name to value; an empty group stays as it is."""
    flat = {}
    for key, value in values.items():
        dotted = f"{name}.{key}" if name else str(key)
        flat |= flatten(value, dotted) if isinstance(value, dict) and value else {dotted: value}
    return flat
