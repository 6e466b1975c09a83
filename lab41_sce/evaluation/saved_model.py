"""A trained model becomes a system to score: a function from a `Mixture` to masks `[S, T, F]`.

The model is that of an earlier run, of a system of this run, or the shipped one; its inference can be changed.
"""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lab41_sce.data.corpus import EMBEDDED_SUBSET, id_in_corpus
from lab41_sce.data.mixture import Mixture
from lab41_sce.data.splits import TRAINED_SPEAKERS
from lab41_sce.errors import UserError, reason
from lab41_sce.methods.base import Setup, System
from lab41_sce.models.loading import SeparationModel, load_model
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.chunked_inference import estimate_masks

NOT_CHANGED = {"name", "trainable", "dtype", "front_end", "network"}  # arguments that `changes` cannot replace

logger = logging.getLogger(__name__)


def build(setup: Setup, path: str | Path, changes: Mapping[str, Any] | None = None) -> System:
    """Build the system of a trained model.

    Args:
        setup: of the run that scores the system.
        path: see `load_model`; "systems/NAME" for a system that this run trains, which is loaded when it first
            separates; or "pretrained" for the shipped model.
        changes: constructor arguments of the model to set, such as `{"soft_scale": None}`.

    Returns:
        A function of a `Mixture`. It raises UserError if the model was trained or selected with a speaker of the
        mixture who counts as unseen in this run.

    Raises:
        UserError: there is no model at `path`, its sample rate differs, or it has no such attribute.
    """
    place, of_this_run = MODEL if path == "pretrained" else Path(path), False
    if setup.folder is not None and str(path).startswith("systems/"):
        place, of_this_run = setup.folder / path, True
    load = cache(lambda: _load(place, changes or {}, setup.front_end.sample_rate_hz))
    known_speakers = set() if of_this_run else _known_speakers(place, setup.utterances)

    def masks(mixture: Mixture) -> np.ndarray:
        unseen = set(map(id_in_corpus, set(mixture.speakers) - set(setup.speakers)))
        if unfair := known_speakers & unseen:
            raise UserError(f"the model at {path} was trained or selected with speaker {min(unfair)}, who counts as "
                            "unseen here; score it on other speakers, or train it on the same splits.")
        return estimate_masks(load(), mixture.signal, mixture.n_speakers)

    if not of_this_run:  # load it now, so that a mistake is reported before anything is trained
        masks.front_end = load().front_end  # type: ignore[attr-defined]
    return masks


def _load(place: Path, changes: Mapping[str, Any], sample_rate_hz: int) -> SeparationModel:
    """Load a model and change its attributes."""
    model = load_model(place)
    if model.front_end.sample_rate_hz != sample_rate_hz:
        raise UserError(f"the model at {place} has a sample rate of {model.front_end.sample_rate_hz} Hz, the mixtures "
                        f"here have {sample_rate_hz} Hz; set front_end.sample_rate_hz to the rate of the model.")
    for name, value in changes.items():
        possible = sorted(model.get_config().keys() - NOT_CHANGED)
        if name not in possible:
            raise UserError(f"changes.{name}={value} is not possible: the model at {place} has no such setting; give "
                            f"one of {', '.join(possible)}.")
        setattr(model, name, value)
    return model


def _known_speakers(place: Path, utterances: pd.DataFrame | None) -> set[str]:
    """Return the ids of the speakers that a model was trained or selected with, from the splits.csv of its run."""
    splits = splits_of_model(place)
    if splits is None:
        return set()
    if utterances is not None:
        splits = of_same_corpora(splits, utterances)
    trained = set(splits.loc[splits["split"] == "train", "utterance"])
    if utterances is not None and (others := trained - set(utterances["utterance"])):
        logger.warning("The model at %s was trained on %d utterances that are not in the training split here: "
                       "its in-set scores may include utterances that it was trained on.", place, len(others))
    return speakers_of_training(splits)


def splits_of_model(place: Path) -> pd.DataFrame | None:
    """Return the splits.csv of the run of a model; None if there is none, after a warning."""
    if file := splits_file(place):
        return _read_splits(file)
    logger.warning("There is no splits.csv with the model at %s, so its training speakers are unknown: unseen "
                   "speakers of these scores may be among them.", place)
    return None


def splits_file(place: Path) -> Path | None:
    """Return the path of the splits.csv of a model, or None if there is none.

    Args:
        place: a `.keras` file or the folder of a run or of one of its systems. The table is in this folder, beside the
            file, or up to three folders above.
    """
    place = place.resolve()  # a relative path may begin inside the run
    files = [folder / "splits.csv" for folder in (place, *place.parents[:3])]
    return next((file for file in files if file.is_file()), None)


def speakers_of_training(splits: pd.DataFrame) -> set[str]:
    """Return the ids of the speakers in splits.csv that trained or selected a model, without the names of corpora."""
    # Without the names of added corpora: the same corpus may be the first one here, and an added one there.
    return set(splits.loc[splits["split"].isin([*TRAINED_SPEAKERS, "validation"]), "speaker"].map(id_in_corpus))


def _read_splits(path: Path) -> pd.DataFrame:
    """Read the splits.csv of a run."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, usecols=["utterance", "speaker", "subset", "split"])
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}, which lists the training speakers of the model beside it, cannot be read "
                        f"({reason(error)}); restore the file from a copy.") from None


def of_same_corpora(splits: pd.DataFrame, utterances: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the splits.csv of an earlier run whose speakers can be those of the utterances of this run."""
    return splits[is_embedded(splits).isin(is_embedded(utterances).unique())]


def is_embedded(utterances: pd.DataFrame) -> pd.Series:
    """Return which utterances are from the embedded corpus; its speaker ids are other people in LibriSpeech."""
    return utterances["subset"] == EMBEDDED_SUBSET
