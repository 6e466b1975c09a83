"""The folder of a run becomes the article's figures, as PNG and SVG in its `figures/`.

    python -m lab41_sce.article.draw runs/reproduce

    examples/*/{mixture,reference_i}.wav, systems/*/model.keras -> Figures 1 to 5
    summary.csv                                                 -> Figure 6
    systems/*/speakers.csv                                      -> the speakers' vectors

What needs a file that the run does not have is left out: the masks and the network of a system that learns nothing.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from lab41_sce import audio
from lab41_sce.article import figures as article
from lab41_sce.errors import UserError
from lab41_sce.figures import save

EXAMPLE = "unseen-FM-1"  # drawn if the run kept it, else its first
CAPTIONS = {
    "figure_1_components": "Figure 1. Spectrogram of a mixture beside those of its components.",
    "figure_2_louder_source": "Figure 2. The same mixture, every bin in the colour of the louder input.",
    "figure_3_masking": "Figure 3. Mixture, mask and masked mixture; target, ideal binary mask and what that gives.",
    "figure_4_network": "Figure 4. The network, drawn from the model, with its two ends.",
    "figure_5_vectors": "Figure 5. Vectors of the audible bins of the mixture on their first three principal "
                        "components, by the louder speaker.",
    "figure_6_scores": "Figure 6. Improvement of the SDR by kind of mixture, ours beside the article's.",
    "speaker_vectors": "The learned vectors of the speakers in training, by sex and by median pitch.",
}


def draw(run_folder: str | Path) -> dict[str, Figure]:
    """Draw what a run allows.

    Args:
        run_folder: of a finished run.

    Returns:
        Figures by the names of `CAPTIONS`.

    Raises:
        UserError: the folder holds no finished run.
    """
    run = Path(run_folder)
    if not (run / "config.yaml").exists() or not (run / "summary.csv").exists():
        raise UserError(f"{run} holds no finished run (config.yaml, summary.csv); give the folder of one.")
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    system = run / "systems" / config["method"]["name"]
    figures, speakers = {}, None
    if (system / "speakers.csv").exists():
        speakers = pd.read_csv(system / "speakers.csv", dtype={"speaker": str})
    if (system / "model.keras").exists() and (example := _example(run)):
        figures |= _of_model(system / "model.keras", config, example, None if speakers is None else len(speakers))
    summary = pd.read_csv(run / "summary.csv")
    if set(article.SYSTEMS) & set(summary["system"]):
        split = "unseen" if "unseen" in set(summary["split"]) else summary["split"].iloc[0]
        figures["figure_6_scores"] = article.beside_article(summary, article.article_scores(), split)
    if speakers is not None:
        vectors = speakers.filter(like="vector_").to_numpy()
        figures["speaker_vectors"] = article.speaker_vectors(vectors, speakers["sex"], speakers["pitch_hz"].to_numpy())
    return {name: figures[name] for name in CAPTIONS if name in figures}


def write_figures(run_folder: str | Path) -> list[Path]:
    """Draw what a run allows into its `figures/`, which appear together or not at all; return the PNG files."""
    run = Path(run_folder)
    figures = draw(run)
    with tempfile.TemporaryDirectory(dir=run) as temporary:
        for name, figure in figures.items():
            for suffix in (".png", ".svg"):
                save(figure, Path(temporary) / f"{name}{suffix}")
        (run / "figures").mkdir(exist_ok=True)
        for stale in (run / "figures").iterdir():
            if stale.stem in CAPTIONS:
                stale.unlink()
        for file in Path(temporary).iterdir():
            shutil.move(file, run / "figures" / file.name)
    return [run / "figures" / f"{name}.png" for name in figures]


def _example(run: Path) -> Path | None:
    """Return the folder of the example to draw, if there is any."""
    folders = sorted(file.parent for file in (run / "examples").glob("*/mixture.wav"))
    return next((folder for folder in folders if folder.name == EXAMPLE), folders[0] if folders else None)


def _of_model(file: Path, config: dict, example: Path, n_known_speakers: int | None) -> dict[str, Figure]:
    """Draw what a trained model does to an example."""
    import keras

    from lab41_sce.methods.embedding import EmbeddingModel
    from lab41_sce.separation import Separator

    model = Separator.load(file).model
    mixture = audio.read_mono(example / "mixture.wav", model.front_end.sample_rate_hz)
    sources = np.stack([audio.read_mono(reference, model.front_end.sample_rate_hz)
                        for reference in sorted(example.glob("reference_*.wav"))])
    levels, parts = (np.abs(model.front_end.spectrogram(signals)) for signals in (mixture, sources))
    masks = model.masks(mixture, len(sources))
    _, order = linear_sum_assignment(np.einsum("rtf,stf->rs", parts * levels, masks), maximize=True)
    grid = article.Grid.of(model.front_end)
    figures = {"figure_1_components": article.components(levels, parts, grid),
               "figure_2_louder_source": article.louder_source(levels, parts, grid),
               "figure_3_masking": article.masking(levels, masks[order], parts, grid),
               "figure_4_network": article.network(model, config["method"]["name"].replace("_", " "), n_known_speakers)}
    if isinstance(model, EmbeddingModel):
        keras.utils.set_random_seed(config["seed"])
        untrained = type(model).from_config(model.get_config())
        vectors = {"before training": untrained.embed(mixture), "after training": model.embed(mixture)}
        figures["figure_5_vectors"] = article.principal_components(vectors, parts, levels, model.range_db)
    return figures


def main(arguments: list[str] | None = None) -> int:
    """Draw the figures of a run and say where they are."""
    parser = argparse.ArgumentParser("python -m lab41_sce.article.draw", description="Draw the article's figures.")
    parser.add_argument("run", type=Path, help="folder of a finished run")
    try:
        for file in write_figures(parser.parse_args(arguments).run):
            print(file, file.with_suffix(".svg").name)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
