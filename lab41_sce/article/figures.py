"""Draw the article's figures from our own sounds, models and scores (arXiv 1705.04662).

    magnitudes of a mixture, its sources, masks -> Figures 1 to 3: spectrograms
    vectors of bins                             -> Figure 5: their principal components
    summary.csv                                 -> Figure 6: improvement by kind of mixture
    speaker vectors                             -> where similar voices lie, which the article tells but does not draw

Conventions: `mixture` holds magnitudes, float32 `[T, F]`, and `sources` those of its S speakers, `[S, T, F]`, three at
most (as colours go); the front end makes them, and `grid` says where their bins lie. Levels are in dB relative to the
loudest bin of a figure. Every function returns a Figure (`article_scores` its table) and raises ValueError for arrays
of other shapes, or with too little in them to draw.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import cm, colormaps, patches
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from lab41_sce.data.splits import base_split
from lab41_sce.models.clustering import active_bins
from lab41_sce.reporting.figures import COLOURS, RANGE_DB, new_figure
from lab41_sce.reporting.tables import words

SPEAKER_COLOURS = np.array([to_rgb(colour) for colour in ("#0072B2", "#E69F00", "#CC79A7")])
SEXES = {"F": ("women", COLOURS[1], "o"), "M": ("men", COLOURS[0], "s")}  # label, colour, marker
SYSTEMS = {"sce": COLOURS[0], "deep_clustering": COLOURS[1], "pit_cnn": COLOURS[2]}
KINDS = {"female_female": "FF", "male_male": "MM", "female_male": "FM", "all": "All"}
LEVEL = "Level (dB re loudest)"
COLOUR_STEPS = 30  # of a spectrogram: with all 256, files would be half as large again
MAXIMUM_POINTS = 4000  # more hide each other


class Grid(NamedTuple):
    """Say how far apart the frames and the frequency bins of a spectrogram are."""

    seconds_per_frame: float
    hz_per_bin: float

    @classmethod
    def of(cls, front_end) -> "Grid":
        """Return the grid of a `FrontEnd`."""
        return cls(front_end.hop_length / front_end.sample_rate_hz, front_end.sample_rate_hz / front_end.frame_length)


def components(mixture: np.ndarray, sources: np.ndarray, grid: Grid) -> Figure:
    """Draw the spectrogram of a mixture beside those of its components, on one scale of levels (Figure 1)."""
    _check(mixture, sources)
    figure = new_figure(height=2.6)
    panels = figure.subplots(1, 1 + len(sources), sharex=True, sharey=True)
    for number, (panel, level_db) in enumerate(zip(panels, _levels_db(mixture, *sources), strict=True)):
        levels = _show(panel, level_db, grid, f"speaker {number}" if number else "mixture")
    figure.colorbar(levels, ax=list(panels), label=LEVEL, pad=0.01)
    return figure


def louder_source(mixture: np.ndarray, sources: np.ndarray, grid: Grid) -> Figure:
    """Draw a mixture with each bin in the colour of its louder source, as bright as the mixture's level (Figure 2)."""
    _check(mixture, sources)
    colours = SPEAKER_COLOURS / SPEAKER_COLOURS.max(axis=1, keepdims=True)  # as bright as they get
    brightness = np.maximum(1 + _levels_db(mixture)[0] / RANGE_DB, 0)
    figure = new_figure(height=3.2)
    panel = figure.subplots()
    _show(panel, colours[np.argmax(sources, axis=0)] * brightness[..., None], grid)
    figure.colorbar(cm.ScalarMappable(Normalize(-RANGE_DB, 0), "gray"), ax=panel, label=LEVEL, pad=0.01)
    _legend(figure, colours[: len(sources)])
    return figure


