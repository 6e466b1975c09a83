"""Sources `[S, N]` and room responses `[S, M]` become early sound `[S, N]` and late reverberation `[S, N]`.

A bank holds the responses of rooms, each with a microphone and several places of speakers; `lab41-sce rooms` draws one.
A response starts with the direct sound, whose level is one. The early sound of a source is its direct sound with the
first reflections. The rest is its late reverberation.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import fftconvolve

from lab41_sce.audio import resample
from lab41_sce.data.checksums import file_checksum
from lab41_sce.data.mixture import level_gains
from lab41_sce.errors import UserError, reason

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 192_000  # of a bank
DIRECT_TOLERANCE = 1e-2  # of the level of the direct sound


@dataclass(frozen=True)
class RoomBank:
    """Hold the responses of rooms.

    Attributes:
        responses: float32 `[rooms, places, M]`.
        rt60: reverberation time of each room in seconds, float32 `[rooms]`.
        files: table with one row, the file of the bank, and the columns `file`, `bytes` and `checksum`.
    """

    responses: np.ndarray
    rt60: np.ndarray
    files: pd.DataFrame

    @classmethod
    def load(cls, path: str | Path, sample_rate_hz: int) -> "RoomBank":
        """Load a bank.

        Args:
            path: `.npz` file with `responses`, `[rooms, places, M]`, `sample_rate_hz`, a number, and `rt60`, `[rooms]`.
            sample_rate_hz: rate to which the responses are resampled.

        Raises:
            UserError: the file is missing or damaged, or holds something else.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"rooms.file={path} is not a file; give one that lab41-sce rooms has drawn.")
        try:
            with np.load(path) as arrays:  # without pickled objects, which could run code
                responses, rt60 = (np.asarray(arrays[name], np.float32) for name in ("responses", "rt60"))
                from_hz = float(arrays["sample_rate_hz"])
        except Exception as error:  # damaged files raise errors of zipfile, zlib and NumPy, of many classes
            raise _no_bank(path, f"cannot be read ({reason(error)})") from None
        if responses.ndim != 3 or rt60.shape != responses.shape[:1] or not responses.size:
            raise _no_bank(path, f"has responses of shape {responses.shape} and rt60 of shape {rt60.shape} instead of "
                           "[rooms, places, samples] and [rooms]")
        if not (np.isfinite(responses).all() and np.isfinite(rt60).all()):
            raise _no_bank(path, "contains numbers that are not finite")
        if not (np.abs(responses[..., 0] - 1) <= DIRECT_TOLERANCE).all():
            raise _no_bank(path, "has responses that do not start with a direct sound of level 1")
        if not MIN_RATE_HZ <= from_hz <= MAX_RATE_HZ:
            raise _no_bank(path, f"has a sample rate of {from_hz:g} Hz")
        responses = np.array([[resample(place, from_hz, sample_rate_hz) for place in room] for room in responses])
        files = pd.DataFrame({"file": [path.name], "bytes": [path.stat().st_size], "checksum": [file_checksum(path)]})
        return cls(responses / responses[..., :1], rt60, files)

    def require(self, n_speakers: int) -> None:
        """Raise UserError unless each room has places for `n_speakers`."""
        n_places = self.responses.shape[1]
        if n_places < n_speakers:
            raise UserError(f"the rooms in rooms.file have {n_places} places, but mixtures have up to {n_speakers} "
                            f"speakers; draw a bank with lab41-sce rooms --places {n_speakers}.")

    def draw(self, rng: np.random.Generator, n_speakers: int) -> np.ndarray:
        """Draw the responses of different places of one room, float32 `[S, M]`."""
        room = self.responses[rng.integers(len(self.responses))]
        return room[rng.choice(len(room), n_speakers, replace=False)]


def reverberate(sources: np.ndarray, responses: np.ndarray, n_early: int,
                pre_emphasis: float) -> tuple[np.ndarray, np.ndarray]:
    """Put the sources of a mixture into a room.

    The early sound is scaled to the level that the source had without the room, measured after pre-emphasis. Late
    reverberation is scaled by the same factor. At the start of an excerpt, reverberation of earlier speech is missing.

    Args:
        sources: float32 `[S, N]`; a silent source stays silent.
        responses: of each source, float32 `[S, M]`.
        n_early: number of samples of a response that make the early sound, at least 1 for the direct sound.
        pre_emphasis: coefficient of the first-order difference, after which levels are measured.

    Returns:
        Early sound, float32 `[S, N]`, and late reverberation, float32 `[S, N]`.
    """
    early = np.where(np.arange(responses.shape[-1]) < n_early, responses, np.float32(0))
    parts = np.stack([early, responses - early], axis=1)  # [S, 2, M]
    sounds = fftconvolve(sources[:, None], parts, axes=-1)[..., : sources.shape[-1]]  # [S, 2, N]
    gains = level_gains(sounds[:, 0], pre_emphasis, 0.0) / level_gains(sources, pre_emphasis, 0.0)
    sounds *= gains[:, None, None]
    return sounds[:, 0], sounds[:, 1]


def _no_bank(path: Path, fault: str) -> UserError:
    """Return the error about a file that is no bank of rooms."""
    return UserError(f"rooms.file={path} {fault}; draw a bank with lab41-sce rooms OUT.npz.")
