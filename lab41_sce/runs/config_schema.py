"""The configuration of an experiment is checked before anything is done: types, ranges, choices."""

import re
from difflib import get_close_matches
from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab41_sce.data.noise import KINDS
from lab41_sce.errors import UserError
from lab41_sce.process_pool import ENGINES
from lab41_sce.training.distributed import STRATEGIES

_PACKAGE = Path(__file__).parent.parent
_INSTALLED = _PACKAGE / "experiments"
CONFIG_PATH = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "experiments"
# Of config.yaml, which lists all.
SECTIONS = ("splits", "mixtures", "noise", "training", "validation", "evaluation", "parallel")
GROUPS = (*SECTIONS, "corpus", "front_end", "network", "method", "method.build", "others")
PATHS = ("corpus.root", "corpus.utterances", "noise.folder")
# The least that each number may be; a whole one where the least is written as one.
MINIMUM = {
    "seed": 0, "embedding_size": 1, "splits.seed": 0, "splits.unseen_fraction": 0.0, "splits.validation_fraction": 0.0,
    "corpus.min_seconds": 0.0, "mixtures.n_speakers": 2, "mixtures.batch_size": 1, "mixtures.seconds": 0.01,
    "mixtures.level_range_db": 0.0, "mixtures.same_sex": 0.0, "mixtures.response_db": 0.0, "mixtures.telephone": 0.0,
    "mixtures.curriculum_batches": 0,
    "training.updates": 1, "training.minutes": 1e-3, "training.validate_every": 1, "training.patience": 1,
    "training.workers": 1,
    "training.learning_rate": 1e-12, "training.beta_2": 0.0, "training.warmup_updates": 0, "training.clip_norm": 1e-12,
    "validation.per_kind": 1, "validation.seconds": 0.01, "validation.batches": 1, "evaluation.per_kind": 1,
    "evaluation.seconds": 0.01, "evaluation.level_range_db": 0.0, "evaluation.examples_per_kind": 0,
}
NULL_ALLOWED = ("mixtures.same_sex", "training.updates", "training.minutes", "training.patience", "training.clip_norm",
                "training.workers")
FRACTIONS = ("splits.unseen_fraction", "splits.validation_fraction", "mixtures.same_sex", "mixtures.telephone")
LISTS = ("corpus.subsets", "corpus.unseen_subsets", "mixtures.speeds", "evaluation.splits", "noise.kinds",
         "noise.evaluation_snr_db")
BOOLEANS = ("resume", "overwrite", "deterministic", "corpus.download", "mixtures.in_memory", "evaluation.join",
            "training.tensorboard")
# What a configuration may have called: the front end, a network, a system of this package; nothing else.
TARGETS = re.compile(r"lab41_sce\.(models\.front_end\.FrontEnd|models\.networks\.\w+|methods\.\w+\.\w+|"
                     r"evaluation\.saved_model\.build)")
CHOICES = {"corpus.check": ("samples", "headers"), "training.decay": ("cosine", "none"),
           "training.strategy": (None, *STRATEGIES), "parallel.backend": ENGINES}


def check(config: DictConfig) -> None:
    """Raise UserError about a setting that is missing, of the wrong type or outside its range."""
    values = _resolved(config)  # as they will be used: "${oc.create:...}" can make anything of a text
    _check_kinds(config)
    _refuse_unknown(config)
    _check_targets(values)
    for name, least in MINIMUM.items():
        value, most = OmegaConf.select(config, name), 1 if name in FRACTIONS else float("inf")
        types = int if isinstance(least, int) else (int, float)
        fits = isinstance(value, types) and not isinstance(value, bool) and least <= value <= most
        if not fits and not (value is None and name in NULL_ALLOWED):
            raise UserError(f"{name}={value} is not possible; give a {'whole ' if types is int else ''}number of at "
                            f"least {least}{' and at most 1' if most == 1 else ''}"
                            f"{', or null' if name in NULL_ALLOWED else ''}.")
    for name in BOOLEANS:
        if not isinstance(OmegaConf.select(config, name), bool):
            raise UserError(f"{name}={OmegaConf.select(config, name)} is not possible; give true or false.")
    for name in LISTS:
        value = OmegaConf.select(config, name)
        if not isinstance(value, ListConfig):
            raise UserError(f"{name}={value} is not possible; give a list: '{name}=[{value or ''}]'.")
    for name, system in config.others.items():
        if system.name != name:
            raise UserError(f"others.{name}.name={system.name} is not possible; give a system its own name, like "
                            f"this: +method@others.{system.name}={system.name}.")
    for name, choices in CHOICES.items():
        if OmegaConf.select(config, name) not in choices:
            raise UserError(f"{name}={OmegaConf.select(config, name)} is unknown; choose from "
                            f"{', '.join(choice or 'null' for choice in choices)}.")
    if not config.evaluation.splits or set(config.evaluation.splits) - {"unseen", "in-set", "validation"}:
        raise UserError(f"evaluation.splits={list(config.evaluation.splits)} is not possible; "
                        "choose from unseen, in-set, validation.")
    speeds = config.mixtures.speeds
    if not (speeds and _numbers(speeds) and len(set(speeds)) == len(speeds) and all(0.5 <= s <= 2 for s in speeds)):
        raise UserError(f"mixtures.speeds={speeds} is not possible; give different factors from 0.5 to 2.")
    shares = config.mixtures.speaker_shares
    if shares is not None and not (isinstance(shares, DictConfig) and shares and _numbers(shares.values())
                                   and all(isinstance(n, int) and n >= 1 for n in shares) and min(shares.values()) > 0):
        raise UserError(f"mixtures.speaker_shares={shares} is not possible; give shares of numbers of speakers, like "
                        "this: '{1: 0.1, 2: 0.6, 3: 0.3}', or null.")
    _check_noise(config.noise)
    able = config.method.get("splits") or config.evaluation.splits
    if not set(able) & set(config.evaluation.splits):
        raise UserError(f"evaluation.splits={list(config.evaluation.splits)} is not possible with "
                        f"{config.method.name}, which can be scored on {', '.join(able)} only.")
    if not isinstance(config.evaluation.jobs, int) or config.evaluation.jobs == 0:
        raise UserError(f"evaluation.jobs={config.evaluation.jobs} is not possible; "
                        "give a number of processes, or -1 for one each core.")


