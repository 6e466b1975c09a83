"""Masks say, frame by frame, how loud every voice is and how sure it is whose each bin is: who speaks when.

From the frames come segments (for RTTM files and JSON) and the confidence of each second.

Confidence is how far the largest mask of a bin is above the second largest, on average over the bins, which count by
their magnitude: 1 where every bin has one clear owner, near 0 where the voices cannot be told apart. A single voice has
none: there is nothing to confuse it with.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_closing, binary_opening

RANGE_DB = 25.0  # a voice speaks where it is at most so far below its usual loud level ...
SHARE_DB = 10.0  # ... and below the loudest voice of the moment
QUIETEST_DB = 15.0  # no voice's usual loud level is further below that of the loudest
PAUSE_SECONDS, WORD_SECONDS = 0.4, 0.2  # shorter pauses are bridged, shorter sounds left out


@dataclass(frozen=True)
class SpeakerActivity:
    """Hold what is known of every frame of a recording.

    Attributes:
        levels: mean power of each voice, `[S, T]`.
        margins: sum over bins of magnitude times what the largest mask is above the second, `[T]`.
        magnitudes: sum over bins of the magnitude, `[T]`.
        seconds: from frame to frame.
        first: where frame 0 is centred, in seconds; frame t is centred at `first + t * seconds`.
        duration: of the recording, in seconds.
    """

    levels: np.ndarray
    margins: np.ndarray
    magnitudes: np.ndarray
    seconds: float
    first: float
    duration: float

    @classmethod
    def of(cls, masks: np.ndarray, magnitude: np.ndarray, seconds: float, first: float = 0.0) -> "SpeakerActivity":
        """Measure frames of masks `[S, T, F]` and magnitudes `[T, F]` of the mixture; times as above."""
        ordered = np.sort(masks, axis=0)
        margin = ordered[-1] - ordered[-2] if len(masks) > 1 else np.full_like(magnitude, np.nan)
        return cls(np.square(masks * magnitude).mean(axis=2), (margin * magnitude).sum(axis=1),
                   magnitude.sum(axis=1), seconds, first, len(magnitude) * seconds)

    @classmethod
    def join(cls, parts: list["SpeakerActivity"], duration: float) -> "SpeakerActivity":
        """Put the parts of a recording of some duration, in seconds, in a row."""
        levels, margins, magnitudes = (np.concatenate([getattr(part, name) for part in parts], axis=-1)
                                       for name in ("levels", "margins", "magnitudes"))
        return cls(levels, margins, magnitudes, parts[0].seconds, parts[0].first, duration)

    def confidence(self) -> float:
        """Compute the confidence of the whole, between 0 and 1; NaN of silence and of a single voice."""
        heard = self.magnitudes.sum()
        return float(self.margins.sum() / heard) if heard > 1e-12 else float("nan")

    def confidence_by_second(self) -> np.ndarray:
        """Compute the confidence of each second, float `[seconds]`; NaN where nothing is heard, and of one voice."""
        last = max(math.ceil(self.duration) - 1, 0)
        second = np.clip(self.first + np.arange(len(self.magnitudes)) * self.seconds, 0, last).astype(int)
        margins, magnitudes = (np.bincount(second, weights) for weights in (self.margins, self.magnitudes))
        heard = magnitudes > 1e-3 * magnitudes.max(initial=0.0)
        return np.where(heard, margins / np.maximum(magnitudes, 1e-12), np.nan)

    def active(self) -> np.ndarray:
        """Tell which voices speak in each frame, bool `[S, T]`."""
        usual = np.percentile(self.levels, 95, axis=1, keepdims=True)
        usual = np.maximum(usual, usual.max() * 10 ** (-QUIETEST_DB / 10))
        loud = (self.levels > usual * 10 ** (-RANGE_DB / 10)) & (self.levels > 1e-12)
        loud &= self.levels > self.levels.max(axis=0) * 10 ** (-SHARE_DB / 10)
        pause, word = (np.ones((1, max(round(seconds / self.seconds), 1))) for seconds in (PAUSE_SECONDS, WORD_SECONDS))
        edge = pause.shape[1]  # closing eats what touches the border
        closed = binary_closing(np.pad(loud, [(0, 0), (edge, edge)]), pause)[:, edge:-edge]
        return binary_opening(closed, word)

    def segments(self) -> list[list[tuple[float, float]]]:
        """List for each voice when it speaks: pairs of start and end, in seconds."""
        segments = []
        for active in self.active():
            edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(int), [0]])))
            times = np.clip(self.first + (edges - 0.5) * self.seconds, 0.0, self.duration).reshape(-1, 2)
            segments.append([(start, end) for start, end in times.tolist()])
        return segments


def rttm(name: str, segments: list[list[tuple[float, float]]]) -> str:
    """Write segments in the NIST's Rich Transcription Time Marked format, a line each, by their start.

    Args:
        name: of the recording; blanks, which separate the format's fields, become underscores.
        segments: see `Frames.segments`.

    Returns:
        The text.
    """
    rows = sorted((start, end, f"voice_{number}") for number, of_voice in enumerate(segments, 1)
                  for start, end in of_voice)
    name = "_".join(name.split())
    return "".join(f"SPEAKER {name} 1 {start:.3f} {end - start:.3f} <NA> <NA> {voice} <NA> <NA>\n"
                   for start, end, voice in rows)
