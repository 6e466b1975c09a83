"""The trained models with which a training begins are compared with the speakers whom this run calls unseen."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from lab41_sce.data.corpus import id_in_corpus
from lab41_sce.errors import UserError
from lab41_sce.evaluation.saved_model import of_same_corpora, speakers_of_training, splits_of_model
from lab41_sce.pretrained import MODEL
from lab41_sce.runs.systems import configured_systems

logger = logging.getLogger(__name__)


def check_earlier_models(config: DictConfig, recorded: pd.DataFrame) -> None:
    """Compare the speakers of the embedders and of the initial model with those of a run.

    A model that knows a validation speaker is reported, because the best model is then chosen by a voice that it knows.

    Args:
        config: the composed configuration.
        recorded: table of utterances with the column `split`.

    Raises:
        UserError: a model was trained or selected with a speaker who is unseen in this run.
    """
    for setting, path in _earlier_models(config):
        place = MODEL if path == "pretrained" else Path(path)
        # A model that does not exist is reported where it is loaded.
        splits = splits_of_model(place) if place.exists() else None
        if splits is None:
            continue
        splits = of_same_corpora(splits, recorded)
        speakers = {split: {*recorded.loc[recorded["split"] == split, "speaker"].map(id_in_corpus)}
                    for split in ("unseen", "validation")}
        if known := speakers_of_training(splits) & speakers["unseen"]:
            raise UserError(f"the model of {setting}={path} was trained or selected with speaker {min(known)}, who "
                            "counts as unseen here; use the splits of that model, or other unseen speakers. If this is "
                            "another person with the same id, give the person another one.")
        trained = speakers_of_training(splits[splits["split"] != "validation"])
        if known := trained & speakers["validation"]:
            logger.warning("The model of %s=%s was trained with %d of the %d validation speakers here: validation "
                           "scores are those of voices that it knows.", setting, path, len(known),
                           len(speakers["validation"]))


def _earlier_models(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Yield the settings that name a trained model, with their values."""
    if config.training.initial_model is not None:
        yield "training.initial_model", str(config.training.initial_model)
    for name, system in configured_systems(config).items():
        if "embedder" in system.build:
            place = "method" if name == config.method.name else f"others.{name}"
            yield f"{place}.build.embedder", str(system.build.embedder)
