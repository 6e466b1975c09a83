"""The folder of a run becomes the article's figures, as PNG and SVG in its `figures/`.

    python -m lab41_sce.article.draw runs/reproduce

    examples/*/{mixture,reference_i}.wav, systems/*/model.keras -> Figures 1 to 5
    summary.csv                                                 -> Figure 6; improvement in noise
    systems/*/speakers.csv                                      -> the speakers' vectors

A figure is left out if the run does not have the files that it needs. A system without training, for example, has no
masks and no network to draw.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from lab41_sce import audio
from lab41_sce.article import score_figures
from lab41_sce.article.network_figure import draw_network
from lab41_sce.article.over_seeds import mean_summary
from lab41_sce.atomic_write import make_folder
from lab41_sce.command_line import Parser, command
from lab41_sce.data.splits import headline_split
from lab41_sce.errors import UserError
from lab41_sce.reporting.figures import save
from lab41_sce.reporting.ordering import words
from lab41_sce.reporting.run_files import read_table
from lab41_sce.runs.renamed_settings import load_config

EXAMPLE = "unseen-FM-1"  # the example to draw, or the first one if the run does not have it
CAPTIONS = {
    "figure_1_components": "Figure 1. Spectrogram of a mixture beside those of its sources.",
    "figure_2_louder_source": "Figure 2. The same mixture, with each bin in the colour of the louder source.",
    "figure_3_masking": "Figure 3. Above: mixture, estimated mask and masked mixture. Below: target, ideal binary mask "
                        "and the mixture with that mask.",
    "figure_4_network": "Figure 4. The network as the model contains it, with the steps of inference and of training.",
    "figure_5_vectors": "Figure 5. Vectors of the active bins of the mixture on their first three principal "
                        "components, in the colours of the louder speaker. Before training, the same network has "
                        "random weights.",
    "figure_6_scores": "Figure 6. SDR improvement by kind of mixture: our scores beside those of the article.",
    "speaker_vectors": "Learned vectors of the speakers in training, by sex and by median pitch.",
    "improvement_by_snr": "SDR improvement over the signal-to-noise ratio of the mixture.",
}

logger = logging.getLogger(__name__)


def draw(run_folder: str | Path, seeds: Sequence[Path] = (), article_size: Path | None = None) -> dict[str, Figure]:
    """Draw the figures for which a run has the files.

    Args:
        run_folder: folder of a finished run.
        seeds: folders of runs that differ from it only in the seed; Figure 6 shows the means over all of them.
        article_size: folder of a run with the article's sizes, whose scores Figure 6 shows, too.

    Returns:
        Figures by name, in the order of `CAPTIONS`.

    Raises:
        UserError: if the folder does not contain a finished run.
    """
    run = Path(run_folder)
    if not (run / "config.yaml").exists() or not (run / "summary.csv").exists():
        raise UserError(f"{run} contains no finished run (config.yaml and summary.csv); give another "
                        "folder.")
    config = load_config(run)
    steps = _of_model(run, config) | _of_tables(run, config, seeds, article_size)
    figures = {}
    for name in CAPTIONS:
        if name in steps:
            try:
                figures[name] = steps[name]()
            except ValueError as error:  # such as four speakers at once, or vectors of two numbers
                logger.warning("%s is left out: %s", name, error)
    return figures


def write_figures(run_folder: str | Path, folder: str | Path | None = None, seeds: Sequence[Path] = (),
                  article_size: Path | None = None) -> list[Path]:
    """Draw the figures for which a run has the files, and write each as PNG and as SVG.

    Args:
        run_folder: folder of a finished run.
        folder: folder to write to, by default `figures/` in the run. Old files of figures that are not drawn now are
            removed.
        seeds: as for `draw`.
        article_size: as for `draw`.

    Returns:
        Paths of the PNG files; an SVG file with the same name is beside each.

    Raises:
        UserError: if there is no finished run, or a file cannot be written.
    """
    folder = Path(run_folder) / "figures" if folder is None else Path(folder)
    figures = draw(run_folder, seeds, article_size)
    make_folder(folder)
    for name in CAPTIONS:
        for suffix in (".png", ".svg"):
            if name in figures:
                save(figures[name], folder / f"{name}{suffix}")
            else:
                (folder / f"{name}{suffix}").unlink(missing_ok=True)
    return [folder / f"{name}.png" for name in figures]


def _of_tables(run: Path, config: dict, seeds: Sequence[Path],
               article_size: Path | None) -> dict[str, Callable[[], Figure]]:
    """Return functions that draw the figures from the tables of a run and of runs with other seeds."""
    steps, summary = {}, mean_summary([run, *seeds]) if seeds else read_table(run / "summary.csv")
    split = headline_split(summary["split"])
    # The article's Figure 6 shows mixtures of two speakers.
    if config["mixtures"]["n_speakers"] == 2 and set(score_figures.SYSTEMS) & set(summary["system"]):
        larger = None if article_size is None else read_table(article_size / "summary.csv")
        steps["figure_6_scores"] = lambda: score_figures.beside_article(
            summary, score_figures.article_scores(), split, article_size=larger)
    if summary["split"].str.contains("SNR").any():
        labels = {config["method"]["name"]: "trained with noise", "saved": "trained without"}
        if config["noise"]["training_snr_db"] is None:
            labels = {config["method"]["name"]: words(config["method"]["name"])}
        steps["improvement_by_snr"] = lambda: score_figures.improvement_by_snr(summary, labels, split)
    if (speakers := _speakers(run, config)) is not None:
        from lab41_sce.article import vector_figures  # imports TensorFlow

        vectors = speakers.filter(like="vector_").to_numpy()
        pitches_hz = speakers["pitch_hz"].to_numpy()
        steps["speaker_vectors"] = lambda: vector_figures.speaker_vectors(vectors, speakers["sex"], pitches_hz)
    return steps


def _of_model(run: Path, config: dict) -> dict[str, Callable[[], Figure]]:
    """Return functions that draw the model of a run's method, and its masks and vectors of an example."""
    import keras

    from lab41_sce.article import spectrogram_figures, vector_figures
    from lab41_sce.models.embedding_model import EmbeddingModel
    from lab41_sce.models.loading import load_model
    from lab41_sce.separation.chunked_inference import embed, estimate_masks

    name = config["method"]["name"]
    if not (run / "systems" / name / "model.keras").exists():
        return {}
    model, speakers = load_model(run / "systems" / name), _speakers(run, config)
    n_known = None if speakers is None else len(speakers)
    steps = {"figure_4_network": lambda: draw_network(model, words(name), n_known)}
    if (example := _example(run)) is None:
        return steps

    mixture = audio.read_mono(example / "mixture.wav", model.front_end.sample_rate_hz)
    sources = np.stack([audio.read_mono(reference, model.front_end.sample_rate_hz)
                        for reference in sorted(example.glob("reference_*.wav"))])
    levels, parts = (np.abs(model.front_end.spectrogram(signals)) for signals in (mixture, sources))
    grid = spectrogram_figures.Grid.of(model.front_end)

    def masking() -> Figure:
        masks = np.abs(estimate_masks(model, mixture, len(sources)))  # those with a phase are complex
        _, order = linear_sum_assignment(np.einsum("rtf,stf->rs", parts * levels, masks), maximize=True)
        return spectrogram_figures.masking(levels, masks[order], parts, grid)

    def vectors() -> Figure:
        keras.utils.set_random_seed(config["seed"])
        untrained = type(model).from_config(model.get_config())
        embeddings = {"before training": embed(untrained, mixture), "after training": embed(model, mixture)}
        return vector_figures.principal_components(embeddings, parts, levels, model.range_db)

    steps |= {"figure_1_components": lambda: spectrogram_figures.components(levels, parts, grid),
              "figure_2_louder_source": lambda: spectrogram_figures.louder_source(levels, parts, grid),
              "figure_3_masking": masking}
    return steps | ({"figure_5_vectors": vectors} if isinstance(model, EmbeddingModel) else {})


def _example(run: Path) -> Path | None:
    """Return the folder of the example to draw, or None without examples."""
    folders = sorted(file.parent for file in (run / "examples").glob("*/mixture.wav"))
    return next((folder for folder in folders if folder.name == EXAMPLE), folders[0] if folders else None)


def _speakers(run: Path, config: dict) -> pd.DataFrame | None:
    """Read the table of the speakers in the training of the run's method, or return None without one."""
    file = run / "systems" / config["method"]["name"] / "speakers.csv"
    return pd.read_csv(file, dtype={"speaker": str}) if file.exists() else None


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the figures of a run and print their paths; return the exit status."""
    parser = Parser("python -m lab41_sce.article.draw", description="Draw the article's figures.")
    parser.add_argument("run", type=Path, help="folder of a finished run")
    for file in write_figures(parser.parse_args(arguments).run):
        print(file, file.with_suffix(".svg").name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
