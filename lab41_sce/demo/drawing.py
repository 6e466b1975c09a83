"""A result becomes pictures, each with a caption that says the same in words.

    levels, masks -> spectrogram with every bin in the colour of its voice; a panel for each mask
    frames        -> who speaks when, and how sure that is
    cloud         -> the vectors in three dimensions, for plotly in the browser, which turns them

Pictures are narrow, so that their letters can be read on a telephone. Colours are those of the article's figures.
"""

import io
import json
import math

import numpy as np
from matplotlib import cm, colormaps
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure

from lab41_sce.article.spectrogram_figures import COLOUR_STEPS, LEVEL, SPEAKER_COLOURS, Grid
from lab41_sce.demo.work import CLOUD_RANGE_DB, Cloud, Result
from lab41_sce.models.clustering import active_bins
from lab41_sce.reporting import figures, sound_figures
from lab41_sce.separation.activity import SpeakerActivity

WIDTH, DPI = 5.2, 140  # inches, pixels for each
NAMES = ("blue", "orange", "pink")  # of SPEAKER_COLOURS
BRIGHT = SPEAKER_COLOURS / SPEAKER_COLOURS.max(axis=1, keepdims=True)  # on black
GREY = "#888888"  # can be read on white and on black
CLEAR = 0.8  # a mask above it is a clear decision


def spectrogram(result: Result) -> tuple[Figure, str]:
    """Draw the sound's spectrogram, every bin in the colour of its voice: mixed, where masks share it.

    Args:
        result: of up to three voices.

    Returns:
        The figure and its caption.
    """
    level_db = 20 * np.log10(np.maximum(result.levels / max(result.levels.max(), 1e-8), 1e-6))
    brightness = np.clip(1 + level_db / figures.RANGE_DB, 0, 1)
    colours = np.einsum("stf,sc->tfc", result.masks, BRIGHT[: len(result.masks)])
    figure = _figure(2.9)
    panel = figure.subplots()
    _show(panel, np.clip(colours, 0, 1) * brightness[..., None], result)
    panel.set(xlabel="Time (s)", ylabel="Frequency (Hz)")
    scale = cm.ScalarMappable(Normalize(-figures.RANGE_DB, 0), "gray")
    figure.colorbar(scale, ax=panel, label=LEVEL, pad=0.01)
    energies = (result.masks * result.levels**2).sum(axis=(1, 2))
    shares = energies / max(energies.sum(), 1e-12)
    parts = [f"{_voice(number)} has {share:.0%}" for number, share in enumerate(shares)]
    seconds = len(result.levels) * result.front_end.hop_length / result.front_end.sample_rate_hz
    return figure, (f"Spectrogram of {min(seconds, result.sound.seconds):.1f} s, 0 to "
                    f"{result.front_end.sample_rate_hz / 2000:g} kHz; the louder a bin, the brighter, in the colour of "
                    f"its voice. Of the energy, {_list(parts)}.")


