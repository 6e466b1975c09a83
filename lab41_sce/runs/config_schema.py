"""Overrides become a checked configuration: Hydra composes plain values, `check` makes `Settings` of them.

    config = compose_config(["+exp=two_speaker", "training.minutes=60"])
    settings = check(config)

Every setting is declared once, in the dataclass of its room (`data/settings.py`, `models/settings.py`,
`training/settings.py`, `evaluation/settings.py`) or in `Settings`; Hydra receives the defaults from there. Networks and
systems are Hydra groups: `experiments/network/*.yaml` and `experiments/method/*.yaml` hold their settings.
"""

import functools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab41_sce.data.settings import CorpusSettings, MixtureSettings, NoiseSettings, RoomSettings, SplitSettings
from lab41_sce.errors import UserError, reason
from lab41_sce.evaluation.settings import EvaluationSettings, ParallelSettings, ValidationSettings
from lab41_sce.models.settings import FrontEndSettings
from lab41_sce.plain_data import flatten
from lab41_sce.runs.config_files import register_checked_files
from lab41_sce.runs.named_systems import check_names, check_targets
from lab41_sce.runs.renamed_settings import renamed_overrides
from lab41_sce.runs.unknown_settings import check_systems, composing_error
from lab41_sce.runs.without_effect import refuse_settings_without_effect
from lab41_sce.setting import (
    check_fields,
    declaration,
    defaults,
    expected,
    group,
    names_of,
    refuse_unknown,
    setting,
)
from lab41_sce.suggestion import did_you_mean, nearest
from lab41_sce.training.settings import TrainingSettings
from lab41_sce.yaml_defaults import CONFIG_PATH as CONFIG_PATH

FILE_GROUPS = ("network", "method", "corpus", "exp")
# Hydra raises ValueError for a file with a number as its name.
COMPOSING_ERRORS = (HydraException, OmegaConfBaseException, ValueError)


@dataclass
class Settings:
    """All settings of an experiment except those of its network and of its systems."""

    name: str | float = setting("default", "Name of the experiment, part of the run's folder",
                                free_on_resume=True)
    run_dir: str | float = setting("runs/${name}_${corpus.name}", "Folder of the run, which gets every file",
                                   free_on_resume=True, is_location=True)
    resume: bool = setting(False, "Whether to continue the run in run_dir, or to start it if there is none",
                           free_on_resume=True, is_location=True)
    overwrite: bool = setting(False, "Whether to delete the run in run_dir first", free_on_resume=True,
                              is_location=True)
    seed: int = setting(0, "Seed of the training mixtures, the weights and the confidence intervals", at_least=0)
    deterministic: bool = setting(False, "Whether TensorFlow adds up in a fixed order, so that the same seed gives the "
                                  "same bits", free_on_resume=True)
    embedding_size: int = setting(40, "Size of the embedding of a bin (K), for systems that cluster", at_least=1)
    corpus: CorpusSettings = group(CorpusSettings)
    splits: SplitSettings = group(SplitSettings)
    mixtures: MixtureSettings = group(MixtureSettings)
    noise: NoiseSettings = group(NoiseSettings)
    rooms: RoomSettings = group(RoomSettings)
    front_end: FrontEndSettings = group(FrontEndSettings)
    training: TrainingSettings = group(TrainingSettings)
    validation: ValidationSettings = group(ValidationSettings)
    evaluation: EvaluationSettings = group(EvaluationSettings, free_on_resume=True)
    parallel: ParallelSettings = group(ParallelSettings, free_on_resume=True)


GROUPS: dict[str, type] = {item.name: item.metadata["group"] for item in fields(Settings) if "group" in item.metadata}


def register_defaults() -> None:
    """Store the defaults of all settings where Hydra finds them, as `settings` and `corpus/settings`."""
    values = defaults(Settings)
    corpus = values.pop("corpus")
    ConfigStore.instance().store(name="settings", node=values)
    ConfigStore.instance().store(group="corpus", name="settings", node=corpus)


# `hydra.main` composes before any function of this package is called.
register_defaults()
register_checked_files()


