"""A function that returns voices at its own sample rate becomes a system, such as a model of another program.

    "package.module:name" -> function(signal [N'], n_speakers) -> voices [S, N'], at the rate `function.sample_rate_hz`

The function receives the mixture as float32, resampled to its rate, and the number of speakers, never the sources. Its
voices are resampled to the rate of the mixture (soxr, high quality, as all files are). Their length may differ from
that of the mixture by 0.1 s: they are cut at the end, or continued with zeros.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from lab41_sce import audio
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError, reason_and_place
from lab41_sce.methods.base import Setup

MAX_DIFFERENCE_SECONDS = 0.1  # as `evaluation/mixture_files.py` allows to voices in files


def build(setup: Setup, function: str) -> "WaveformSystem":
    """Build the system of a function.

    Args:
        setup: not used; the function has a sample rate of its own.
        function: see `load_function`.
    """
    return WaveformSystem(load_function(function), function)


class WaveformSystem:
    """Separate mixtures with a function that returns signals.

    Args:
        function: see the top of this file.
        name: of the function, for messages.
    """

    def __init__(self, function: Callable[[np.ndarray, int], Any], name: str):
        self.function, self.name = function, name
        self.sample_rate_hz = int(function.sample_rate_hz)  # type: ignore[attr-defined]

    def voices(self, mixture: Mixture, sample_rate_hz: int) -> np.ndarray:
        """Separate a mixture.

        Args:
            mixture: only its signal and its number of speakers are used.
            sample_rate_hz: of the mixture, and of the result.

        Returns:
            Voices, float32 `[S, N]`.

        Raises:
            UserError: the function fails, or returns something else.
        """
        signal, n_speakers = mixture.signal, mixture.n_speakers
        try:
            found = self.function(audio.resample(signal, sample_rate_hz, self.sample_rate_hz), n_speakers)
            is_real = found is not None and not np.iscomplexobj(found)
            voices = np.asarray(found, np.float32) if is_real else np.zeros(0)
        except Exception as error:  # the function is the user's, and may raise anything
            raise UserError(f"{self.name} failed ({reason_and_place(error)}); correct the function.") from error
        if not is_real:
            raise UserError(f"{self.name} returned {'None' if found is None else 'complex numbers'}; it must return "
                            f"real voices of the shape ({n_speakers}, samples).")
        if voices.ndim != 2 or len(voices) != n_speakers or not voices.size or not np.isfinite(voices).all():
            raise UserError(f"{self.name} returned an array of the shape {voices.shape}"
                            f"{'' if np.isfinite(voices).all() else ' with NaN or infinity'}; it must return finite "
                            f"voices of the shape ({n_speakers}, samples).")
        voices = np.stack([audio.resample(np.asarray(voice), self.sample_rate_hz, sample_rate_hz) for voice in voices])
        if abs(voices.shape[1] - len(signal)) > MAX_DIFFERENCE_SECONDS * sample_rate_hz:
            raise UserError(f"{self.name} returned voices of {voices.shape[1] / sample_rate_hz:.2f} s for a mixture of "
                            f"{len(signal) / sample_rate_hz:.2f} s; their lengths must differ by at most "
                            f"{MAX_DIFFERENCE_SECONDS} s.")
        return np.pad(voices, ((0, 0), (0, max(0, len(signal) - voices.shape[1]))))[:, : len(signal)]


def load_function(place: str) -> Callable[[np.ndarray, int], Any]:
    """Import a function that separates.

    Args:
        place: such as "package.module:name"; the module may lie in the current folder. The name is that of a function,
            or of another object that can be called, with the attribute `sample_rate_hz`. Nothing else is called, since
            a configuration may be a stranger's.

    Raises:
        UserError: there is no such module or object, or it has no sample rate.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that the folder replaces no installed module
    module, _, name = place.partition(":")
    try:
        function = getattr(import_module(module), name)
    except Exception as error:  # a module of the user, which may raise anything
        raise UserError(f"{place} cannot be imported ({reason_and_place(error)}); give a function as "
                        "package.module:name.") from error
    rate_hz = getattr(function, "sample_rate_hz", None)
    if not callable(function) or not isinstance(rate_hz, Integral) or isinstance(rate_hz, bool) or rate_hz < 1:
        raise UserError(f"{place} is no function with a sample rate; give it one, like this: "
                        f"{name}.sample_rate_hz = 8000.")
    return function