def masks(result: Result) -> tuple[Figure, str]:
    """Draw the mask of each voice in a panel of its own; as `spectrogram`."""
    figure = _figure(0.6 + 1.35 * len(result.masks))
    panels = figure.subplots(len(result.masks), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for number, (panel, mask) in enumerate(zip(panels, result.masks, strict=True)):
        image = _show(panel, mask, result, cmap="gray", vmin=0, vmax=1)
        panel.set_title(f"voice {number + 1}", loc="left", fontsize="medium")
    panels[-1].set_xlabel("Time (s)")
    figure.supylabel("Frequency (Hz)", fontsize="medium")
    figure.colorbar(image, ax=[*panels], label="Mask", pad=0.01)
    loud = active_bins(result.levels, CLOUD_RANGE_DB)
    if len(result.masks) == 1 or not loud.any():
        return figure, "The mask of a single voice lets everything through."
    largest = result.masks.max(axis=0)[loud]
    owners = result.masks.argmax(axis=0)[loud]
    parts = [f"voice {number + 1}'s is the largest in {np.mean(owners == number):.0%}"
             for number in range(len(result.masks))]
    return figure, (f"Masks: white lets a bin through, black shuts it out. Of the audible bins, {_list(parts)}; "
                    f"{np.mean(largest > CLEAR):.0%} are given to one voice clearly (a mask above {CLEAR:g}).")


def who_speaks_when(frames: SpeakerActivity) -> tuple[Figure, str]:
    """Draw when each voice speaks, and the confidence of each second; as `spectrogram`."""
    figure = sound_figures.who_speaks_when(frames, [to_hex(colour) for colour in SPEAKER_COLOURS])
    figure.set_size_inches(WIDTH, figure.get_size_inches()[1] + 0.3)
    parts = []
    for number, segments in enumerate(frames.segments()):
        times = _list([f"{start:.1f} to {end:.1f} s" for start, end in segments]) or "never"
        parts.append(f"{_voice(number).capitalize()} speaks: {times}.")
    return figure, " ".join([*parts, confidence(frames)])


def confidence(frames: SpeakerActivity) -> str:
    """Say how sure a separation is: the whole, and its least sure second."""
    whole, by_second = frames.confidence(), frames.confidence_by_second()
    if math.isnan(whole):
        return "A single voice has no confidence: there is nothing to confuse it with."
    least = int(np.nanargmin(by_second))
    return (f"Confidence: {whole:.2f} of 1 on the whole, least in the second from {least} to {least + 1} s "
            f"({by_second[least]:.2f}).")


def vectors(cloud: Cloud, n_voices: int) -> tuple[str, str]:
    """Draw the vectors of audible bins in three dimensions.

    Args:
        cloud: their places.
        n_voices: S.

    Returns:
        The figure, as plotly's JSON, and its caption. It can be read on a light and on a dark page.
    """
    traces = []
    for number in range(n_voices):
        x, y, z = (axis.round(3).tolist() for axis in cloud.places[cloud.owners == number].T)
        traces.append({"type": "scatter3d", "mode": "markers", "name": f"voice {number + 1}", "hoverinfo": "name",
                       "x": x, "y": y, "z": z, "marker": {"size": 2, "color": to_hex(SPEAKER_COLOURS[number])}})
    axis = {"showticklabels": False, "showbackground": False, "color": GREY, "gridcolor": GREY, "zerolinecolor": GREY,
            "showspikes": False}
    scene = {f"{name}axis": axis | {"title": {"text": f"PC {place} ({share:.0%})"}}
             for place, (name, share) in enumerate(zip("xyz", cloud.variance, strict=True), start=1)}
    layout = {"scene": scene | {"camera": {"eye": {"x": 1.5, "y": 1.5, "z": 0.8}}, "aspectmode": "cube"},
              "paper_bgcolor": "rgba(0,0,0,0)", "height": 420, "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
              "legend": {"orientation": "h", "itemsizing": "constant"}, "font": {"color": GREY, "family": "sans-serif"}}
    centroids = [cloud.places[cloud.owners == number].mean(axis=0) for number in range(n_voices)
               if (cloud.owners == number).any()]
    caption = (f"The vectors of {len(cloud.places):,} of {cloud.n_bins:,} audible bins on their first three principal "
               f"components, which hold {cloud.variance.sum():.0%} of their variance.")
    if len(centroids) > 1:
        apart = min(np.linalg.norm(one - other) for place, one in enumerate(centroids) for other in centroids[:place])
        own = np.mean([np.linalg.norm(cloud.places[cloud.owners == number] - cloud.places[cloud.owners == number]
                                      .mean(axis=0), axis=1).mean() for number in range(n_voices)
                       if (cloud.owners == number).any()])
        caption += (f" The nearest two voices' centres are {apart:.2f} apart; a vector is {own:.2f} from the centre of "
                    "its voice, on average.")
    return json.dumps({"data": traces, "layout": layout}), caption


def png(figure: Figure) -> bytes:
    """Encode a figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _figure(height):
    figure = figures.new_figure(height)
    figure.set_size_inches(WIDTH, height)
    return figure


def _show(panel, image, result, **options):
    """Draw `[T, F]`, or in colour `[T, F, 3]`."""
    grid = Grid.of(result.front_end)
    extent = [edge * step for count, step in zip(image.shape, grid) for edge in (-0.5, count - 0.5)]
    if "cmap" in options:
        options["cmap"] = colormaps[options["cmap"]].resampled(COLOUR_STEPS)
    return panel.imshow(np.swapaxes(image, 0, 1), origin="lower", aspect="auto", extent=extent, **options)


def _voice(number):
    return f"voice {number + 1} ({NAMES[number]})"


def _list(parts):
    """Join texts as in a sentence."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
