"""Names in a configuration or in an override that no setting has become one sentence, with the nearest name.

Values of networks and systems outside their range become one sentence, too.

The settings of networks and systems are those in `experiments/network/*.yaml` and `experiments/method/*.yaml`: a
function may be called with the arguments that one of these files gives to it.
"""

import functools
import re
from collections.abc import Collection
from typing import Any

import yaml
from hydra.errors import MissingConfigException, OverrideParseException

from lab41_sce.errors import UserError
from lab41_sce.methods.settings import check_arguments
from lab41_sce.setting import refuse_unknown
from lab41_sce.suggestion import did_you_mean, nearest
from lab41_sce.yaml_defaults import CONFIG_PATH

SYSTEM_SETTINGS = ("name", "about", "splits", "build")
# A function of the user may give another meaning to the name of an argument.
OF_PACKAGE = re.compile(r"lab41_sce\.(models\.(networks|mask_network|band_split)|"
                        r"methods\.(attractor|complex_masks|deep_clustering|nmf|pit|recurrent_mask|sce|waveform))\.")
HYDRA_NODE = "settings"  # the declared defaults, which are no choice


def check_systems(values: dict[str, Any]) -> None:
    """Raise UserError about a name in `network`, `method` or `others` that is no setting, or a value out of range.

    Args:
        values: a configuration as plain data, in which these groups and their `build` are mappings.
    """
    _check_call(values["network"], "network")
    for name, system in {"method": values["method"],
                         **{f"others.{name}": system for name, system in values["others"].items()}}.items():
        refuse_unknown(SYSTEM_SETTINGS, system, name)
        _check_call(system["build"], f"{name}.build")


def _check_call(call: dict[str, Any], name: str) -> None:
    """Check the arguments of a function: names that a file gives to it, and ranges; here and in inner calls."""
    known = _arguments().get(str(call.get("_target_")))
    if known:  # a function of the user has no file here; Python reports its unknown arguments
        if name == "network" and "units" in {*call} - known:  # most experiments set it
            raise UserError("network.units is no setting of this network, but the experiment sets it; remove it by "
                            "'~network.units'.")
        refuse_unknown(known, call, name)
    if OF_PACKAGE.match(str(call.get("_target_"))):
        check_arguments(call, name)
    if isinstance(call.get("changes"), dict):  # of a saved model
        check_arguments(call["changes"], f"{name}.changes")
    for key, value in call.items():
        if isinstance(value, dict) and "_target_" in value:
            _check_call(value, f"{name}.{key}")


@functools.cache
def _arguments() -> dict[str, set[str]]:
    """Collect the arguments of each function in the files of networks and systems."""
    arguments: dict[str, set[str]] = {}

    def collect(values: Any) -> None:
        if not isinstance(values, dict):
            return
        if "_target_" in values:
            arguments.setdefault(values["_target_"], {"_partial_"}).update(values)
        for value in values.values():
            collect(value)

    for kind in ("network", "method"):
        for file in sorted((CONFIG_PATH / kind).glob("*.yaml")):
            collect(yaml.safe_load(file.read_text("utf-8")))
    return arguments


def composing_error(error: Exception, known: Collection[str]) -> UserError:
    """Turn an exception of Hydra or OmegaConf into one sentence.

    Args:
        error: raised while a configuration was composed.
        known: dotted names of the settings, and names of the groups of files.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    reason = lines[0].rstrip(".")
    name = reason.partition("'")[2].partition("'")[0]
    add = "To append to your default list use "
    if reason.startswith("error: "):  # of `config_files.py`
        return UserError(lines[0].removeprefix("error: "))
    if isinstance(error, OverrideParseException):
        name, example = error.override.partition("=")[0], "; give settings like this: training.minutes=60."
        if name in known:
            return UserError(f"{name} has no value{example}")
        return UserError(f"{name} is no setting{did_you_mean(name, known) or example}")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, file = error.missing_cfg_file.rpartition("/")
        choices = [option for option in error.options if option != HYDRA_NODE]
        near = nearest(file, choices)
        return UserError(f"{group}={file} is not possible{f' (did you mean {near}?)' if near else ''}; choose from "
                         f"{', '.join(choices)}.")
    if reason.startswith("Ambiguous value"):
        setting, _, value = name.partition("=")
        return UserError(f"{name} has several values; give {setting}=[{value}] for a list, or add -m to run an "
                         "experiment with each.")
    for line in lines:
        choice = line.removeprefix(add)
        if line.startswith(add) and choice.lstrip("+").partition("=")[0].partition("@")[0] in known:
            return UserError(f"{choice.lstrip('+')} needs a + before it; give {choice}.")
    if reason.startswith(("Could not override", "Could not delete")):
        return UserError(f"{name} is no setting{did_you_mean(name, known) or '; --settings lists the settings.'}")
    return UserError(f"the settings cannot be composed ({reason}); correct this setting.")
