"""Run the notebooks from top to bottom, and keep small pictures of their outputs, to be read on the web.

    python tools/draw_notebooks.py [notebooks/1_what_a_mask_is.ipynb ...]
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ExecutePreprocessor
from PIL import Image

FOLDER = Path(__file__).parent.parent / "notebooks"
WIDTH, COLOURS = 720, 96  # pixels; of the palette


def small(picture: str) -> str:
    """Make a picture narrower and its palette smaller: PNG in base64 to the same."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def strip(notebook) -> None:
    """Drop outputs that are no pictures, and what differs from run to run."""
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        pictures = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
        cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": small(picture)}) for picture in pictures]
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                         "language_info": {"name": "python"}}


def main():
    """Run each notebook in its folder, and write it again."""
    for path in map(Path, sys.argv[1:] or sorted(FOLDER.glob("*.ipynb"))):
        notebook = nbformat.read(path, 4)
        ExecutePreprocessor(timeout=600).preprocess(notebook, {"metadata": {"path": str(path.parent)}})
        strip(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
