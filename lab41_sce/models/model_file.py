"""A path becomes the file of a trained model: a `.keras` file, or that of a run or of one of a run's systems."""

from pathlib import Path

from lab41_sce.errors import UserError
from lab41_sce.plain_data import read_yaml
from lab41_sce.pretrained import MODEL


def model_file(path: str | Path) -> Path:
    """Return the file of a model: `path`, or of a folder its own model file or that of the main method of the run.

    "pretrained" is the model of the package.
    """
    if str(path) == "pretrained":
        return MODEL
    folder = Path(path)
    if not folder.is_dir():
        return folder
    if not (folder / "config.yaml").is_file():
        return folder / "model.keras"
    try:
        name = read_yaml(folder / "config.yaml")["method"]["name"]
    except (UserError, KeyError, TypeError):  # not the configuration of a run
        return folder / "model.keras"
    return folder / "systems" / str(name) / "model.keras"