def compose_config(overrides: Sequence[str] = ()) -> DictConfig:
    """Compose the configuration of an experiment as the command line does.

    Args:
        overrides: Hydra overrides, such as "+exp=two_speaker"; renamed settings may have their old names.

    Raises:
        UserError: an override names an unknown setting or file.
    """
    try:
        with initialize_config_dir(str(CONFIG_PATH.resolve()), version_base="1.3"):
            return compose("config", quoted_overrides(renamed_overrides(overrides)))
    except COMPOSING_ERRORS as error:
        raise composing_error(error, known_names(overrides)) from None


def known_names(overrides: Sequence[str]) -> list[str]:
    """List the names that an override may begin with: dotted names of settings, and groups of files.

    Args:
        overrides: as given. Those that choose files, such as "+exp=ablation", add the settings of the files.
    """
    chosen = [override for override in overrides if re.match(r"\+?(corpus|network|method|exp)(@[^=]*)?=", override)]
    try:
        return [*FILE_GROUPS, *_composed_names(tuple(chosen))]
    except COMPOSING_ERRORS:
        return [*FILE_GROUPS, *_composed_names(())]


@functools.cache
def _composed_names(overrides: tuple[str, ...]) -> list[str]:
    """List the dotted names of the settings of a configuration."""
    with initialize_config_dir(str(CONFIG_PATH.resolve()), version_base="1.3"):
        return _names(OmegaConf.to_container(compose("config", [*overrides])))  # type: ignore[arg-type]


def quoted_overrides(arguments: Sequence[str]) -> list[str]:
    """Quote values that the grammar of Hydra's overrides does not accept, such as paths with "é", "=", "(" or "#".

    Args:
        arguments: Hydra overrides and options. A comma in a path is quoted, too, except with "--multirun", where it
            separates the values of several runs.
    """
    parser, multirun = OverridesParser.create(), bool({"-m", "--multirun"} & {*arguments})
    quoted = []
    for argument in arguments:
        name, sign, value = argument.partition("=")
        if sign and not name.startswith("-"):
            try:
                quote = parser.parse_override(argument).is_sweep_override() and "/" in value and not multirun
            except HydraException:
                quote = True
            if quote:  # a backslash before a quote, or at the end, is doubled in quoted text
                escaped = re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + match[2].replace("'", "\\'"), value)
                argument = f"{name}='{escaped}'"
        quoted.append(argument)
    return quoted


def check(config: DictConfig) -> Settings:
    """Check a composed configuration.

    Returns:
        The settings, all with values of their declared types.

    Raises:
        UserError: a setting is missing, unknown, of the wrong type, or outside its range, or two contradict each other.
    """
    values = _resolved(config)  # the final values: "${oc.create:...}" can turn a text into any value
    _refuse_unknown_groups(values)
    _check_groups(values)
    for name, settings in GROUPS.items():
        refuse_unknown(["_target_", *(item.name for item in fields(settings))], values[name], name)
    check_targets(values)
    check_systems(values)
    check_fields(Settings, values)
    for name, settings in GROUPS.items():
        check_fields(settings, values[name], name)
    _check_added_corpora(values["corpus"]["added"])
    check_names(values)
    for part, name, is_there, content in (("noise", "folder", Path.is_dir, "with recordings of noise"),
                                          ("rooms", "file", Path.is_file, "that lab41-sce rooms has drawn")):
        if (path := values[part][name]) is not None and not is_there(Path(path)):
            raise UserError(f"{part}.{name}={path} is not a {name}; give one {content}.")
    chosen, method = values["evaluation"]["splits"], values["method"]
    able = method.get("splits") or chosen
    if chosen and not set(able) & set(chosen):
        raise UserError(f"evaluation.splits={chosen} is not possible with {method.get('name')}, which can be scored on "
                        f"{', '.join(able)} only.")
    groups = {name: settings(**{item.name: values[name][item.name] for item in fields(settings)})
              for name, settings in GROUPS.items()}
    groups["corpus"].added = {name: CorpusSettings(**corpus) for name, corpus in groups["corpus"].added.items()}
    refuse_settings_without_effect(values)
    return Settings(**{item.name: groups.get(item.name, values[item.name]) for item in fields(Settings)})


def setting_names(flag: str) -> list[str]:
    """List the dotted names of the settings with a flag: "free_on_resume" or "is_location" (see `setting`)."""
    return names_of(Settings, flag)