def _resolved(config: DictConfig) -> dict:
    """Return the values that all settings have in the end; raise UserError about those that have none."""
    try:
        if missing := sorted(OmegaConf.missing_keys(config)):
            raise UserError(f"{', '.join(missing)} must be given, like this: {missing[0]}=VALUE.")
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"what a setting says between ${{ and }} is not possible ({reason}); give a value.") from None


def _check_kinds(config: DictConfig) -> None:
    """Raise UserError about a group of settings that is none, or a path that is no text."""
    systems = [f"others.{name!s}" for name in config.others] if isinstance(config.others, DictConfig) else []
    for name in (*GROUPS, *systems, *(f"{system}.build" for system in systems)):
        value = OmegaConf.select(config, name)
        if not isinstance(value, DictConfig):
            raise UserError(f"{name}={value} is not possible, since {name} has settings of its own; give those, like "
                            f"this: {name}.SETTING=VALUE.")
    for name in PATHS:
        value = OmegaConf.select(config, name)
        if not isinstance(value, str | None):
            raise UserError(f"{name}={value} is not possible; give a path (a number in quotes), or null.")


def _check_targets(values, name: str = "") -> None:
    """Raise UserError where a configuration names something to call that is not of this package's systems."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        dotted = f"{name}.{key}" if name else str(key)
        if key == "_target_" and not TARGETS.fullmatch(str(value)):
            raise UserError(f"{dotted}={value} is not possible: a configuration may call lab41_sce.models.networks.NAME or "
                            "lab41_sce.methods.FILE.NAME only; put what is yours there.")
        if isinstance(value, (dict, list)):
            _check_targets(value, dotted)


def _refuse_unknown(config: DictConfig) -> None:
    """Raise UserError about a setting that nothing reads (Hydra lets one add any, by +name)."""
    known = yaml.safe_load((CONFIG_PATH / "config.yaml").read_text("utf-8"))
    known["corpus"] = yaml.safe_load((CONFIG_PATH / "corpus" / "embedded.yaml").read_text("utf-8"))
    for section in (*SECTIONS, "corpus"):
        for name in sorted(set(config[section]) - set(known[section])):
            near = get_close_matches(name, [*known[section]], 1)
            raise UserError(f"there is no setting {section}.{name}; " + (
                f"did you mean {section}.{near[0]}?" if near else f"there are {', '.join(known[section])}."))


def _check_noise(noise: DictConfig) -> None:
    """Raise UserError about settings of the noise that are not possible."""
    training, evaluation = noise.training_snr_db, noise.evaluation_snr_db
    if training is not None and not (isinstance(training, ListConfig) and len(training) == 2 and _numbers(training)
                                     and training[0] <= training[1]):
        raise UserError(f"noise.training_snr_db={training} is not possible; give the lowest and the highest in dB, "
                        "like this: '[-5, 15]', or null.")
    if not _numbers(evaluation) or len(set(evaluation)) < len(evaluation):
        raise UserError(f"noise.evaluation_snr_db={evaluation} is not possible; give different numbers of dB.")
    if set(noise.kinds) - set(KINDS) or ((training or evaluation) and not noise.kinds):
        raise UserError(f"noise.kinds={noise.kinds} is not possible; choose from {', '.join(KINDS)}.")
    if "folder" in noise.kinds and noise.folder is None:
        raise UserError("noise.kinds has folder, but there is no noise.folder; give noise.folder=PATH.")
    if noise.folder is not None and not Path(noise.folder).is_dir():
        raise UserError(f"noise.folder={noise.folder} is no folder; give one with recordings of noise.")


def _numbers(values) -> bool:
    """Tell whether all values are numbers."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
