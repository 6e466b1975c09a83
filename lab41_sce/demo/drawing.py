"""A result becomes figures, each with a caption that states its content in words.

    magnitudes, masks -> spectrogram with every bin in the colour of its voice; a panel for each mask
    activity          -> times when each voice speaks, and the confidence
    projection        -> embeddings in three dimensions, for plotly in the browser

Figures are narrow, so that their text is readable on a telephone. The colours are those of Okabe and Ito, the first
three in the order of the article's figures.
"""

import io
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import cm, colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lab41_sce.article.spectrogram_figures import COLOUR_STEPS, LEVEL, Grid
from lab41_sce.demo.results import PROJECTION_RANGE_DB, Projection, Result
from lab41_sce.models.clustering import active_bins
from lab41_sce.reporting import figures, sound_figures
from lab41_sce.separation.activity import SpeakerActivity

WIDTH_INCHES, PIXELS_PER_INCH = 5.2, 140
COLOURS = {"blue": "#0072B2", "orange": "#E69F00", "pink": "#CC79A7", "green": "#009E73", "red": "#D55E00"}
_RGB = np.array([to_rgb(colour) for colour in COLOURS.values()])
BRIGHT_COLOURS = _RGB / _RGB.max(axis=1, keepdims=True)  # for a black background
GREY = "#888888"  # readable on white and on black
CLEAR_MASK = 0.8  # a bin with a larger mask belongs clearly to one voice


def colour(index: int) -> str:
    """Return the colour of a voice, by its index from 0, as in CSS; a sixth voice has the colour of the first."""
    return [*COLOURS.values()][index % len(COLOURS)]


def spectrogram(result: Result) -> tuple[Figure, str]:
    """Draw the spectrogram of the sound, every bin in the mixture of the voices' colours that its masks give.

    Args:
        result: the result to draw.

    Returns:
        The figure and its caption.
    """
    magnitudes, masks = result.details.magnitudes, result.details.masks
    level_db = 20 * np.log10(np.maximum(magnitudes / max(magnitudes.max(), 1e-8), 1e-6))
    brightness = np.clip(1 + level_db / figures.RANGE_DB, 0, 1)
    colours = np.einsum("stf,sc->tfc", masks, np.resize(BRIGHT_COLOURS, (len(masks), 3)))
    figure = _figure(2.9)
    panel = figure.subplots()
    _show(panel, np.clip(colours, 0, 1) * brightness[..., None], result)
    panel.set(xlabel="Time (s)", ylabel="Frequency (Hz)")
    scale = cm.ScalarMappable(Normalize(-figures.RANGE_DB, 0), "gray")
    figure.colorbar(scale, ax=panel, label=LEVEL, pad=0.01)
    energies = (masks * magnitudes**2).sum(axis=(1, 2))
    shares = energies / max(energies.sum(), 1e-12)
    parts = [f"{_in_colour(result.labels, number)} has {share:.0%}" for number, share in enumerate(shares)]
    seconds = len(magnitudes) * result.front_end.hop_length / result.front_end.sample_rate_hz
    return figure, (f"Spectrogram of {min(seconds, result.sound.seconds):.1f} s, 0 to "
                    f"{result.front_end.sample_rate_hz / 2000:g} kHz. Brightness is the level of a bin, "
                    f"colour is its voice. Of the energy, {_list(parts)}.")