def describe_settings() -> str:
    """List every setting with its meaning, unit, range and default, as YAML with comments."""
    lines = []
    for name, settings in {"": Settings, **GROUPS}.items():
        lines += [f"\n{name}: # {(settings.__doc__ or '').splitlines()[0]}"] if name else []
        kinds, indent = get_type_hints(settings), "  " * bool(name)
        for item, default in zip(fields(settings), defaults(settings).values(), strict=True):
            if "group" in item.metadata:
                continue
            about, possible = declaration(item), expected(item, kinds[item.name])
            values = f"In {about.unit}: {possible}" if about.unit else possible[0].upper() + possible[1:]
            lines += textwrap.wrap(f"{about.help}. {values}.", 116,
                                   initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
            text = yaml.safe_dump(default, default_flow_style=True, width=1000).splitlines()[0]
            lines.append(f"{indent}{item.name}: {text}")
    lines.append("\n# Networks, systems, corpora and experiments are files in these folders:")
    for kind in FILE_GROUPS:
        names = ", ".join(sorted(file.stem for file in (CONFIG_PATH / kind).glob("*.yaml")))
        lines += textwrap.wrap(f"{CONFIG_PATH.name}/{kind}/: {names}", 116, initial_indent="# ",
                               subsequent_indent="#   ")
    return "\n".join(lines)


def _resolved(config: DictConfig) -> dict[str, Any]:
    """Return the final values of all settings as plain data; raise UserError about those without any."""
    try:
        if missing := sorted(OmegaConf.missing_keys(config)):
            raise UserError(f"{', '.join(missing)} must be given, like this: {missing[0]}=VALUE.")
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UserError(f"an expression between ${{ and }} in a setting is not possible ({reason(error)}); give a "
                        "value.") from None


def _refuse_unknown_groups(values: dict[str, Any]) -> None:
    """Raise UserError about a setting outside the known groups, such as +trainin.minutes=3."""
    groups = [*(item.name for item in fields(Settings)), "network", "method", "others"]
    for name in flatten({name: value for name, value in values.items() if name not in groups}):
        group, dot, rest = name.partition(".")
        if group == "exp" and dot:  # Hydra puts what a file sets into its group
            raise UserError(f"{name} is no setting; begin the file of the experiment with this line: # @package "
                            "_global_")
        known = _names({name: value for name, value in values.items() if name in groups})
        near = nearest(group, groups) if dot else None
        hint = did_you_mean(f"{near}.{rest}", known) if near else did_you_mean(name, known)
        raise UserError(f"{name} is no setting{hint or '; --settings lists the settings.'}")


def _names(values: dict[str, Any]) -> list[str]:
    """List the dotted names of the settings in nested plain data."""
    return [name for name in flatten(values) if not name.rpartition(".")[2].startswith("_")]


def _check_groups(values: dict[str, Any]) -> None:
    """Raise UserError where a group of settings is a single value."""
    _require_groups({name: values.get(name) for name in (*GROUPS, "network", "method", "others")})
    systems = {"method": values["method"], **{f"others.{name}": system for name, system in values["others"].items()}}
    _require_groups(systems)
    _require_groups({f"{name}.build": system.get("build") for name, system in systems.items()})


def _require_groups(groups: dict[str, Any]) -> None:
    """Raise UserError about a named value that is not a mapping."""
    for name, value in groups.items():
        if not isinstance(value, dict):
            raise UserError(f"{name}={value} is not possible, since {name} is a group of settings; give one of them, "
                            f"like this: {name}.SETTING=VALUE.")


def _check_added_corpora(corpora: dict[str, Any]) -> None:
    """Raise UserError about the name or a setting of a corpus in `corpus.added`."""
    for name, corpus in corpora.items():
        dotted = f"corpus.added.{name}"
        if not re.fullmatch(r"[A-Za-z0-9_-]+", str(name)):
            raise UserError(f"corpus.added has a corpus with the name {str(name)!r}; give a name of letters from a to "
                            "z, digits, _ and -.")
        _require_groups({dotted: corpus})
        refuse_unknown([item.name for item in fields(CorpusSettings)], corpus, dotted)
        check_fields(CorpusSettings, corpus, dotted)
        if corpus["name"] != name:
            raise UserError(f"{dotted}.name={corpus['name']} is not possible; give a corpus its own name, like this: "
                            f"{dotted}.name={name}.")
        if corpus["added"]:
            raise UserError(f"{dotted}.added={corpus['added']} is not possible; add all corpora to corpus.added.")
