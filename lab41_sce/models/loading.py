"""A path becomes a trained Keras model: a `.keras` file, the folder of a run, or the folder of one of its systems."""

from pathlib import Path

import keras

# Keras finds the classes of a saved model by their registered names, so all of them must be imported here.
from lab41_sce.errors import UserError
from lab41_sce.models.attractor_model import AttractorModel
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.mask_model import MaskModel
from lab41_sce.models.model_file import model_file

SeparationModel = EmbeddingModel | AttractorModel | MaskModel


def load_model(path: str | Path) -> SeparationModel:
    """Load a trained model.

    Args:
        path: a `.keras` file; the folder of a run (the best model of its method is loaded); or a folder in its
            `systems/`.

    Returns:
        The model.

    Raises:
        UserError: there is no model at `path`, or it is not a separation model.
    """
    file = model_file(path)
    if not file.is_file():
        raise UserError(f"there is no model at {file}; give the folder of a run that has trained, or a .keras file.")
    if file.suffix != ".keras":
        raise UserError(f"{file} is no model; give the folder of a run that has trained, or a .keras file.")
    try:
        model = keras.saving.load_model(file)
    except Exception as error:  # a damaged or foreign file can raise anything
        message = str(error).rpartition("Exception encountered: ")[2]  # Keras puts the whole configuration before it
        reason = [*message.strip().splitlines(), type(error).__name__][0].split(" Full object config")[0][:300]
        raise UserError(f"{file} cannot be loaded as a model ({reason}); give a .keras file of a run.") from None
    if not isinstance(model, SeparationModel):
        raise UserError(f"{file} contains a Keras model that cannot separate; give model.keras of a run.")
    return model
