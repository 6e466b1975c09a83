"""A result becomes HTML: players to hear and download, a table of scores, pictures with captions.

Pictures travel inside the page; sounds are files in the visitor's private folder, which the server hands out by name.
"""

import base64
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from lab41_sce import audio
from lab41_sce.article.spectrogram_figures import SPEAKER_COLOURS
from lab41_sce.demo import drawing
from lab41_sce.demo.work import METRICS, Result

ROUTE = "gradio_api/file="  # where Gradio serves the files of folders that it may
FULL_SCALE = 0.99


def players(result: Result, folder: Path) -> str:
    """Write the sound and its voices as WAV files (16 bits, one scale for all), and players for them.

    Args:
        result: what to hear.
        folder: of the visitor.
    """
    scale = min(1.0, FULL_SCALE / max(np.abs(result.voices).max(), np.abs(result.sound.signal).max(), 1e-9))
    parts = [("the mixture", "mixture", result.sound.signal, "currentColor")]
    for number, voice in enumerate(result.voices, start=1):
        parts.append((f"voice {number}", f"voice_{number}", voice, colour(number - 1)))
    cards = []
    for title, stem, signal, shade in parts:
        file = folder / f"{stem}.wav"
        audio.write(file, signal * scale, result.sound.sample_rate_hz, "PCM_16")
        source = ROUTE + quote(str(file))
        cards.append(
            f'<section class="player"><h3><span class="swatch" style="background:{shade}"></span>{title.capitalize()}'
            f'</h3><audio controls preload="metadata" src="{source}" data-name="{stem}" aria-label="'
            f'{title.capitalize()}, {result.sound.seconds:.1f} seconds"></audio>'
            f'<a href="{source}" download="{stem}.wav">Download {title} (WAV)</a></section>')
    return f'<div class="players">{"".join(cards)}</div>'


def summary(result: Result, system: str) -> str:
    """Say in a paragraph what was done and how sure it is."""
    n_voices = len(result.voices)
    sentences = [f"{result.sound.seconds:.1f} s at {result.sound.sample_rate_hz} Hz became "
                 f"{n_voices} voice{'s' if n_voices > 1 else ''}, by {system}."]
    if result.count:
        sentences.append(f"Counted: {result.count}.")
    sentences.append(drawing.confidence(result.frames))
    return f"<p>{escape(' '.join(sentences))}</p>"


def scores(table: pd.DataFrame | None) -> str:
    """Write a table of scores; nothing if the truth is not known."""
    if table is None:
        return ""
    heads = "".join(f'<th scope="col">{metric} (dB)</th>' for metric in METRICS)
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th>'
                   + "".join(f'<td data-metric="{metric}">{_decibels(table.loc[name, metric])}</td>'
                             for metric in METRICS) + "</tr>" for name in table.index)
    note = "" if table.iloc[0].notna().any() else (
        " Another number of voices than of speakers was asked for, so they cannot be compared with the truth.")
    return ('<table class="scores"><caption>Means over the two speakers; larger is better. SDRi is the improvement of '
            f"the SDR over the mixture. The ideal binary mask knows the speakers.{note}</caption>"
            f'<thead><tr><th scope="col">what</th>{heads}</tr></thead><tbody>{rows}</tbody></table>')


def pictures(result: Result) -> str:
    """Draw spectrogram, masks and who speaks when, each with a caption that tells its facts."""
    drawn = [("spectrogram", "Spectrogram with its bins coloured by voice", drawing.spectrogram(result)),
             ("masks", "The mask of each voice", drawing.masks(result)),
             ("speech", "Who speaks when, and the confidence", drawing.who_speaks_when(result.frames))]
    return "".join(
        f'<figure id="{name}"><h3>{title}</h3><img alt="{title}; described below." src="data:image/png;base64,'
        f'{base64.b64encode(drawing.png(figure)).decode()}"><figcaption>{escape(caption)}</figcaption></figure>'
        for name, title, (figure, caption) in drawn)


def message(text: str, share: float | None = None, failed: bool = False) -> str:
    """Write a line about what is going on, for eyes and screen readers, with a bar if a share of the work is given."""
    bar = "" if share is None else f'<progress max="1" value="{share:.2f}" aria-label="Progress"></progress>'
    kind = 'class="status failed" role="alert"' if failed else 'class="status" role="status"'
    return f"<div {kind}>{escape(text)}{bar}</div>"


def colour(number: int) -> str:
    """Return the colour of a voice, from 0, for the page."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in SPEAKER_COLOURS[number])


def _decibels(value):
    return "–" if np.isnan(value) else f"{value:.1f}"
