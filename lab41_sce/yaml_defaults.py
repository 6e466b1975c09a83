"""A file `experiments/GROUP/NAME.yaml` becomes a Python function with the defaults of the file filled in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from lab41_sce.config_path import CONFIG_PATH as CONFIG_PATH
from lab41_sce.errors import UserError


def with_yaml_defaults(path: str, **changes: Any) -> Callable[..., Any]:
    """Return the function that a YAML file configures, with the file's settings filled in.

        network = with_yaml_defaults("network/blstm", units=100)
        method = with_yaml_defaults("method/sce", embedding_size=20, seed=0)(Setup(FrontEnd(), network, n_speakers=2))

    Args:
        path: group and name of the file, "method/NAME" or "network/NAME".
        **changes: settings that replace those of the file. Settings that the file takes from the experiment
            (`embedding_size` and `seed`) must be given.

    Returns:
        A function: of a `Setup` for a method, of `n_bins` and `n_outputs` for a network.

    Raises:
        UserError: there is no such file, or a setting that must be given is missing.
    """
    described = _load(path)
    try:
        return instantiate(described.get("build", described), _partial_=True, **changes)
    except InterpolationResolutionError as error:
        raise UserError(f"{path}.yaml takes a setting from the experiment ({str(error).splitlines()[0]}); give its "
                        "value to with_yaml_defaults.") from None


def _load(path: str) -> DictConfig:
    """Read a YAML file on top of the files of the same group that its defaults list names."""
    file = CONFIG_PATH / f"{path}.yaml"
    if not file.is_file():
        names = ", ".join(sorted(other.stem for other in file.parent.glob("*.yaml"))) or "method/NAME or network/NAME"
        raise UserError(f"{path} is no method or network; choose from {names}.")
    own = OmegaConf.load(file)
    assert isinstance(own, DictConfig)
    bases = [_load(f"{Path(path).parent}/{base}") for base in own.pop("defaults", []) if base != "_self_"]
    merged = OmegaConf.merge(*bases, own)
    assert isinstance(merged, DictConfig)
    return merged
