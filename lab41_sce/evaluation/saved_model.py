"""A model that an earlier run has trained, scored as it is, or with another way from its vectors to masks."""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd

from lab41_sce.data.corpus import EMBEDDED_SUBSET
from lab41_sce.data.splits import TRAINED_SPEAKERS
from lab41_sce.errors import UserError
from lab41_sce.pretrained import MODEL

logger = logging.getLogger(__name__)


def build(setup, path: str | Path, changes: Mapping | None = None):
    """Return the system of a trained model; one that this run trains itself is loaded when it first separates.

    Args:
        setup: a `Setup`.
        path: see `Separator.load`; or, in the folder of the run itself, a system that it trains, as "systems/sce"; or
            "pretrained" for the model that is shipped with the package.
        changes: attributes of the model to set, such as `{"soft_scale": None}`.

    Returns:
        A function of a `Mixture`. It raises UserError if the model was trained or chosen with a speaker of the mixture
        who is unseen here.

    Raises:
        UserError: there is no model at `path`, or it has another sample rate or lacks an attribute to change.
    """
    own = setup.folder is not None and str(path).startswith("systems/")
    place = setup.folder / path if own else MODEL if path == "pretrained" else Path(path)
    load = cache(lambda: _load(place, changes or {}, setup.front_end.sample_rate_hz))
    heard = set() if own else _heard_speakers(place, setup.utterances)

    def masks(mixture):
        if unfair := heard & set(mixture.speakers) - set(setup.speakers):
            raise UserError(f"the model at {path} was trained or chosen with speaker {min(unfair)}, who is unseen "
                            "here; score it on other speakers, or train it on the same splits.")
        return load().masks(mixture.signal, mixture.n_speakers)

    if not own:
        # Now, so that what is wrong with it is told before anything is trained.
        masks.front_end = load().front_end  # type: ignore[attr-defined]
    return masks


def _load(place, changes, sample_rate_hz):
    """Load a model and change it."""
    from lab41_sce.separation.separator import Separator  # which imports the methods

    model = Separator.load(place).model
    if model.front_end.sample_rate_hz != sample_rate_hz:
        raise UserError(f"the model at {place} hears {model.front_end.sample_rate_hz} Hz, the mixtures here have "
                        f"{sample_rate_hz}; set front_end.sample_rate_hz to its.")
    for name, value in changes.items():
        if not hasattr(model, name):
            raise UserError(f"changes.{name}={value} is not possible: the model at {place} has no {name}.")
        setattr(model, name, value)
    return model


def _heard_speakers(place, utterances):
    """Return the ids of the speakers that a model was trained or chosen with, as far as the run around it tells."""
    for folder in (place, *place.parents[:3]):
        if (folder / "splits.csv").is_file():
            splits = pd.read_csv(folder / "splits.csv", dtype=str)
            if utterances is not None and _of_embedded_corpus(splits) != _of_embedded_corpus(utterances):
                return set()  # other people, whatever their ids
            trained = set(splits.loc[splits["split"] == "train", "utterance"])
            if utterances is not None and (others := trained - set(utterances["utterance"])):
                logger.warning("The model at %s was trained on %d utterances that are not for training here: its "
                               "in-set scores may be of some that it knows.", place, len(others))
            return set(splits.loc[splits["split"].isin([*TRAINED_SPEAKERS, "validation"]), "speaker"])
    logger.warning("Nothing around the model at %s says (splits.csv) with whom it was trained: its scores may be of "
                   "speakers that it knows.", place)
    return set()


def _of_embedded_corpus(utterances):
    """Tell whether utterances are of the embedded corpus, whose ids of speakers mean nothing elsewhere."""
    return set(utterances["subset"]) == {EMBEDDED_SUBSET}
