"""The folder of a run becomes the article's figures, as PNG and SVG in its `figures/`.

    python -m lab41_sce.article.draw runs/reproduce

    examples/*/{mixture,reference_i}.wav, systems/*/model.keras -> Figures 1 to 5
    summary.csv                                                 -> Figure 6; improvement in noise
    systems/*/speakers.csv                                      -> the speakers' vectors

What needs a file that the run does not have is left out: the masks and the network of a system that learns nothing.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from lab41_sce import audio
from lab41_sce.article import figures as article
from lab41_sce.article.network import draw_network
from lab41_sce.atomic_write import make_folder
from lab41_sce.data.splits import headline_split
from lab41_sce.errors import UserError
from lab41_sce.reporting.figures import save

EXAMPLE = "unseen-FM-1"  # drawn if the run kept it, else its first
CAPTIONS = {
    "figure_1_components": "Figure 1. Spectrogram of a mixture beside those of its components.",
    "figure_2_louder_source": "Figure 2. The same mixture, every bin in the colour of the louder input.",
    "figure_3_masking": "Figure 3. Mixture, mask and masked mixture; target, ideal binary mask and what that gives.",
    "figure_4_network": "Figure 4. The network, drawn from the model, with its two ends.",
    "figure_5_vectors": "Figure 5. Vectors of the audible bins of the mixture on their first three principal "
                        "components, by the louder speaker. Before training: the same network with fresh weights.",
    "figure_6_scores": "Figure 6. Improvement of the SDR by kind of mixture, ours beside the article's.",
    "speaker_vectors": "The learned vectors of the speakers in training, by sex and by median pitch.",
    "improvement_by_snr": "Improvement of the SDR over the signal-to-noise ratio of the mixture.",
}

logger = logging.getLogger(__name__)


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
    steps = _of_model(run, config) | _of_tables(run, config)
    figures = {}
    for name in CAPTIONS:
        if name in steps:
            try:
                figures[name] = steps[name]()
            except ValueError as error:  # too little or too much to draw: four speakers at once, vectors of two numbers
                logger.warning("%s is left out: %s", name, error)
    return figures


def write_figures(run_folder: str | Path, folder: str | Path | None = None) -> list[Path]:
    """Draw what a run allows.

    Args:
        run_folder: of a finished run.
        folder: to draw into, by default `figures/` in the run; it loses figures of an earlier run that this one has
            nothing for.

    Returns:
        The PNG files; an SVG stands beside each.

    Raises:
        UserError: there is no finished run, or a file cannot be written.
    """
    folder = Path(run_folder) / "figures" if folder is None else Path(folder)
    figures = draw(run_folder)
    make_folder(folder)
    for name in CAPTIONS:
        for suffix in (".png", ".svg"):
            if name in figures:
                save(figures[name], folder / f"{name}{suffix}")
            else:
                (folder / f"{name}{suffix}").unlink(missing_ok=True)
    return [folder / f"{name}.png" for name in figures]


def _of_tables(run: Path, config: dict) -> dict[str, Callable[[], Figure]]:
    """Say how to draw what the tables of a run allow."""
    steps, summary = {}, pd.read_csv(run / "summary.csv")
    split = headline_split(summary["split"])
    # The article's Figure 6 is of two speakers at once.
    if config["mixtures"]["n_speakers"] == 2 and set(article.SYSTEMS) & set(summary["system"]):
        steps["figure_6_scores"] = lambda: article.beside_article(summary, article.article_scores(), split)
    if summary["split"].str.contains("SNR").any():
        labels = {config["method"]["name"]: "trained with noise", "saved": "trained without"}
        if config["noise"]["training_snr_db"] is None:
            labels = {config["method"]["name"]: config["method"]["name"].replace("_", " ")}
        steps["improvement_by_snr"] = lambda: article.improvement_by_snr(summary, labels, split)
    if (speakers := _speakers(run, config)) is not None:
        vectors = speakers.filter(like="vector_").to_numpy()
        pitches_hz = speakers["pitch_hz"].to_numpy()
        steps["speaker_vectors"] = lambda: article.speaker_vectors(vectors, speakers["sex"], pitches_hz)
    return steps


def _of_model(run: Path, config: dict) -> dict[str, Callable[[], Figure]]:
    """Say how to draw the model of a run's method, and what it does to an example."""
    import keras

    from lab41_sce.models.embedding_model import EmbeddingModel
    from lab41_sce.models.loading import load_model
    from lab41_sce.separation.chunked_inference import embed, estimate_masks

    name = config["method"]["name"]
    if not (run / "systems" / name / "model.keras").exists():
        return {}
    model, speakers = load_model(run / "systems" / name), _speakers(run, config)
    n_known = None if speakers is None else len(speakers)
    steps = {"figure_4_network": lambda: draw_network(model, name.replace("_", " "), n_known)}
    if (example := _example(run)) is None:
        return steps

    mixture = audio.read_mono(example / "mixture.wav", model.front_end.sample_rate_hz)
    sources = np.stack([audio.read_mono(reference, model.front_end.sample_rate_hz)
                        for reference in sorted(example.glob("reference_*.wav"))])
    levels, parts = (np.abs(model.front_end.spectrogram(signals)) for signals in (mixture, sources))
    grid = article.Grid.of(model.front_end)

    def masking():
        masks = estimate_masks(model, mixture, len(sources))
        _, order = linear_sum_assignment(np.einsum("rtf,stf->rs", parts * levels, masks), maximize=True)
        return article.masking(levels, masks[order], parts, grid)

    def vectors():
        keras.utils.set_random_seed(config["seed"])
        untrained = type(model).from_config(model.get_config())
        embeddings = {"before training": embed(untrained, mixture), "after training": embed(model, mixture)}
        return article.principal_components(embeddings, parts, levels, model.range_db)

    steps |= {"figure_1_components": lambda: article.components(levels, parts, grid),
              "figure_2_louder_source": lambda: article.louder_source(levels, parts, grid),
              "figure_3_masking": masking}
    return steps | ({"figure_5_vectors": vectors} if isinstance(model, EmbeddingModel) else {})


def _example(run: Path) -> Path | None:
    """Return the folder of the example to draw, if there is any."""
    folders = sorted(file.parent for file in (run / "examples").glob("*/mixture.wav"))
    return next((folder for folder in folders if folder.name == EXAMPLE), folders[0] if folders else None)


def _speakers(run: Path, config: dict) -> pd.DataFrame | None:
    """Read the table of the speakers that the run's method knows, if it has one."""
    file = run / "systems" / config["method"]["name"] / "speakers.csv"
    return pd.read_csv(file, dtype={"speaker": str}) if file.exists() else None


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
