"""Run the notebooks and store the figures in them as small pictures, so that they are visible on the web.

    python tools/assets/draw_notebooks.py [notebooks/1_what_a_mask_is.ipynb ...]
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ExecutePreprocessor
from PIL import Image

FOLDER = Path(__file__).parents[2] / "notebooks"
MAX_WIDTH, N_COLOURS = 720, 96  # width in pixels; size of the palette


def shrink(picture: str) -> str:
    """Reduce the width and the palette of a picture (PNG in base64)."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    if image.width > MAX_WIDTH:
        image = image.resize((MAX_WIDTH, round(image.height * MAX_WIDTH / image.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.quantize(N_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def strip(notebook: nbformat.NotebookNode) -> None:
    """Keep only pictures of the outputs, and remove everything that differs between runs."""
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        pictures = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
        cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": shrink(picture)}) for picture in pictures]
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                         "language_info": {"name": "python"}}


def main() -> None:
    """Run each notebook in its folder and replace the file."""
    for path in map(Path, sys.argv[1:] or sorted(FOLDER.glob("*.ipynb"))):
        notebook = nbformat.read(path, 4)
        ExecutePreprocessor(timeout=600).preprocess(notebook, {"metadata": {"path": str(path.parent)}})
        strip(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
