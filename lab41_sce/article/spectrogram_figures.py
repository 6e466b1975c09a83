"""Magnitudes of a mixture, of its sources and masks become the article's Figures 1 to 3.

Conventions: `mixture` contains magnitudes, float32 `[T, F]`, and `sources` those of its S speakers, `[S, T, F]`, where
S is at most 3 (the number of colours). The front end computes them, and `grid` is the spacing of their bins. Levels are
in dB relative to the loudest bin of a figure.
"""

from typing import NamedTuple

import numpy as np
from matplotlib import cm, colormaps, patches
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lab41_sce.models.numpy_front_end import NumpyFrontEnd
from lab41_sce.reporting.figures import RANGE_DB, new_figure

SPEAKER_COLOURS = np.array([to_rgb(colour) for colour in ("#0072B2", "#E69F00", "#CC79A7")])
LEVEL = "Level (dB re loudest)"
COLOUR_STEPS = 30  # of a spectrogram; the usual 256 make files half as large again


class Grid(NamedTuple):
    """Spacing of the frames and of the frequency bins of a spectrogram."""

    seconds_per_frame: float
    hz_per_bin: float

    @classmethod
    def of(cls, front_end: NumpyFrontEnd) -> "Grid":
        """Return the spacing in the spectrograms of a front end."""
        return cls(front_end.hop_length / front_end.sample_rate_hz, front_end.sample_rate_hz / front_end.frame_length)


def components(mixture: np.ndarray, sources: np.ndarray, grid: Grid) -> Figure:
    """Draw the spectrogram of a mixture beside those of its sources, with the same scale of levels (Figure 1).

    Args:
        mixture: magnitudes `[T, F]`.
        sources: magnitudes `[S, T, F]`.
        grid: spacing of frames and bins.

    Returns:
        The figure.

    Raises:
        ValueError: if the arrays have other shapes.
    """
    check_magnitudes(mixture, sources)
    figure = new_figure(height=2.6)
    panels = figure.subplots(1, 1 + len(sources), sharex=True, sharey=True)
    for number, (panel, level_db) in enumerate(zip(panels, _levels_db(mixture, *sources), strict=True)):
        levels = _show(panel, level_db, grid, f"speaker {number}" if number else "mixture")
    figure.colorbar(levels, ax=list(panels), label=LEVEL, pad=0.01)
    return figure


def louder_source(mixture: np.ndarray, sources: np.ndarray, grid: Grid) -> Figure:
    """Draw each bin in the colour of its loudest source, with the brightness of the mixture's level (Figure 2).

    Args:
        mixture: magnitudes `[T, F]`.
        sources: magnitudes `[S, T, F]`.
        grid: spacing of frames and bins.

    Returns:
        The figure.

    Raises:
        ValueError: if the arrays have other shapes.
    """
    check_magnitudes(mixture, sources)
    colours = SPEAKER_COLOURS / SPEAKER_COLOURS.max(axis=1, keepdims=True)  # each as bright as possible
    brightness = np.maximum(1 + _levels_db(mixture)[0] / RANGE_DB, 0)
    figure = new_figure(height=3.2)
    panel = figure.subplots()
    _show(panel, colours[np.argmax(sources, axis=0)] * brightness[..., None], grid)
    figure.colorbar(cm.ScalarMappable(Normalize(-RANGE_DB, 0), "gray"), ax=panel, label=LEVEL, pad=0.01)
    add_speaker_legend(figure, colours[: len(sources)])
    return figure


def masking(mixture: np.ndarray, masks: np.ndarray, sources: np.ndarray, grid: Grid, speaker: int = 0) -> Figure:
    """Draw mixture, mask and their product, for the estimated and the ideal binary mask of a speaker (Figure 3).

    Args:
        mixture: magnitudes `[T, F]`.
        masks: estimated masks from 0 to 1, `[S, T, F]`, in the order of the sources.
        sources: magnitudes `[S, T, F]`.
        grid: spacing of frames and bins.
        speaker: index of the speaker, from 0.

    Returns:
        The figure.

    Raises:
        ValueError: if the arrays have other shapes, or there is no such speaker.
    """
    check_magnitudes(mixture, sources)
    if np.shape(masks) != np.shape(sources) or not 0 <= speaker < len(sources):
        raise ValueError(f"The masks have the shape {np.shape(masks)} and the speaker is {speaker}; the masks need the "
                         f"shape of the sources {np.shape(sources)} and the speaker a number from 0 to "
                         f"{len(sources) - 1}.")
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


def check_magnitudes(mixture: np.ndarray, sources: np.ndarray) -> None:
    """Raise ValueError unless the arrays are real magnitudes of a mixture `[T, F]` and of its sources `[S, T, F]`."""
    shape, shapes = np.shape(mixture), np.shape(sources)
    real = np.isrealobj(mixture) and np.isrealobj(sources)
    if not real or len(shape) != 2 or 0 in shape or shapes[1:] != shape or not 1 <= shapes[0] <= len(SPEAKER_COLOURS):
        raise ValueError(f"The mixture is {'real' if real else 'complex'} with the shape {shape} and the sources have "
                         f"the shape {shapes}; magnitudes [T, F] and [S, T, F] are needed, with T and F at least 1 and "
                         f"S from 1 to {len(SPEAKER_COLOURS)}.")


def add_speaker_legend(figure: Figure, colours: np.ndarray) -> None:
    """Add a legend "speaker 1 louder", "speaker 2 louder" and so on to a figure, one for each of the colours [S, 3]."""
    handles = [patches.Patch(color=colour, label=f"speaker {n} louder") for n, colour in enumerate(colours, start=1)]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)


def _levels_db(*magnitudes: np.ndarray) -> list[np.ndarray]:
    """Convert magnitudes [T, F] to dB relative to the loudest bin of all, limited to -60 dB."""
    loudest = np.max(magnitudes) or 1.0
    return [20 * np.log10(np.maximum(magnitude / loudest, 10 ** (-RANGE_DB / 20))) for magnitude in magnitudes]


def _show(panel: Axes, image: np.ndarray, grid: Grid, title: str = "", cmap: str = "magma",
          vmin: float = -RANGE_DB, vmax: float = 0) -> AxesImage:
    """Draw levels [T, F] or colours [T, F, 3]; times and frequencies are those of the middle of each bin."""
    left, right, low, high = (edge * step for count, step in zip(image.shape, grid) for edge in (-0.5, count - 0.5))
    panel.set_title(title, loc="left", fontsize="medium")
    panel.set(xlabel="Time (s)", ylabel="Frequency (Hz)")
    panel.label_outer()
    colours = colormaps[cmap].resampled(COLOUR_STEPS)
    return panel.imshow(np.swapaxes(image, 0, 1), colours, origin="lower", aspect="auto", vmin=vmin, vmax=vmax,
                        extent=(left, right, low, high), interpolation="none")  # keeps SVG files small
