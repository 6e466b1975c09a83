"""The systems of a configuration are built, each from the same setup; no TensorFlow is needed."""

from typing import Any

import keras
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from lab41_sce.errors import UserError, reason_and_place
from lab41_sce.methods.base import Method, Setup
from lab41_sce.methods.waveform import WaveformSystem
from lab41_sce.models.loading import SeparationModel, load_model

Systems = dict[str, Any]  # a `Method` to train, or a function of a `Mixture` that returns masks, by name


def configured_systems(config: DictConfig) -> dict[str, DictConfig]:
    """Return the configuration of every system by name: `config.method` first, which replaces one of the same name."""
    return {config.method.name: config.method} | {
        name: system for name, system in config.others.items() if name != config.method.name}


def build_systems(config: DictConfig, setup: Setup) -> Systems:
    """Build every system of a configuration.

    Args:
        config: a composed configuration.
        setup: front end, network and speakers.

    Returns:
        By name, a `Method` to train, or a function of a `Mixture` that returns masks `[S, T, F]`.

    Raises:
        UserError: a setting is not possible, or a saved model is missing or has another network.
    """
    systems: Systems = {}
    configured = configured_systems(config)
    for name, system in configured.items():
        systems[name] = _build(system, setup, config.seed)
        if name == config.method.name:
            _take_weights(systems[name], name, config.training.initial_model)
        if isinstance(systems[name], Method):
            _check_number_of_speakers(systems[name], name, config, setup)
    for name, system in configured.items():
        path = str(system.build.get("path", ""))
        if path.startswith("systems/") and not isinstance(systems.get(path.removeprefix("systems/")), Method):
            trained = [other for other, built in systems.items() if isinstance(built, Method)]
            raise UserError(f"the system {name} needs the model at {path}, but this run trains no such system; it "
                            f"trains {', '.join(trained)}.")
    return systems


def build_method(config: DictConfig, setup: Setup) -> Method:
    """Build the system of `config.method`, which must be one that learns.

    Raises:
        UserError: a setting is not possible, the system does not learn, or the initial model has another network.
    """
    method = _build(config.method, setup, config.seed)
    if not isinstance(method, Method):
        raise UserError(f"method={config.method.name} does not learn; choose another, such as method=sce.")
    _take_weights(method, config.method.name, config.training.initial_model)
    _check_number_of_speakers(method, config.method.name, config, setup)
    return method


def _check_number_of_speakers(method: Method, name: str, config: DictConfig, setup: Setup) -> None:
    """Raise UserError if a model with an output for each speaker is to learn from mixtures of another number."""
    n_outputs = getattr(method.model, "n_speakers", None)
    most = max(config.mixtures.speaker_shares or [setup.n_speakers])
    if n_outputs is not None and most != n_outputs:
        raise UserError(f"{name} learns from mixtures of up to {n_outputs} speakers, not {most}; change "
                        "mixtures.speaker_shares.")


def _build(system: DictConfig, setup: Setup, seed: int) -> Any:
    """Build one system; the seed is set first, so that no system depends on those before it."""
    keras.utils.set_random_seed(seed)
    try:
        built = instantiate(system.build, _partial_=True)(setup)
    except UserError:
        raise
    except (TypeError, ValueError) as error:  # a value that a layer refuses
        raise UserError(f"the system {system.name} cannot be built: {error}") from error
    except Exception as error:  # the function may be the user's, and may raise anything
        cause: Any = error
        while isinstance(error, InstantiationException) and cause.__cause__:  # such as that of an import in its file
            cause = cause.__cause__
        raise UserError(f"the system {system.name} cannot be built ({reason_and_place(cause)}); correct "
                        f"{system.build._target_}.") from error
    if isinstance(built, Method):
        model = getattr(built, "model", None)
        if not isinstance(model, SeparationModel):
            raise UserError(f"the system {system.name} trains a {type(model).__name__}; its attribute `model` "
                            "must be an EmbeddingModel, an AttractorModel or a MaskModel.")
    elif isinstance(built, keras.Model) or not (callable(built) or isinstance(built, WaveformSystem)):
        raise UserError(f"{system.build._target_} returned {type(built).__name__}; it must return a Method, or a "
                        "function of a Mixture that returns masks.")
    return built


def _take_weights(system: Any, name: str, path: str | None) -> None:
    """Copy the weights of a trained model into the part of a method's model that it trains, unless `path` is None."""
    if path is None:
        return
    if not isinstance(system, Method):
        raise UserError(f"training.initial_model is given, but method={name} does not learn; leave it out.")
    trained = load_model(path)
    is_alike = type(trained) is type(system.model)
    ours, theirs = system.trained_part(system.model), system.trained_part(trained) if is_alike else None
    if theirs is None or [weight.shape for weight in ours.weights] != [weight.shape for weight in theirs.weights]:
        raise UserError(f"the model at training.initial_model={path} is another network than that of method={name}; "
                        "set method, network, embedding_size and front_end as in the run that trained it.")
    ours.set_weights(theirs.get_weights())
