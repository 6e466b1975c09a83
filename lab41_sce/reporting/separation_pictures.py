"""A recording and the files of its voices become the pictures that `lab41-sce separate --plot` writes."""

from collections.abc import Sequence
from pathlib import Path

from lab41_sce.audio import resample
from lab41_sce.audio.mixing import mix
from lab41_sce.audio.recording import Recording
from lab41_sce.reporting import figures, sound_figures
from lab41_sce.separation.result import Separation

DRAWN_SECONDS = 60  # of the spectrograms


def draw(spectrograms: Path, activity: Path, separation: Separation, recording: Recording,
         voices: Sequence[Path]) -> None:
    """Draw the spectrograms of a recording and its voices, and the activity of the speakers.

    Args:
        spectrograms: the file to make, of the first minute at the rate of the recording.
        activity: the file to make.
        separation: the result.
        recording: the recording.
        voices: files of the voices, at any rate.
    """
    panels = {}
    for part in (recording, *map(Recording.open, voices)):
        signal = mix(part.read(0, min(part.n_samples, round(DRAWN_SECONDS * part.sample_rate_hz))))
        panels[Path(part.name).name] = resample(signal, part.sample_rate_hz, recording.sample_rate_hz)
    figures.save(sound_figures.spectrograms(panels, recording.sample_rate_hz), spectrograms)
    figures.save(sound_figures.who_speaks_when(separation.activity, names=separation.names), activity)
