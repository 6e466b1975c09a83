"""A result becomes HTML: the verdict, the player of the voices with the downloads, and the details for experts.

Figures are embedded in the page; sounds are files in the visitor's private folder, which the server serves by name.
"""

import base64
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from lab41_sce.demo import drawing
from lab41_sce.demo.downloads import DOWNLOADS, MIXTURE, true_file, voice_file
from lab41_sce.demo.player import VOICES_ROUTE, Track, player
from lab41_sce.demo.results import METRICS, Result
from lab41_sce.demo.sounds import Sound
from lab41_sce.separation.verdict import verdict as verdict_in_words

IDLE = '<p class="idle">Choose a sound, then press <b>Separate</b>. The voices appear here.</p>'
SIGNS = {"clear": "✓", "unsure": "⚠"}  # the colour is not the only difference


def message(text: str, failed: bool = False) -> str:
    """Format a status message, also for screen readers."""
    if failed:
        return f'<div class="status failed" role="alert"><b>Error:</b> {escape(text)}</div>'
    return f'<div class="status" role="status">{escape(text)}</div>'


def failure(text: str) -> str:
    """Format an error for the place where the result would be; `message` reports it to screen readers."""
    return f'<div class="verdict failed"><p><b>Error:</b> {escape(text)}</p></div>'


def working(text: str, share: float) -> str:
    """Format the progress of a separation, for the place where its result will be."""
    return (f'<div class="working"><b>Working</b> <span>{escape(text)}</span>'
            f'<progress max="1" value="{share:.2f}" aria-label="Progress"></progress></div>')


def verdict(result: Result) -> str:
    """Describe in words and in a colour how many people talk, and whether to trust the voices."""
    separation = result.separation
    line = verdict_in_words(separation, "press Try {}")
    if not line:
        voices = "1 voice" if separation.n_speakers == 1 else f"{separation.n_speakers} voices"
        line = f"{voices}, as chosen{': clear.' if separation.low_confidence is False else '.'}"
    kind = ""
    if separation.low_confidence or alternative(result):
        kind = "unsure"
    elif line.endswith("clear."):
        kind = "clear"
    found = "".join(f"<p>{escape(str(person))}.</p>" for person in separation.people)
    sign = f'<span class="sign" aria-hidden="true">{SIGNS[kind]}</span> ' if kind else ""
    return (f'<div class="verdict {kind}" id="verdict" role="status"><p>{sign}{escape(line[0].upper() + line[1:])}</p>'
            f"{found}</div>")


def alternative(result: Result) -> int | None:
    """Return the number of people that is the second most probable, if the counted one is uncertain."""
    return result.separation.count.alternative if result.separation.count else None


def preview(sound: Sound, folder: Path) -> str:
    """Format the player of a sound before it is separated."""
    return player([Track(sound.name, MIXTURE, sound.signal)], folder, sound.sample_rate_hz, "The chosen sound")


def voices(result: Result, folder: Path) -> str:
    """Format the player of a sound, its voices and, if they are known, the true voices, and links to all files."""
    sound, names = result.sound, result.names
    tracks = [Track("Recording", MIXTURE, sound.signal, muted=True)]
    true_voices, segments = result.true_voices(), result.separation.activity.segments()
    for index, (name, voice) in enumerate(zip(names, result.voices, strict=True)):
        colour, true = drawing.colour(index), true_voices[index]
        tracks.append(Track(name, voice_file(index), voice, colour, segments=segments[index]))
        if true is not None and sound.sources is not None:
            title = f"True voice {index + 1}: {sound.source_names[true]}"
            tracks.append(Track(title, true_file(true), sound.sources[true], colour, muted=True))
    links = "".join(f'<a href="{VOICES_ROUTE}/{folder.name}/{file}" download="{file}">{title}</a>'
                    for file, title in DOWNLOADS.items())
    return (player(tracks, folder, sound.sample_rate_hz, "The recording and its voices")
            + f'<p class="downloads"><b>Download</b> {links}</p>')


def details(result: Result, system: str) -> str:
    """Describe the separation in numbers: what was done, probabilities of the numbers of people, scores, figures."""
    sound, separation = result.sound, result.separation
    sentence = (f"{sound.seconds:.1f} s at {sound.sample_rate_hz} Hz were separated into {separation.n_speakers} "
                f"voice{'s' if separation.n_speakers > 1 else ''} by {system}. "
                f"{drawing.confidence(separation.activity)}")
    shares = separation.count.probabilities if separation.count else None
    return f"<p>{escape(sentence)}</p>{probabilities(shares)}{scores(result.scores)}{pictures(result)}"


def probabilities(shares: dict[int, float] | None) -> str:
    """Format the probability of each number of people as a table; an empty text if there are none."""
    if not shares:
        return ""
    heads = "".join(f'<th scope="col">{number}</th>' for number in shares)
    cells = "".join(f"<td>{share:.0%}</td>" for share in shares.values())
    return (f'<table class="scores" id="probabilities"><thead><tr><th scope="row">Number of people</th>{heads}</tr>'
            f'</thead><tbody><tr><th scope="row">Probability</th>{cells}</tr></tbody></table>')


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
    return ('<table class="scores" id="scores"><caption>Means over the two speakers; larger is better. SDRi is the '
            "improvement of the SDR over the mixture. The ideal binary mask is computed from the sources."
            f"{note}</caption>"
            f'<thead><tr><th scope="col">signal</th>{heads}</tr></thead><tbody>{rows}</tbody></table>')


def pictures(result: Result) -> str:
    """Draw the spectrogram, the masks and the activity of the voices, each with a caption."""
    drawn = [("spectrogram", "Spectrogram with its bins coloured by voice", drawing.spectrogram(result)),
             ("masks", "The mask of each voice", drawing.masks(result)),
             ("speech", "Who speaks when, and the confidence", drawing.who_speaks_when(result))]
    return "".join(
        f'<figure id="{name}"><h3>{title}</h3><img alt="{title}; described below." src="data:image/png;base64,'
        f'{base64.b64encode(drawing.png(figure)).decode()}"><figcaption>{escape(caption)}</figcaption></figure>'
        for name, title, (figure, caption) in drawn)


def _decibels(value: float) -> str:
    """Format a score; a dash for a missing one."""
    return "–" if np.isnan(value) else f"{value:.1f}"