def masking(mixture: np.ndarray, masks: np.ndarray, sources: np.ndarray, grid: Grid, speaker: int = 0) -> Figure:
    """Draw mixture, mask and their product, for the estimated and for the ideal binary mask of a speaker (Figure 3).

    Args:
        mixture, sources, grid: see the conventions above.
        masks: estimates from 0 to 1, `[S, T, F]`, in the order of the sources.
        speaker: which of the S, from 0.
    """
    _check(mixture, sources)
    if np.shape(masks) != np.shape(sources) or not 0 <= speaker < len(sources):
        raise ValueError(f"Masks have shape {np.shape(masks)} and the speaker is {speaker}, want the sources' shape "
                         f"{np.shape(sources)} and a speaker from 0 to {len(sources) - 1}.")
    both = masks[speaker], (np.argmax(sources, axis=0) == speaker).astype(np.float32)
    levels_db = _levels_db(mixture, sources[speaker], *(mask * mixture for mask in both))
    figure = new_figure(height=4.2)
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, (left, kind) in enumerate((("mixture", "estimated"), (f"target: speaker {speaker + 1}", "ideal"))):
        levels = _show(panels[row, 0], levels_db[row], grid, left)
        shares = _show(panels[row, 1], both[row], grid, f"{kind} mask", cmap="gray", vmin=0, vmax=1)
        _show(panels[row, 2], levels_db[2 + row], grid, f"mixture × {kind} mask")
    figure.colorbar(levels, ax=list(panels[0]), label=LEVEL, pad=0.01)
    figure.colorbar(shares, ax=list(panels[1]), label="Mask", pad=0.01)
    return figure


def principal_components(embeddings: Mapping[str, np.ndarray], sources: np.ndarray, mixture: np.ndarray,
                         range_db: float = 25) -> Figure:
    """Draw the vectors of a mixture's audible bins on their first three principal components (Figure 5).

    Args:
        embeddings: title, such as "before training", and vectors `[T, F, K]` of each panel, K at least 3.
        sources, mixture: see the conventions above; a bin has the colour of the source that is louder there.
        range_db: bins at most this far below the loudest one are audible; of many, a fixed sample is drawn.
    """
    _check(mixture, sources)
    shapes = {title: np.shape(vectors) for title, vectors in embeddings.items()}
    if not shapes or any(shape[:-1] != np.shape(mixture) for shape in shapes.values()):
        raise ValueError(f"Embeddings have shapes {shapes}, want one [T, F, K] at least, T and F {np.shape(mixture)}.")
    loud = active_bins(np.asarray(mixture), range_db)
    colours = SPEAKER_COLOURS[np.argmax(sources, axis=0)[loud]]
    drawn = np.random.default_rng(0).permutation(len(colours))[:MAXIMUM_POINTS]
    figure = new_figure(height=3.7)
    panels = figure.subplots(1, len(embeddings), squeeze=False, subplot_kw={"projection": "3d"})[0]
    for panel, (title, vectors) in zip(panels, embeddings.items(), strict=True):
        places, labels = _principal_components(np.asarray(vectors)[loud], 3)
        panel.scatter(*places[drawn].T, c=colours[drawn], s=4, linewidths=0, depthshade=False, rasterized=True)
        for axis, label in zip((panel.xaxis, panel.yaxis, panel.zaxis), labels, strict=True):
            axis.set_label_text(label, fontsize="small")
            axis.set_ticklabels([])
            axis.labelpad = -12
        panel.set_box_aspect(None, zoom=0.9)
        panel.set_title(title, fontsize="medium", parse_math=False)
    _legend(figure, SPEAKER_COLOURS[: len(sources)])
    return figure


