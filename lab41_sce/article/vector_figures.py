"""Vectors of bins and of speakers become figures of their principal components.

    embeddings [T, F, K] of a mixture -> Figure 5 of the article
    speaker vectors [P, K]            -> positions of similar voices, which the article describes but does not draw
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import cm, colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from lab41_sce.article.spectrogram_figures import SPEAKER_COLOURS, add_speaker_legend, check_magnitudes
from lab41_sce.models.clustering import active_bins
from lab41_sce.reporting.figures import COLOURS, new_figure

SEXES = {"F": ("women", COLOURS[1], "o"), "M": ("men", COLOURS[0], "s")}  # label, colour, marker
MAX_POINTS = 4000  # more points would hide each other


def principal_components(embeddings: Mapping[str, np.ndarray], sources: np.ndarray, mixture: np.ndarray,
                         range_db: float = 25) -> Figure:
    """Draw the vectors of the active bins of a mixture on their first three principal components (Figure 5).

    Each point has the colour of the source that is loudest in its bin. Of many bins, a fixed random sample is drawn.

    Args:
        embeddings: title (such as "before training") and vectors `[T, F, K]` of each panel, K at least 3.
        sources: magnitudes `[S, T, F]`.
        mixture: magnitudes `[T, F]`.
        range_db: range below the spectral peak within which bins are active, in dB.

    Returns:
        The figure.

    Raises:
        ValueError: if the arrays have other shapes, or there are fewer than three active bins.
    """
    check_magnitudes(mixture, sources)
    shapes = {title: np.shape(vectors) for title, vectors in embeddings.items()}
    if not shapes or any(shape[:-1] != np.shape(mixture) for shape in shapes.values()):
        raise ValueError(f"The embeddings have the shapes {shapes}; give at least one [T, F, K] with "
                         f"[T, F] = {np.shape(mixture)}.")
    active = active_bins(np.asarray(mixture), range_db)
    colours = SPEAKER_COLOURS[np.argmax(sources, axis=0)[active]]
    drawn = np.random.default_rng(0).permutation(len(colours))[:MAX_POINTS]
    figure = new_figure(height=3.7)
    panels = figure.subplots(1, len(embeddings), squeeze=False, subplot_kw={"projection": "3d"})[0]
    for panel, (title, vectors) in zip(panels, embeddings.items(), strict=True):
        places, labels = _project(np.asarray(vectors)[active], 3)
        panel.scatter(*places[drawn].T, c=colours[drawn], s=4, linewidths=0, depthshade=False, rasterized=True)
        for axis, label in zip((panel.xaxis, panel.yaxis, panel.zaxis), labels, strict=True):
            axis.set_label_text(label, fontsize="small")
            axis.set_ticklabels([])
            axis.labelpad = -12
        panel.set_box_aspect(None, zoom=0.9)
        panel.set_title(title, fontsize="medium", parse_math=False)
    add_speaker_legend(figure, SPEAKER_COLOURS[: len(sources)])
    return figure


def speaker_vectors(vectors: np.ndarray, sexes: Sequence[str], pitches_hz: np.ndarray) -> Figure:
    """Draw the vectors of the speakers in training on their first two principal components, by sex and by pitch.

    Args:
        vectors: speaker vectors `[P, K]`, P at least 3 and K at least 2.
        sexes: "F" or "M" for each speaker.
        pitches_hz: median pitch of each speaker `[P]`, NaN if unknown.

    Returns:
        The figure.

    Raises:
        ValueError: if the arrays have other shapes.
    """
    if np.ndim(vectors) != 2 or {len(sexes), np.size(pitches_hz)} != {len(vectors)} or set(sexes) - set(SEXES):
        raise ValueError(f"There are vectors {np.shape(vectors)}, {len(sexes)} sexes {sorted(set(sexes))} and "
                         f"{np.size(pitches_hz)} pitches; give vectors [P, K], P sexes (F or M) and P pitches.")
    places, labels = _project(np.asarray(vectors), 2)
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


def _project(vectors: np.ndarray, n_components: int) -> tuple[np.ndarray, list[str]]:
    """Project vectors [n, K] on their principal components: coordinates [n, C], and C labels."""
    if len(vectors) < 3 or vectors.shape[1] < n_components:
        raise ValueError(f"The vectors of active bins or speakers have the shape {vectors.shape}; at least "
                         f"(3, {n_components}) is needed.")
    pca = PCA(n_components, svd_solver="full")
    with np.errstate(invalid="ignore"):  # equal vectors have no variance
        places = pca.fit_transform(vectors)
    shares = 100 * np.nan_to_num(pca.explained_variance_ratio_)
    return places, [f"PC {number}: {share:.0f} % of variance" for number, share in enumerate(shares, start=1)]
