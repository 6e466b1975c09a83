"""Turn signals, and what is known of their frames, into figures.

    signals {name: [N]}     -> spectrograms
    frames of a separation  -> who speaks when, and the confidence
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lab41_sce.reporting.figures import COLOURS, RANGE_DB, new_figure
from lab41_sce.separation.activity import SpeakerActivity

BRIGHTEST, DARKEST_DB = 99.5, -30.0  # percentile of levels, as few are far above the rest of speech; not below this
HIGHEST_HZ = 5000  # little of speech is above, and the models of this project hear nothing of it
WINDOW_SECONDS = 0.0512  # the article's STFT frame
# Bounds on what is computed, so that an hour of sound costs no more than a few minutes.
MAXIMUM_COLUMNS = 1200
MAXIMUM_FRAMES_PER_COLUMN = 8


def spectrograms(signals: Mapping[str, np.ndarray], sample_rate_hz: int, title: str | None = None) -> Figure:
    """Draw one spectrogram below the other, on one scale of levels.

    Args:
        signals: name and samples `[N]` of each panel, real; lengths may differ, silence is allowed.
        sample_rate_hz: rate of all signals.
        title: text above the panels.

    Returns:
        Figure up to 5 kHz, with levels in dB relative to the loudest bin of all panels. Its size follows from how
            many signals there are, not from their length.

    Raises:
        ValueError: if there is no signal, or one is not of shape `[N]`.
    """
    if not signals:
        raise ValueError("Got no signal to draw, want one at least.")
    for name, signal in signals.items():
        if np.ndim(signal) != 1:
            raise ValueError(f"Signal {name!r} has shape {np.shape(signal)}, want [N]: draw single channels.")
    powers = [_power(np.asarray(signal, np.float32), sample_rate_hz) for signal in signals.values()]
    loudest = max(power.max() for power in powers) or 1.0  # all silent: everything is dark
    levels_db = [10 * np.log10(np.maximum(power / loudest, 1e-12)) for power in powers]
    brightest_db = max(np.percentile(np.concatenate([*map(np.ravel, levels_db)]), BRIGHTEST), DARKEST_DB)

    figure = new_figure(height=0.7 + 1.2 * len(signals))
    panels = figure.subplots(len(signals), sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, (name, signal), level_db in zip(panels, signals.items(), levels_db, strict=True):
        seconds = max(len(signal), 1) / sample_rate_hz
        image = panel.imshow(level_db, origin="lower", aspect="auto", cmap="magma",
                             vmin=brightest_db - RANGE_DB, vmax=brightest_db,
                             extent=(0, seconds, 0, sample_rate_hz / 2))
        panel.set_title(name, loc="left", fontsize="medium", parse_math=False)
    panels[-1].set_ylim(0, min(HIGHEST_HZ, sample_rate_hz / 2))
    panels[-1].set_xlim(0, max(max(map(len, signals.values())), 1) / sample_rate_hz)
    panels[-1].set_xlabel("Time (s)")
    figure.supylabel("Frequency (Hz)", fontsize="medium")
    figure.colorbar(image, ax=list(panels), label="Level (dB re loudest)", aspect=12 * len(signals), pad=0.02)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def who_speaks_when(frames: SpeakerActivity, colours: Sequence = COLOURS) -> Figure:
    """Draw when each voice speaks, and below how confident the separation is, second by second.

    Args:
        frames: of a separation.
        colours: of the voices, one after the other.

    Returns:
        Figure with a bar for each segment of each voice; a single one has no confidence.
    """
    segments, confidence = frames.segments(), frames.confidence_by_second()
    sure = not np.isnan(confidence).all()
    figure = new_figure(height=0.8 + sure + 0.35 * len(segments))
    panels = figure.subplots(1 + sure, sharex=True, squeeze=False, height_ratios=(max(len(segments), 1), 2)[: 1 + sure])
    voices, lowest = panels[0, 0], panels[-1, 0]
    for number, of_voice in enumerate(segments):
        bars = [(start, end - start) for start, end in of_voice]
        voices.broken_barh(bars, (number + 0.6, 0.8), color=colours[number % len(colours)])
    voices.set_yticks(range(1, len(segments) + 1), [f"voice {number}" for number in range(1, len(segments) + 1)])
    voices.set_ylim(len(segments) + 0.5, 0.5)
    if sure:
        lowest.stairs(confidence, np.arange(len(confidence) + 1), color="black", baseline=None)
        lowest.set_ylim(0, 1)
        lowest.set_ylabel("Confidence")
    lowest.set_xlim(0, max(len(frames.magnitudes) * frames.frame_seconds, 1e-3))
    lowest.set_xlabel("Time (s)")
    return figure


def _power(signal: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Turn samples [N] into power [F, columns], each column the mean of frames in its share of the time."""
    window = max(int(round(WINDOW_SECONDS * sample_rate_hz)), 2)
    frames = max(-(-len(signal) * 8 // window), 1)  # an eighth of a window apart, unless that makes too many
    group = min(-(-frames // MAXIMUM_COLUMNS), MAXIMUM_FRAMES_PER_COLUMN)
    columns = min(-(-frames // group), MAXIMUM_COLUMNS)
    centroids = ((np.arange(columns * group) + 0.5) * len(signal) / (columns * group)).astype(int)
    padded = np.pad(signal, (window // 2, window))
    excerpts = np.lib.stride_tricks.sliding_window_view(padded, window)[centroids]
    power = np.abs(np.fft.rfft(excerpts * np.hanning(window).astype(np.float32))) ** 2
    return power.reshape(columns, group, -1).mean(axis=1).T
