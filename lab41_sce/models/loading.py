"""A path becomes a trained Keras model: a `.keras` file, the folder of a run, or the folder of one of its systems."""

import importlib
import re
import zipfile
from pathlib import Path

import keras

from lab41_sce.errors import UserError
from lab41_sce.models.attractor_model import AttractorModel
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.mask_model import MaskModel
from lab41_sce.models.model_file import model_file

SeparationModel = EmbeddingModel | AttractorModel | MaskModel
OWN_MODULES = re.compile(r'"module": "(lab41_sce\.(?:methods|models)\.\w+)"')


def load_model(path: str | Path) -> SeparationModel:
    """Load a trained model.

    Args:
        path: a `.keras` file; the folder of a run (the best model of its method is loaded); a folder in its
            `systems/`; or "pretrained", the model of the package.

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
        model = read_model(file)
    except Exception as error:  # a damaged or foreign file can raise anything
        raise UserError(f"{file} cannot be loaded as a model ({loading_error(error)}); give a .keras file of a run."
                        ) from None
    if not isinstance(model, SeparationModel):
        raise UserError(f"{file} contains a Keras model that cannot separate; give model.keras of a run.")
    return model


def read_model(file: Path) -> keras.Model:
    """Read a `.keras` file, whose layers may be defined in any module of networks or systems; may raise anything."""
    with zipfile.ZipFile(file) as archive:
        for module in sorted(set(OWN_MODULES.findall(archive.read("config.json").decode("utf-8")))):
            importlib.import_module(module)  # Keras finds a registered class once it is imported
    return keras.saving.load_model(file)


def loading_error(error: Exception) -> str:
    """Return the reason for which a model cannot be loaded, in one line."""
    message = str(error).rpartition("Exception encountered: ")[2]  # Keras puts the whole configuration before it
    return [*message.strip().splitlines(), type(error).__name__][0].split(" Full object config")[0][:300]
