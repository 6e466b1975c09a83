"""The check before a run is resumed: its settings must be those of its beginning."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lab41_sce.errors import UserError
from lab41_sce.methods.settings import Arguments
from lab41_sce.plain_data import flatten
from lab41_sce.runs.config_schema import Settings, setting_names
from lab41_sce.runs.renamed_settings import load_config
from lab41_sce.setting import defaults

# Of systems: descriptions, and places of saved models.
FREE_ENDINGS = (".about", ".build.path")
MAX_NAMES = 10  # of settings in a message


def check_same_settings(config: DictConfig, folder: Path) -> None:
    """Raise UserError unless the run in a folder began with the settings of a configuration.

    Settings with `free_on_resume` (limits, locations, evaluation) may differ, and systems may be added. But
    `evaluation.seed` also draws the validation mixtures, which choose the best model.

    Args:
        config: the composed configuration.
        folder: of the run, with its config.yaml.
    """
    try:
        kept = load_config(folder)
    except UserError as error:
        raise UserError(f"{str(error).partition(';')[0]}; restore the file from a copy, choose another run_dir, or "
                        "start again with overwrite=true.") from None
    now = comparable(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    # A setting that did not exist when the run began had the value that is the default now.
    usual = flatten(defaults(Settings)) | {f"build.{name}": value for name, value in defaults(Arguments).items()}
    earlier = {name: usual[_declared(name)] for name in now if _declared(name) in usual} | comparable(kept)
    systems = kept.get("others") or {}
    added = tuple(f"others.{name}." for name in config.others if name not in systems)
    different = sorted(name for name in earlier.keys() | now.keys()
                       if earlier.get(name) != now.get(name) and not name.startswith(added))
    if different:
        names = different[:MAX_NAMES]
        if len(different) > MAX_NAMES:
            names[-1] += f" and {len(different) - MAX_NAMES} more in its config.yaml"
        raise UserError(f"{folder} holds a run with other settings ({', '.join(names)}); resume with the same ones, "
                        "choose another run_dir, or start again with overwrite=true.")


def comparable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten the settings that a resumed run must share with its beginning: dotted name to value."""
    free = tuple(f"{name}." for name in setting_names("free_on_resume"))
    every = flatten(dict(values))
    flat = {name: value for name, value in every.items()
            if value != {} and not name.endswith(FREE_ENDINGS)
            and (name == "evaluation.seed" or not f"{_declared(name)}.".startswith(free))}
    if every.get("rooms.file") is not None:
        flat["rooms.file"] = "a bank"  # its place may differ
    decisive = {"noise.": "noise.training_snr_db", "rooms.": "rooms.file"}
    unused = tuple(group for group, name in decisive.items() if flat.get(name) is None)
    return {name: value for name, value in flat.items() if not name.startswith(unused)}


def _declared(name: str) -> str:
    """Return the name under which a setting is declared.

    It is "corpus.root" for "corpus.added.NAME.root", and "build.scale" for that of a system.
    """
    return re.sub(r"^(method|others\.[^.]+)\.build\.", "build.", re.sub(r"^corpus\.added\.[^.]+\.", "corpus.", name))
