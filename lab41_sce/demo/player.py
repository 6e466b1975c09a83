"""Sounds become the HTML of a player; `page.js` plays all tracks of a player in step and switches them on and off.

    signal [N] -> outline of its waveform, as the path of an SVG picture
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

VOICES_ROUTE = "voices"  # address of the visitors' folders
COLUMNS = 400  # of a waveform


@dataclass(frozen=True)
class Track:
    """Describe one sound of a player.

    Attributes:
        title: name of the sound.
        file: its file in the visitor's folder.
        signal: its samples, float `[N]`, for the waveform.
        colour: of the waveform, as in CSS.
        muted: whether the sound is off at first.
        segments: start and end of each time at which the voice speaks, in seconds.
    """

    title: str
    file: str
    signal: np.ndarray
    colour: str = "currentColor"
    muted: bool = False
    segments: Sequence[tuple[float, float]] = ()


def player(tracks: Sequence[Track], folder: Path, sample_rate_hz: int, label: str) -> str:
    """Format a player of sounds of one length.

    Args:
        tracks: the sounds; a single one has no buttons to mute it or play it alone.
        folder: holds their files.
        sample_rate_hz: of all sounds.
        label: name of the player for screen readers.
    """
    seconds = len(tracks[0].signal) / sample_rate_hz
    peak = max(*(np.abs(track.signal).max(initial=0.0) for track in tracks), 1e-9)
    rows = "".join(_track(track, f"{VOICES_ROUTE}/{folder.name}", seconds, peak, len(tracks) > 1) for track in tracks)
    return (f'<voice-player role="group" aria-label="{escape(label)}" data-folder="{folder.name}" '
            f'data-rate="{sample_rate_hz}" data-seconds="{seconds:.3f}"><div class="transport">'
            '<button type="button" class="play">Play</button>'
            f'<input type="range" min="0" max="{seconds:.1f}" step="0.1" value="0" aria-label="Position">'
            f'<span class="time" role="timer"></span></div>{rows}</voice-player>')


def _track(track: Track, address: str, seconds: float, peak: float, several: bool) -> str:
    """Format the row of a track."""
    title = escape(track.title)
    buttons = "" if not several else (
        f'<button type="button" class="mute" aria-pressed="{str(track.muted).lower()}" aria-label="Mute {title}">Mute'
        f'</button><button type="button" class="solo" aria-pressed="false" aria-label="Solo: only {title}">Solo'
        '</button>'
        f'<a href="{address}/{track.file}" download="{track.file}" aria-label="Download {title} (WAV)">WAV</a>')
    scale = COLUMNS / seconds
    speaks = "".join(f'<rect x="{scale * start:.1f}" y="0.92" width="{scale * (end - start):.1f}" height="0.08"/>'
                     for start, end in track.segments)
    return (f'<div class="track" role="group" aria-label="{title}" data-name="{Path(track.file).stem}" '
            f'data-source="{address}/{track.file}" style="--colour:{track.colour}"><span class="title">{title}</span>'
            f'<span class="buttons">{buttons}</span><span class="waveform"><svg viewBox="0 -1 {COLUMNS} 2" '
            f'preserveAspectRatio="none" aria-hidden="true"><path d="{waveform(track.signal / peak)}"/>{speaks}</svg>'
            "</span></div>")


def waveform(signal: np.ndarray) -> str:
    """Draw the outline of a signal `[N]` with samples from -1 to 1, as a path `COLUMNS` wide and 2 high."""
    starts = np.linspace(0, len(signal), COLUMNS, endpoint=False).astype(int)
    peaks = np.maximum.reduceat(np.abs(signal), starts)
    upper = [f"{x} {-peak:.2f}" for x, peak in enumerate(peaks)]
    lower = [f"{x} {peak:.2f}" for x, peak in enumerate(peaks)]
    return f"M{'L'.join([*upper, *reversed(lower)])}Z"
