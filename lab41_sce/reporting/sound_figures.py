"""Signals and the activity of speakers become figures.

    signals {name: [N]}               -> spectrograms
    speaker activity of a separation  -> who speaks when, and the confidence of each second
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lab41_sce.reporting.figures import COLOURS, RANGE_DB, new_figure
from lab41_sce.separation.activity import SpeakerActivity

# The brightest colour is at this percentile of the levels, because few bins are far above the rest of speech ...
BRIGHTEST_PERCENTILE = 99.5
MIN_BRIGHTEST_DB = -30.0  # ... but not below this level
MAX_FREQUENCY_HZ = 5000  # the models of this project use nothing above, and speech has little energy there
WINDOW_SECONDS = 0.0512  # frame length of the article's STFT
# Limits, so that an hour of sound takes no longer to draw than a few minutes.
MAX_COLUMNS = 1200
MAX_FRAMES_PER_COLUMN = 8


def spectrograms(signals: Mapping[str, np.ndarray], sample_rate_hz: int, title: str | None = None) -> Figure:
    """Draw one spectrogram below the other, with the same scale of levels.

    Args:
        signals: title and real samples `[N]` of each panel; lengths may differ, and signals may be silent.
        sample_rate_hz: sample rate of all signals.
        title: text above the panels.

    Returns:
        Figure up to 5 kHz, with levels in dB relative to the loudest bin of all panels. Its size depends on the number
        of signals, not on their length.

    Raises:
        ValueError: if there is no signal, or a signal does not have the shape `[N]`.
    """
    if not signals:
        raise ValueError("There is no signal to draw; give at least one.")
    for name, signal in signals.items():
        if np.ndim(signal) != 1:
            raise ValueError(f"Signal {name!r} has the shape {np.shape(signal)} instead of [N]; give a single channel.")
    powers = [_power(np.asarray(signal, np.float32), sample_rate_hz) for signal in signals.values()]
    loudest = max(power.max() for power in powers) or 1.0  # if all signals are silent, all panels are dark
    levels_db = [10 * np.log10(np.maximum(power / loudest, 1e-12)) for power in powers]
    all_levels_db = np.concatenate([*map(np.ravel, levels_db)])
    brightest_db = max(np.percentile(all_levels_db, BRIGHTEST_PERCENTILE), MIN_BRIGHTEST_DB)

    figure = new_figure(height=0.7 + 1.2 * len(signals))
    panels = figure.subplots(len(signals), sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, (name, signal), level_db in zip(panels, signals.items(), levels_db, strict=True):
        seconds = max(len(signal), 1) / sample_rate_hz
        image = panel.imshow(level_db, origin="lower", aspect="auto", cmap="magma",
                             vmin=brightest_db - RANGE_DB, vmax=brightest_db,
                             extent=(0, seconds, 0, sample_rate_hz / 2))
        panel.set_title(name, loc="left", fontsize="medium", parse_math=False)
    panels[-1].set_ylim(0, min(MAX_FREQUENCY_HZ, sample_rate_hz / 2))
    panels[-1].set_xlim(0, max(max(map(len, signals.values())), 1) / sample_rate_hz)
    panels[-1].set_xlabel("Time (s)")
    figure.supylabel("Frequency (Hz)", fontsize="medium")
    figure.colorbar(image, ax=list(panels), label="Level (dB re loudest)", aspect=12 * len(signals), pad=0.02)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def who_speaks_when(activity: SpeakerActivity, colours: Sequence = COLOURS, names: Sequence[str] = ()) -> Figure:
    """Draw the segments in which each voice speaks, and below them the confidence of each second.

    Args:
        activity: speaker activity of a separation.
        colours: colours of the voices, in order.
        names: of the voices, in order (`Separation.names`); a number becomes "voice 1" and so on. Without names, the
            voices are numbered.

    Returns:
        Figure with one bar for each segment of each voice. There is no panel for the confidence if only one person
        speaks.
    """
    segments, confidence = activity.segments(), activity.confidence_by_second()
    has_confidence = not np.isnan(confidence).all()
    figure = new_figure(height=0.8 + has_confidence + 0.35 * len(segments))
    n_panels = 1 + has_confidence
    panels = figure.subplots(n_panels, sharex=True, squeeze=False, height_ratios=(max(len(segments), 1), 2)[:n_panels])
    voices, lowest = panels[0, 0], panels[-1, 0]
    for number, of_voice in enumerate(segments):
        bars = [(start, end - start) for start, end in of_voice]
        voices.broken_barh(bars, (number + 0.6, 0.8), color=colours[number % len(colours)])
    numbers = range(1, len(segments) + 1)
    labels = [f"voice {name}" if name.isdecimal() else name for name in names or map(str, numbers)]
    voices.set_yticks(numbers, labels, parse_math=False)
    voices.set_ylim(len(segments) + 0.5, 0.5)
    if has_confidence:
        lowest.stairs(confidence, np.arange(len(confidence) + 1), color="black", baseline=None)
        lowest.set_ylim(0, 1)
        lowest.set_ylabel("Confidence")
    lowest.set_xlim(0, max(len(activity.magnitudes) * activity.frame_seconds, 1e-3))
    lowest.set_xlabel("Time (s)")
    return figure


def _power(signal: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Compute the power [F, columns] of samples [N]; each column is the mean over neighbouring frames."""
    window = max(int(round(WINDOW_SECONDS * sample_rate_hz)), 2)
    frames = max(-(-len(signal) * 8 // window), 1)  # with a hop of an eighth of a window, if these are not too many
    group = min(-(-frames // MAX_COLUMNS), MAX_FRAMES_PER_COLUMN)
    columns = min(-(-frames // group), MAX_COLUMNS)
    middles = ((np.arange(columns * group) + 0.5) * len(signal) / (columns * group)).astype(int)
    padded = np.pad(signal, (window // 2, window))
    excerpts = np.lib.stride_tricks.sliding_window_view(padded, window)[middles]
    power = np.abs(np.fft.rfft(excerpts * np.hanning(window).astype(np.float32))) ** 2
    return power.reshape(columns, group, -1).mean(axis=1).T