def masks(result: Result) -> tuple[Figure, str]:
    """Draw the mask of each voice in its own panel; returns the figure and its caption."""
    masks = result.details.masks
    figure = _figure(0.6 + 1.35 * len(masks))
    panels = figure.subplots(len(masks), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for number, (panel, mask) in enumerate(zip(panels, masks, strict=True)):
        image = _show(panel, mask, result, cmap="gray", vmin=0, vmax=1)
        panel.set_title(result.labels[number], loc="left", fontsize="medium", parse_math=False)
    panels[-1].set_xlabel("Time (s)")
    figure.supylabel("Frequency (Hz)", fontsize="medium")
    figure.colorbar(image, ax=[*panels], label="Mask", pad=0.01)
    active = active_bins(result.details.magnitudes, PROJECTION_RANGE_DB)
    if len(masks) == 1:
        return figure, "The mask of a single voice is 1 everywhere."
    if not active.any():
        return figure, "The recording is silent, so no bin is active."
    largest = masks.max(axis=0)[active]
    owners = masks.argmax(axis=0)[active]
    parts = [f"the mask of {label} is the largest in {np.mean(owners == number):.0%}"
             for number, label in enumerate(result.labels)]
    return figure, (f"Masks: white is 1 (the bin belongs to the voice), black is 0. Among active bins, {_list(parts)}; "
                    f"{np.mean(largest > CLEAR_MASK):.0%} belong clearly to one voice (mask above {CLEAR_MASK:g}).")


def who_speaks_when(result: Result) -> tuple[Figure, str]:
    """Draw when each voice speaks, and the confidence of each second; returns the figure and its caption."""
    activity = result.separation.activity
    figure = sound_figures.who_speaks_when(activity, [*COLOURS.values()], result.separation.names)
    figure.set_size_inches(WIDTH_INCHES, figure.get_size_inches()[1] + 0.3)
    parts = []
    for number, segments in enumerate(activity.segments()):
        times = _list([f"{start:.1f} to {end:.1f} s" for start, end in segments]) or "never"
        parts.append(f"{_in_colour(result.names, number)} speaks: {times}.")
    return figure, " ".join([*parts, confidence(activity)])


def confidence(activity: SpeakerActivity) -> str:
    """Describe the confidence of a separation, and its lowest second."""
    whole, by_second = activity.confidence(), activity.confidence_by_second()
    if len(activity.powers) == 1:
        return "A single voice has no confidence, because no other voice competes with it."
    if math.isnan(whole):
        return "The recording is silent, so there is no confidence."
    least = int(np.nanargmin(by_second))
    return (f"Confidence: {whole:.2f} of 1 for the recording; lowest from {least} to {least + 1} s "
            f"({by_second[least]:.2f}).")


def embeddings(projection: Projection, labels: Sequence[str]) -> tuple[str, str]:
    """Draw the embeddings of active bins of S voices in three dimensions.

    Args:
        projection: the embeddings to draw.
        labels: names of the S voices.

    Returns:
        The figure, as plotly's JSON, readable on a light and on a dark page, and its caption.
    """
    traces = []
    points = [projection.points[projection.voices == number] for number in range(len(labels))]
    for number, of_voice in enumerate(points):
        x, y, z = (axis.round(3).tolist() for axis in of_voice.T)
        traces.append({"type": "scatter3d", "mode": "markers", "name": labels[number], "hoverinfo": "name",
                       "x": x, "y": y, "z": z, "marker": {"size": 2, "color": colour(number)}})
    axis = {"showticklabels": False, "showbackground": False, "color": GREY, "gridcolor": GREY, "zerolinecolor": GREY,
            "showspikes": False}
    scene = {f"{name}axis": axis | {"title": {"text": f"PC {place} ({share:.0%})"}}
             for place, (name, share) in enumerate(zip("xyz", projection.variance_shares, strict=True), start=1)}
    layout = {"scene": scene | {"camera": {"eye": {"x": 1.5, "y": 1.5, "z": 0.8}}, "aspectmode": "cube"},
              "paper_bgcolor": "rgba(0,0,0,0)", "height": 420, "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
              "legend": {"orientation": "h", "itemsizing": "constant"}, "font": {"color": GREY, "family": "sans-serif"}}
    clusters = [cluster for cluster in points if len(cluster)]
    centroids = [cluster.mean(axis=0) for cluster in clusters]
    caption = (f"Embeddings of {len(projection.points):,} of {projection.n_bins:,} active bins on their first three "
               f"principal components, which explain {projection.variance_shares.sum():.0%} of their variance.")
    if len(centroids) > 1:
        apart = min(np.linalg.norm(one - other) for place, one in enumerate(centroids) for other in centroids[:place])
        own = np.mean([np.linalg.norm(cluster - centroid, axis=1).mean()
                       for cluster, centroid in zip(clusters, centroids, strict=True)])
        caption += (f" The distance between the two nearest centroids of voices is {apart:.2f}; the mean distance of "
                    f"an embedding from the centroid of its voice is {own:.2f}.")
    return json.dumps({"data": traces, "layout": layout}), caption


def png(figure: Figure) -> bytes:
    """Encode a figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=PIXELS_PER_INCH)
    return file.getvalue()


def _figure(height: float) -> Figure:
    """Make a narrow figure."""
    figure = figures.new_figure(height)
    figure.set_size_inches(WIDTH_INCHES, height)
    return figure


def _show(panel: Axes, image: np.ndarray, result: Result, **options: Any) -> AxesImage:
    """Draw an image `[T, F]`, or in colour `[T, F, 3]`."""
    seconds, hz = Grid.of(result.front_end)
    extent = -0.5 * seconds, (image.shape[0] - 0.5) * seconds, -0.5 * hz, (image.shape[1] - 0.5) * hz
    if "cmap" in options:
        options["cmap"] = colormaps[options["cmap"]].resampled(COLOUR_STEPS)
    return panel.imshow(np.swapaxes(image, 0, 1), origin="lower", aspect="auto", extent=extent, **options)


def _in_colour(names: Sequence[str], number: int) -> str:
    """Name a voice and its colour."""
    return f"{names[number]} ({[*COLOURS][number % len(COLOURS)]})"


def _list(parts: list[str]) -> str:
    """Join texts with commas and "and"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
