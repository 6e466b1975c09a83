"""A result becomes HTML: players with downloads, a table of scores, figures with captions.

Figures are embedded in the page; sounds are files in the visitor's private folder, which the server serves by name.
"""

import base64
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from lab41_sce import audio
from lab41_sce.article.spectrogram_figures import SPEAKER_COLOURS
from lab41_sce.demo import drawing
from lab41_sce.demo.results import METRICS, Result
from lab41_sce.separation.verdict import verdict

VOICES_ROUTE = "voices"  # address of the visitors' folders
MAX_PEAK = 0.99  # of full scale


def players(result: Result, folder: Path) -> str:
    """Write the sound and its voices to a folder as WAV files (16 bits, one scale for all); return their players."""
    scale = min(1.0, MAX_PEAK / max(np.abs(result.voices).max(), np.abs(result.sound.signal).max(), 1e-9))
    parts = [("the mixture", "mixture", result.sound.signal, "currentColor")]
    for number, voice in enumerate(result.voices, start=1):
        parts.append((f"voice {number}", f"voice_{number}", voice, to_hex(SPEAKER_COLOURS[number - 1])))
    cards = []
    for title, stem, signal, shade in parts:
        file = folder / f"{stem}.wav"
        audio.write(file, signal * scale, result.sound.sample_rate_hz, "PCM_16")
        source = f"{VOICES_ROUTE}/{folder.name}/{file.name}"
        cards.append(
            f'<section class="player"><h3><span class="swatch" style="background:{shade}"></span>{title.capitalize()}'
            f'</h3><audio controls preload="metadata" src="{source}" data-name="{stem}" aria-label="'
            f'{title.capitalize()}, {result.sound.seconds:.1f} seconds"></audio>'
            f'<a href="{source}" download="{stem}.wav">Download {title} (WAV)</a></section>')
    return f'<div class="players">{"".join(cards)}</div>'


def summary(result: Result, system: str) -> str:
    """Describe the number of people and the confidence in words, then the separation in a paragraph."""
    separation = result.separation
    sentence = (f"{result.sound.seconds:.1f} s at {result.sound.sample_rate_hz} Hz were separated into "
                f"{separation.n_speakers} voice{'s' if separation.n_speakers > 1 else ''} by {system}. "
                f"{drawing.confidence(separation.activity)}")
    line = verdict(separation, "choose {} as the number of voices")
    if not line:
        return f"<p>{escape(sentence)}</p>"
    unsure = separation.low_confidence or (separation.count and separation.count.alternative)
    return (f'<p class="status{" unsure" if unsure else ""}" id="verdict">{escape(line[0].upper() + line[1:])}</p>'
            f"<p>{escape(sentence)}</p>")


def scores(table: pd.DataFrame | None) -> str:
    """Format the scores as a table; an empty text if the sources are unknown."""
    if table is None:
        return ""
    heads = "".join(f'<th scope="col">{metric} (dB)</th>' for metric in METRICS)
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th>'
                   + "".join(f'<td data-metric="{metric}">{_decibels(table.loc[name, metric])}</td>'
                             for metric in METRICS) + "</tr>" for name in table.index)
    note = "" if table.iloc[0].notna().any() else (
        " The number of voices differs from the number of speakers, so the voices cannot be scored.")
    return ('<table class="scores"><caption>Means over the two speakers; larger is better. SDRi is the improvement of '
            f"the SDR over the mixture. The ideal binary mask is computed from the sources.{note}</caption>"
            f'<thead><tr><th scope="col">signal</th>{heads}</tr></thead><tbody>{rows}</tbody></table>')


def pictures(result: Result) -> str:
    """Draw the spectrogram, the masks and the activity of the voices, each with a caption."""
    drawn = [("spectrogram", "Spectrogram with its bins coloured by voice", drawing.spectrogram(result)),
             ("masks", "The mask of each voice", drawing.masks(result)),
             ("speech", "Who speaks when, and the confidence", drawing.who_speaks_when(result.separation.activity))]
    return "".join(
        f'<figure id="{name}"><h3>{title}</h3><img alt="{title}; described below." src="data:image/png;base64,'
        f'{base64.b64encode(drawing.png(figure)).decode()}"><figcaption>{escape(caption)}</figcaption></figure>'
        for name, title, (figure, caption) in drawn)


def message(text: str, share: float | None = None, failed: bool = False) -> str:
    """Format a status message, also for screen readers, with a progress bar if the share of the work done is given."""
    bar = "" if share is None else f'<progress max="1" value="{share:.2f}" aria-label="Progress"></progress>'
    kind = 'class="status failed" role="alert"' if failed else 'class="status" role="status"'
    return f"<div {kind}>{escape(text)}{bar}</div>"


def _decibels(value: float) -> str:
    """Format a score; a dash for a missing one."""
    return "–" if np.isnan(value) else f"{value:.1f}"