def article_scores() -> pd.DataFrame:
    """Return what the article's Figure 6 shows, read off its bars: columns `system`, `kind`, `mean` in dB.

    The figure says SDR, its authors' code computes the improvement of the SDR; at 0 dB the two are almost the same.
    """
    with resources.files("lab41_sce.article").joinpath("figure6.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, comment="#").rename(columns={"method": "system"} | KINDS)
    return table.replace("source_contrastive_estimation", "sce").melt("system", var_name="kind", value_name="mean")


def beside_article(summary: pd.DataFrame, article: pd.DataFrame, split: str = "unseen", metric: str = "SDRi") -> Figure:
    """Draw our scores by kind of mixture with 95 % intervals, and the article's beside them (Figure 6).

    Args:
        summary: rows of `summary.csv`: `system`, `split`, `kind`, `metric`, and `mean`, `low`, `high` in dB. Of the
            article's systems, those that are missing here are left out.
        article: what `article_scores` returns.
        split, metric: which rows of the summary to draw.
    """
    rows = summary[(summary["split"] == split) & (summary["metric"] == metric)]
    systems = {system: colour for system, colour in SYSTEMS.items() if system in set(rows["system"])}
    kinds = [kind for kind in KINDS.values() if kind in set(rows["kind"])]
    if not systems or not kinds:
        raise ValueError(f"The summary has no {metric!r} in split {split!r} of any of {[*SYSTEMS]}, want one at least.")
    width = min(0.4 / len(systems), 0.2)
    figure = new_figure(height=3.2)
    panel = figure.subplots(subplot_kw={"axisbelow": True})
    for place, (system, colour) in enumerate(systems.items()):
        ours, theirs = (table[table["system"] == system].drop_duplicates("kind", keep="last").set_index("kind")
                        .reindex(kinds) for table in (rows, article))
        whiskers = np.maximum([ours["mean"] - ours["low"], ours["high"] - ours["mean"]], 0)
        x = np.arange(len(kinds)) + (2 * place - len(systems) + 0.5) * width
        panel.bar(x, ours["mean"], width, yerr=whiskers, color=colour, capsize=2, label=words(system))
        panel.bar(x + width, theirs["mean"], width, color=(colour, 0.25), edgecolor=colour, hatch="////",
                  label=f"{words(system)}, article")
    panel.set_xticks(range(len(kinds)), kinds)
    panel.set(xlabel="Kind of mixture (F woman, M man)", ylabel=f"{metric} (dB), {split}\nwith 95 % intervals")
    panel.axhline(0, color="black", linewidth=0.8)
    panel.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(systems), frameon=False)
    return figure


def speaker_vectors(vectors: np.ndarray, sexes: Sequence[str], pitches_hz: np.ndarray) -> Figure:
    """Draw the vectors of the known speakers on their first two principal components, by sex and by pitch.

    Args:
        vectors: `[P, K]`, P at least 3 and K at least 2.
        sexes: "F" or "M" of each speaker.
        pitches_hz: median pitch of each speaker, `[P]`; NaN where it is not known.
    """
    if np.ndim(vectors) != 2 or {len(sexes), np.size(pitches_hz)} != {len(vectors)} or set(sexes) - set(SEXES):
        raise ValueError(f"Got vectors {np.shape(vectors)}, {len(sexes)} sexes {sorted(set(sexes))} and "
                         f"{np.size(pitches_hz)} pitches, want [P, K], P of F or M, and P.")
    places, labels = _principal_components(np.asarray(vectors), 2)
    pitches_hz = np.asarray(pitches_hz, float)
    known = pitches_hz[np.isfinite(pitches_hz)]
    scale = cm.ScalarMappable(Normalize(*(known.min(), known.max()) if len(known) else ()),
                           colormaps["viridis"].with_extremes(bad="lightgray"))
    figure = new_figure(height=3.7)
    by_sex, by_pitch = panels = figure.subplots(1, 2)
    for sex, (label, colour, marker) in SEXES.items():
        own = np.asarray(sexes) == sex
        by_sex.scatter(*places[own].T, s=16, marker=marker, color=colour, label=label)
        by_pitch.scatter(*places[own].T, s=16, marker=marker, color=scale.to_rgba(pitches_hz[own]))
    figure.colorbar(scale, ax=list(panels), label="Median pitch (Hz); grey: unknown", pad=0.01)
    for panel in panels:
        panel.set(xlabel=labels[0], ylabel=labels[1], aspect="equal", adjustable="datalim")
        panel.label_outer()
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def improvement_by_snr(summary: pd.DataFrame, labels: Mapping[str, str], split: str = "unseen",
                       metric: str = "SDRi") -> Figure:
    """Draw the improvement over the signal-to-noise ratio of the mixtures.

    Args:
        summary: rows of `summary.csv`, of splits such as "unseen, SNR 5 dB"; only the kind "All" is drawn.
        labels: system and label of each curve; systems that the summary lacks are left out.
        split: which one, at all ratios.
        metric: which one.

    Returns:
        Figure with 95 % intervals; mixtures without noise stand at the right.
    """
    rows = summary[(summary["metric"] == metric) & (summary["kind"] == "All") & summary["system"].isin([*labels])
                   & (summary["split"].map(base_split) == split)]
    ratios = rows["split"].str.extract(r"SNR (\S+) dB")[0].astype(float)
    if not ratios.notna().any():
        raise ValueError(f"The summary has no {metric!r} of {[*labels]} at any SNR, want some.")
    clean = ratios.max() + 5
    rows = rows.assign(ratio=ratios.fillna(clean)).sort_values("ratio")
    figure = new_figure(height=3.2)
    panel = figure.subplots()
    for (system, label), colour, marker in zip(labels.items(), COLOURS, "osD^", strict=False):
        own = rows[rows["system"] == system]
        if len(own):
            whiskers = np.maximum([own["mean"] - own["low"], own["high"] - own["mean"]], 0)
            panel.errorbar(own["ratio"], own["mean"], whiskers, color=colour, marker=marker, capsize=3, label=label)
    ticks = sorted(set(rows["ratio"]))
    panel.set_xticks(ticks, ["no noise" if tick == clean else f"{tick:g}" for tick in ticks])
    panel.set(xlabel="Signal-to-noise ratio of the mixture (dB)", ylabel=f"{metric} (dB), {split}\nwith 95 % intervals")
    panel.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _check(mixture, sources) -> None:
    """Refuse what is not magnitudes of a mixture and of its sources."""
    shape, shapes = np.shape(mixture), np.shape(sources)
    real = np.isrealobj(mixture) and np.isrealobj(sources)
    if not real or len(shape) != 2 or 0 in shape or shapes[1:] != shape or not 1 <= shapes[0] <= len(SPEAKER_COLOURS):
        raise ValueError(f"Mixture is {'real' if real else 'complex'} of shape {shape} and sources {shapes}, want "
                         f"magnitudes [T, F] and [S, T, F], T and F at least 1, S from 1 to {len(SPEAKER_COLOURS)}.")


