"""Old names become new ones: in overrides, in the config.yaml of earlier runs, and in their tables of scores.

Settings, experiments, functions and systems were renamed in version 0.2.0. An override with an old name works and
prints one line with the new name; the files of an earlier run are read as if they had the new names.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from lab41_sce.plain_data import read_yaml

# The last two parts of a dotted name; the first part is the group of the setting, of whatever system.
RENAMED_SETTINGS = {
    "mixtures.easy_batches": "curriculum_batches",
    "network.rank": "bottleneck_rank",
    "build.frame_step": "loss_frame_stride",
    "build.step_ratio": "speaker_lr_multiplier",
    "build.centre_share": "centroid_loss_weight",
    "build.weight_as_heard": "weight_without_pre_emphasis",
}
RENAMED_EXPERIMENTS = {"pretrained": "cpu_hours", "quick": "cpu_half_hour", "pretrained_gpu": "shipped",
                       "paper": "article"}
# Beginnings of the names of functions and classes.
RENAMED_TARGETS = {
    "lab41_sce.features.": "lab41_sce.models.front_end.",
    "lab41_sce.networks.": "lab41_sce.models.networks.",
    "lab41_sce.methods.saved.": "lab41_sce.evaluation.saved_model.",
}
RENAMED_SYSTEM_ENDINGS = {"_true_centres": "_oracle_centroids"}


def renamed_overrides(overrides: Sequence[str]) -> list[str]:
    """Replace old names in Hydra overrides, with one line on stderr for each.

    Args:
        overrides: as on the command line, such as "mixtures.easy_batches=100" or "+exp=quick".

    Returns:
        The overrides under the new names; others as they are.
    """
    renamed = [_renamed_override(override) for override in overrides]
    for old, new in zip(overrides, renamed, strict=True):
        if new != old:
            print(f"{old} is an old name; it is now {new}", file=sys.stderr)
    return renamed


def renamed_config(config: DictConfig) -> DictConfig:
    """Return a composed configuration under today's names, with one line on stderr if an experiment file had old ones.

    Args:
        config: as composed; an old name beside a new one takes precedence, since the new one is a default.
    """
    values = OmegaConf.to_container(config)
    renamed = renamed_settings(values)  # type: ignore[arg-type]
    if renamed == values:
        return config
    print(f"the configuration has old names; {', '.join(RENAMED_SETTINGS)} are now "
          f"{', '.join(RENAMED_SETTINGS.values())}", file=sys.stderr)
    return OmegaConf.create(renamed)


def load_config(path: str | Path) -> dict[str, Any]:
    """Read the settings of a run, under today's names.

    Args:
        path: folder of the run, or its config.yaml.

    Returns:
        Nested plain data; an interpolation stays text, since the run may be a stranger's.

    Raises:
        UserError: there is no such file, or it holds no settings.
    """
    return renamed_settings(read_yaml(Path(path) / "config.yaml" if Path(path).is_dir() else Path(path)))


def renamed_settings(values: dict[str, Any], group: str = "") -> dict[str, Any]:
    """Return nested settings under today's names.

    Args:
        values: plain data, perhaps with old names of settings and functions.
        group: name of the group that holds these values.
    """
    renamed: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            value = renamed_settings(value, str(key))
        elif key == "_target_":
            value = _renamed_target(str(value))
        renamed[RENAMED_SETTINGS.get(f"{group}.{key}", key)] = value
    return renamed


def renamed_systems(names: pd.Series) -> pd.Series:
    """Return names of systems, such as the column `system` of an earlier mixtures.csv, as today's runs write them."""
    for old, new in RENAMED_SYSTEM_ENDINGS.items():
        names = names.str.replace(f"{old}$", new, regex=True)
    return names


def _renamed_override(override: str) -> str:
    """Replace the old name in one override, if it has any."""
    match = re.fullmatch(r"([~+]*)([^=]+)(?:(=)(.*))?", override, re.DOTALL)
    if match is None:
        return override
    prefix, name, sign, value = match[1], match[2], match[3] or "", match[4] or ""
    head, _, last = name.rpartition(".")
    last = RENAMED_SETTINGS.get(f"{head.rpartition('.')[2]}.{last}", last)
    if name == "exp":
        value = ",".join(RENAMED_EXPERIMENTS.get(part, part) for part in value.split(","))
    elif last == "_target_":
        value = _renamed_target(value)
    return f"{prefix}{head}{'.' * bool(head)}{last}{sign}{value}"


def _renamed_target(target: str) -> str:
    """Return today's name of a function or class."""
    for old, new in RENAMED_TARGETS.items():
        if target.startswith(old):
            return new + target.removeprefix(old)
    return target
