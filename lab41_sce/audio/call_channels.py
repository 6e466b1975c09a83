"""The levels of two channels decide whether each holds the voice of another person, as recorded calls do.

Only loud frames decide, because the noise and the cross-talk are near the level of quiet speech. Levels are relative to
the usual loud level of each channel, so the recording level of a channel does not matter. A channel without a person
has a constant level, and so never leads by much. The limits were chosen with the half `tuning` of the speakers of
`tools/model/score_calls.py`, whose half `reported` measured how often the rule is right (`results/model/calls`).
"""

from collections.abc import Iterable, Iterator

import numpy as np

FRAME_SECONDS = 0.05
USUAL_PERCENTILE = 99  # of the powers of a channel: the level of its loud speech, also of a person who rarely talks
LOUD_DB = 8.0  # a frame is loud if a channel is at most this far below its usual level
DIFFERENCE_DB, MIN_SHARE = 12.0, 0.6  # between the channels, relative to their usual levels; share of the loud frames
MIN_LEAD = 0.05  # smallest share of the loud frames in which a channel is the louder one by `DIFFERENCE_DB`
MIN_SECONDS, MIN_LOUD_SECONDS = 5.0, 3.0  # of the recording, of its loud frames


class CallChannels:
    """Measure the levels of two channels while their samples are read.

    Args:
        sample_rate_hz: of the channels.
    """

    def __init__(self, sample_rate_hz: int):
        self._frame_samples = max(round(FRAME_SECONDS * sample_rate_hz), 2)
        self._powers: list[np.ndarray] = []

    def measured(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield blocks, float32 `[n, 2]`, after the powers of their whole frames are measured."""
        for block in blocks:
            n_frames = len(block) // self._frame_samples
            frames = block[: n_frames * self._frame_samples].reshape(n_frames, self._frame_samples, 2)
            self._powers.append(frames.var(axis=1, dtype=np.float64))  # a constant offset has no variance
            yield block

    def hold_one_person_each(self) -> bool:
        """Return whether one channel at a time is much louder, and each of them for a part of the time."""
        powers = np.concatenate([np.empty((0, 2)), *self._powers])
        if len(powers) * FRAME_SECONDS < MIN_SECONDS:
            return False
        usual = np.percentile(powers, USUAL_PERCENTILE, axis=0)
        levels_db = 10 * np.log10(np.maximum(powers / np.maximum(usual, 1e-20), 1e-12))
        loud = levels_db[(levels_db > -LOUD_DB).any(axis=1)]
        if len(loud) * FRAME_SECONDS < MIN_LOUD_SECONDS:
            return False
        differences_db = loud[:, 0] - loud[:, 1]
        leads = np.mean(differences_db > DIFFERENCE_DB), np.mean(differences_db < -DIFFERENCE_DB)
        return bool(sum(leads) >= MIN_SHARE and min(leads) >= MIN_LEAD)