def _levels_db(*magnitudes) -> list[np.ndarray]:
    """Turn magnitudes [T, F] into levels below the loudest bin of all, -60 dB at least, as in silence."""
    loudest = np.max(magnitudes) or 1.0
    return [20 * np.log10(np.maximum(magnitude / loudest, 10 ** (-RANGE_DB / 20))) for magnitude in magnitudes]


def _show(panel, image, grid, title="", cmap="magma", vmin=-RANGE_DB, vmax=0):
    """Draw [T, F] or, in colour, [T, F, 3]; frames and bins have their times and frequencies at their centres."""
    extent = [edge * step for count, step in zip(image.shape, grid) for edge in (-0.5, count - 0.5)]
    panel.set_title(title, loc="left", fontsize="medium")
    panel.set(xlabel="Time (s)", ylabel="Frequency (Hz)")
    panel.label_outer()
    colours = colormaps[cmap].resampled(COLOUR_STEPS)
    return panel.imshow(np.swapaxes(image, 0, 1), colours, origin="lower", aspect="auto", vmin=vmin, vmax=vmax,
                        extent=extent, interpolation="none")  # (which keeps an SVG small)


def _legend(figure, colours) -> None:
    """Say which speaker a colour stands for."""
    handles = [patches.Patch(color=colour, label=f"speaker {n} louder") for n, colour in enumerate(colours, start=1)]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)


def _principal_components(vectors, n_components) -> tuple[np.ndarray, list[str]]:
    """Project vectors [n, K] on the axes of most variance: places [n, C], and C labels."""
    if len(vectors) < 3 or vectors.shape[1] < n_components:
        raise ValueError(f"Vectors of audible bins or speakers are {vectors.shape}, want (3, {n_components}) at least.")
    pca = PCA(n_components, svd_solver="full")
    with np.errstate(invalid="ignore"):  # vectors that are all the same have no variance to share
        places = pca.fit_transform(vectors)
    shares = 100 * np.nan_to_num(pca.explained_variance_ratio_)
    return places, [f"PC {number}: {share:.0f} % of variance" for number, share in enumerate(shares, start=1)]
