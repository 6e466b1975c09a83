"""Masks `[S, T, F]` and magnitudes `[T, F]` become the activity of each speaker and the confidence of the separation.

The activity gives segments (for RTTM files and JSON). A voice is active in a frame if its power is near its usual loud
level, well above its noise floor, and near the loudest voice of the frame. Masks of a low confidence, as in
reverberant rooms, give parts of every voice to all others. If people take turns there, only the voice that leads for
about a second is active, so overlapping speech is missed. Where people talk at once, the lead changes with every
syllable, so much of it is lost in the mean over a second.

The confidence of a bin is the difference between its largest
and its second largest mask; the confidence of a second or of a recording is the mean over its bins, weighted by
magnitude. It is 1 where every bin belongs clearly to one voice, and near 0 where the voices cannot be separated. A
single voice has no confidence, because no other voice competes with it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab41_sce.separation.frame_levels import sustained_level
from lab41_sce.separation.smoothing import bridge_gaps, gaussian_mean, remove_short
from lab41_sce.separation.voice_names import rttm_field

RANGE_DB = 25.0  # an active voice is at most this far below its usual loud level, ...
FLOOR_DB = 12.0  # ... this far above its noise floor, which its quiet frames have, ...
SHARE_DB = 8.0  # ... and at most this far below the loudest voice of the frame
FLOOR_PERCENTILE = 10
MAX_FLOOR_DB = 10.0  # the limit above the noise floor is at most this far below the usual loud level
MAX_LEVEL_DIFFERENCE_DB = 15.0  # the usual loud level of a voice counts as at most this far below the loudest voice's
# The usual loud level of a voice: a percentile of its powers over the active frames in which it is the loudest voice.
# Over all frames, it would be the level of the noise for somebody who rarely talks.
USUAL_PERCENTILE = 90
LEAD_SECONDS = 0.5  # standard deviation of the smoothing that finds the leading voice
# One voice at a time is active if the smoothing loses a smaller share of the lead than this times what the confidence
# lacks to 1: then parts of other voices would cause more errors than overlapping speech that is missed.
MAX_LOST_LEAD = 0.5
PAUSE_SECONDS, WORD_SECONDS = 0.5, 0.2  # shorter pauses are bridged, shorter sounds are removed

Segments = list[list[tuple[float, float]]]  # for each voice, pairs of start and end in seconds


@dataclass(frozen=True)
class SpeakerActivity:
    """Hold the power of each voice and the margin of the masks in every frame of a recording.

    Attributes:
        powers: mean power of each voice over the bins, `[S, T]`.
        margins: sum over bins of magnitude times the difference of the two largest masks, `[T]`.
        magnitudes: sum over bins of the magnitude, `[T]`.
        frame_seconds: time between frames.
        first_frame_seconds: centre of frame 0; frame t has its centre at `first_frame_seconds + t * frame_seconds`.
        duration_seconds: length of the recording.
        speech: False if no speech was found (`SpeakerCount.no_speech`); then no voice is active.
    """

    powers: np.ndarray
    margins: np.ndarray
    magnitudes: np.ndarray
    frame_seconds: float
    first_frame_seconds: float
    duration_seconds: float
    speech: bool = True

    @classmethod
    def from_masks(cls, masks: np.ndarray, magnitudes: np.ndarray, frame_seconds: float,
                   first_frame_seconds: float = 0.0) -> "SpeakerActivity":
        """Measure the frames of masks `[S, T, F]` and of the mixture's magnitudes `[T, F]`."""
        largest, second = masks[0], np.full_like(masks[0], np.nan)  # of each bin; NaN of a single voice
        for mask in masks[1:]:
            second = np.fmax(second, np.minimum(largest, mask))
            largest = np.maximum(largest, mask)
        margin = largest - second
        return cls(np.square(masks * magnitudes).mean(axis=2), (margin * magnitudes).sum(axis=1),
                   magnitudes.sum(axis=1), frame_seconds, first_frame_seconds, len(magnitudes) * frame_seconds)

    @classmethod
    def concatenate(cls, parts: list["SpeakerActivity"], duration_seconds: float) -> "SpeakerActivity":
        """Join consecutive parts of a recording of a given length."""
        powers, margins, magnitudes = (np.concatenate([getattr(part, name) for part in parts], axis=-1)
                                       for name in ("powers", "margins", "magnitudes"))
        return cls(powers, margins, magnitudes, parts[0].frame_seconds, parts[0].first_frame_seconds, duration_seconds)

    def confidence(self) -> float:
        """Compute the confidence of the recording, 0 to 1; NaN of silence and of a single voice."""
        total = self.magnitudes.sum()
        return float(self.margins.sum() / total) if total > 0 else float("nan")

    def confidence_by_second(self) -> np.ndarray:
        """Compute the confidence of each second, float `[seconds]`; NaN in silence and of a single voice."""
        last = max(math.ceil(self.duration_seconds) - 1, 0)
        centres_seconds = self.first_frame_seconds + np.arange(len(self.magnitudes)) * self.frame_seconds
        second = np.clip(centres_seconds, 0, last).astype(int)
        margins, magnitudes = (np.bincount(second, weights) for weights in (self.margins, self.magnitudes))
        sounding = magnitudes > 1e-3 * magnitudes.max(initial=0.0)
        return np.divide(margins, magnitudes, out=np.full_like(margins, np.nan), where=sounding)

    def active(self) -> np.ndarray:
        """Find the active voices of each frame, bool `[S, T]`."""
        if not self.speech:
            return np.zeros(self.powers.shape, bool)
        loud = self.powers > self._lowest_powers()[:, None]
        leading = self._leading_of_turns()
        if leading is None:
            loud &= self.powers > self.powers.max(axis=0) * 10 ** (-SHARE_DB / 10)
        else:
            loud = loud.any(axis=0) & leading
        pause, word = (max(round(seconds / self.frame_seconds), 1) for seconds in (PAUSE_SECONDS, WORD_SECONDS))
        return remove_short(bridge_gaps(loud, pause), word)

    def _leading_of_turns(self) -> np.ndarray | None:
        """Find the voice that leads for about a second, bool `[S, T]`; None if several voices may be active."""
        if len(self.powers) == 1:
            return None
        amplitudes = np.sqrt(self.powers)
        smooth = gaussian_mean(amplitudes, LEAD_SECONDS / self.frame_seconds)
        lead = _lead(amplitudes)
        take_turns = lead - _lead(smooth) < MAX_LOST_LEAD * (1 - self.confidence()) * lead  # not in silence, of NaN
        return smooth == smooth.max(axis=0) if take_turns else None

    def _lowest_powers(self) -> np.ndarray:
        """Return the power above which each voice can be active, `[S]`."""
        usual = self._usual_powers()
        usual = np.maximum(usual, usual.max() * 10 ** (-MAX_LEVEL_DIFFERENCE_DB / 10))
        above_noise = np.percentile(self.powers, FLOOR_PERCENTILE, axis=1) * 10 ** (FLOOR_DB / 10)
        return np.maximum(usual * 10 ** (-RANGE_DB / 10), np.minimum(above_noise, usual * 10 ** (-MAX_FLOOR_DB / 10)))

    def _usual_powers(self) -> np.ndarray:
        """Return the usual loud level of each voice, as a power, over the frames in which it leads: `[S]`."""
        totals = self.powers.sum(axis=0)
        sounding = totals > sustained_level(totals, self.frame_seconds) * 10 ** (-RANGE_DB / 10)
        leads = sounding & (self.powers == self.powers.max(axis=0))
        return np.array([np.percentile(powers[own], USUAL_PERCENTILE) if own.any() else 0.0
                         for powers, own in zip(self.powers, leads, strict=True)])

    def segments(self) -> Segments:
        """List the segments in which each voice is active: pairs of start and end, in seconds."""
        segments = []
        for active in self.active():
            edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(int), [0]])))
            times = self.first_frame_seconds + (edges - 0.5) * self.frame_seconds
            pairs = np.clip(times, 0.0, self.duration_seconds).reshape(-1, 2)
            segments.append([(start, end) for start, end in pairs.tolist()])
        return segments


def _lead(amplitudes: np.ndarray) -> float:
    """Return how much the loudest voice exceeds the second one, 0 to 1, weighted over all frames: `[S, T]`."""
    second, first = np.sort(amplitudes, axis=0)[-2:]
    return float((first - second).sum() / max((first + second).sum(), 1e-30))


def rttm(name: str, segments: Segments, names: Sequence[str] = ()) -> str:
    """Format segments as Rich Transcription Time Marked text (NIST), one line each, ordered by start.

    Args:
        name: of the recording; blanks, which separate the fields of the format, become underscores.
        segments: see `SpeakerActivity.segments`.
        names: of the voices; a number becomes "voice_1" and so on. Without names, the voices are numbered.

    Returns:
        The text.
    """
    voices = [f"voice_{given}" if given.isdecimal() else rttm_field(given)
              for given in names or map(str, range(1, len(segments) + 1))]
    rows = sorted((start, end, voice) for voice, of_voice in zip(voices, segments, strict=True)
                  for start, end in of_voice)
    name = rttm_field(name)
    return "".join(f"SPEAKER {name} 1 {start:.3f} {end - start:.3f} <NA> <NA> {voice} <NA> <NA>\n"
                   for start, end, voice in rows)
