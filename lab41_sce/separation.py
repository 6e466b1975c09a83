"""A recording becomes one signal for each speaker.

    separator = Separator.load("runs/two_speaker_embedded")
    voices = separator.separate(signal, sample_rate_hz, n_speakers=2)  # [S, N]

A long recording goes through the network in windows that overlap, but its vectors are clustered once, so a voice keeps
its number from the first second to the last, and memory does not grow with the length:

    levels of all windows -> scaling of the network's input
    vectors of some       -> centres, one for each voice
    every window          -> masks -> voices

The model hears up to half its own rate (5 kHz). What lies above is shared out by the masks of the highest bins below,
so that the voices sum to the recording.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import yaml

# The classes of a saved model must be registered before it is loaded.
import lab41_sce.methods.attractor
import lab41_sce.methods.embedding
import lab41_sce.methods.masking  # noqa: F401
from lab41_sce import audio
from lab41_sce.clustering import audible, fit_centres
from lab41_sce.errors import UserError
from lab41_sce.features import RunningScaling
from lab41_sce.recordings import Recording

WINDOW_SECONDS, CONTEXT_SECONDS, FADE_SECONDS = 30.0, 4.0, 0.05
WINDOWS_TO_FIT, VECTORS_TO_FIT = 8, 100_000
HIGH_BINS = 0.7  # of the model's band: masks above here speak for what it does not hear


class Window(NamedTuple):
    """Say which samples of a recording a window is for, and which the model gets to hear for it."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int


class Separator:
    """Hold a trained model and separate recordings of any rate and length with it.

    Args:
        model: a Keras model with a `front_end` and `masks(mixture, n_speakers)`, such as an `EmbeddingModel`.
    """

    def __init__(self, model):
        self.model = model

    @classmethod
    def load(cls, path: str | Path) -> "Separator":
        """Load a `.keras` file, or the best model of a run's folder or of one of its `systems/`.

        Raises:
            UserError: there is none, or it is not a separation model.
        """
        file = Path(path)
        file = _model_of(file) if file.is_dir() else file
        if not file.is_file():
            raise UserError(f"there is no model at {file}; give the folder of a run that has trained, "
                            "or a .keras file.")
        if file.suffix != ".keras":
            raise UserError(f"{file} is no model; give the folder of a run that has trained, or a .keras file.")
        try:
            model = keras.saving.load_model(file)
        except (ValueError, OSError, TypeError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{file} cannot be loaded as a model ({reason}); give a .keras file of a run.") from None
        if not hasattr(model, "masks"):
            raise UserError(f"{file} holds a Keras model that cannot separate; give model.keras of a run.")
        return cls(model)

    def separate(self, signal: np.ndarray, sample_rate_hz: int, n_speakers: int = 2) -> np.ndarray:
        """Separate a signal.

        Args:
            signal: `[N]` or `[C, N]`; masks come from the mean of the channels.
            sample_rate_hz: its rate.
            n_speakers: S, at least 1.

        Returns:
            One signal for each speaker, float32 `[S, N]` or `[S, C, N]`, at the recording's rate. They sum to the
            signal.

        Raises:
            UserError: a number of speakers below one, or a signal that is empty or not finite.
        """
        recording = Recording.of(signal, sample_rate_hz)
        voices = np.concatenate([*self.stream(recording, n_speakers)], axis=-1)
        return voices if np.ndim(signal) == 2 else voices[:, 0]

    def stream(self, recording: Recording, n_speakers: int) -> Iterator[np.ndarray]:
        """Separate a recording part by part.

        Args:
            recording: what to separate.
            n_speakers: S, at least 1.

        Yields:
            float32 `[S, C, n]`, the parts of the voices in their order.
        """
        if n_speakers < 1:
            raise UserError(f"{n_speakers} speakers cannot be separated; ask for 1 or more.")
        windows = plan(recording, self.model.front_end)
        if hasattr(self.model, "masks_from"):
            masks = self._clustered_masks(recording, windows, n_speakers)
        else:  # a model that gives masks has no way to name the voices alike in all windows: it gets all at once
            windows = [Window(0, recording.n_samples, 0, recording.n_samples)]
            masks = (self.model.masks(self._hear(recording, window), n_speakers) for window in windows)
        fade, before = round(FADE_SECONDS * recording.sample_rate_hz), None
        for window, of_window in zip(windows, masks, strict=True):
            voices = self._apply(recording, window, of_window)
            inner = voices[..., window.start - window.outer_start :]
            if before is not None:
                ramp = np.linspace(0, 1, before.shape[-1], dtype=np.float32)
                inner[..., : len(ramp)] = ramp * inner[..., : len(ramp)] + (1 - ramp) * before
            length = window.stop - window.start
            before = inner[..., length : length + fade].copy()
            yield inner[..., :length]

    def _clustered_masks(self, recording, windows, n_speakers) -> Iterator[np.ndarray]:
        """Cluster a recording's vectors once; give the masks `[S, T, F]` of what is heard for each window."""
        scaling = RunningScaling(self.model.front_end)
        for window in windows:
            levels, frames = self._levels(recording, window)
            scaling.add(levels[frames])
        fitted = windows[:: math.ceil(len(windows) / WINDOWS_TO_FIT)]
        samples = [self._sample(recording, window, scaling, VECTORS_TO_FIT // len(fitted)) for window in fitted]
        centres = fit_centres(*map(np.concatenate, zip(*samples)), n_speakers)
        for window in windows:
            levels, _ = self._levels(recording, window)
            yield self.model.masks_from(self.model.vectors(scaling(levels)), centres)

    def _sample(self, recording, window, scaling, most):
        """Return vectors of audible bins of a window, `[n, K]`, and their magnitudes `[n]`; of many, some."""
        levels, frames = self._levels(recording, window)
        vectors, levels = self.model.vectors(scaling(levels))[frames], levels[frames]
        places = np.argwhere(audible(levels, self.model.range_db, scaling.peak))
        if len(places) > most:
            places = places[np.random.default_rng(0).choice(len(places), most, replace=False)]
        return vectors[tuple(places.T)], levels[tuple(places.T)]

    def _hear(self, recording, window):
        """Return what the model hears for a window: one channel at its rate, float32 `[N]`."""
        mono = recording.read(window.outer_start, window.outer_stop).mean(axis=0)
        return audio.resample(mono, recording.sample_rate_hz, self.model.front_end.sample_rate_hz)

    def _levels(self, recording, window):
        """Return the magnitudes `[T, F]` that the model hears for a window, and which frames are the window's own."""
        levels = np.abs(self.model.front_end.spectrogram(self._hear(recording, window)))
        per_frame = self.model.front_end.hop_length * recording.sample_rate_hz / self.model.front_end.sample_rate_hz
        first = round((window.start - window.outer_start) / per_frame)
        whole = window.stop == window.outer_stop
        return levels, slice(first, None if whole else first + round((window.stop - window.start) / per_frame))

    def _apply(self, recording, window, masks):
        """Share out what a recording holds in a window by masks `[S, T, F]`: float32 `[S, C, n]`."""
        front_end, rate_hz = self.model.front_end, recording.sample_rate_hz
        channels = recording.read(window.outer_start, window.outer_stop)
        length = channels.shape[1]
        heard = np.stack([audio.resample(channel, rate_hz, front_end.sample_rate_hz) for channel in channels])
        spectrograms = front_end.spectrogram(heard)
        voices = front_end.synthesise(spectrograms * masks[:, None], heard.shape[1])  # [S, C, N]
        back = [[_to_length(audio.resample(voice, front_end.sample_rate_hz, rate_hz), length) for voice in of_speaker]
                for of_speaker in voices]
        rest = channels - np.sum(back, axis=0)  # what the model does not hear
        return np.asarray(back) + self._shares(masks, spectrograms, length, rate_hz)[:, None] * rest

    def _shares(self, masks, spectrograms, length, rate_hz):
        """Tell whose the sound above the model's band is: shares `[S, length]` that sum to one as the masks do."""
        high = slice(round(HIGH_BINS * masks.shape[2]), None)
        weights = (np.abs(spectrograms) ** 2).mean(axis=0)[:, high] + 1e-12  # [T, bins]
        shares = (masks[:, :, high] * weights).sum(axis=2) / weights.sum(axis=1)
        seconds = np.arange(length) / rate_hz
        of_frames = np.arange(masks.shape[1]) * self.model.front_end.hop_length / self.model.front_end.sample_rate_hz
        return np.stack([np.interp(seconds, of_frames, share) for share in shares]).astype(np.float32)


def plan(recording: Recording, front_end, window_seconds: float = WINDOW_SECONDS,
         context_seconds: float = CONTEXT_SECONDS) -> list[Window]:
    """Cut a recording into windows that start where a frame, a sample of the model and one of the recording coincide.

    Args:
        recording: what to cut.
        front_end: a `FrontEnd`.
        window_seconds: about how long they are.
        context_seconds: about how much more the model hears on both sides.

    Returns:
        The windows, in order; one if the recording is short.
    """
    common = math.gcd(recording.sample_rate_hz, front_end.sample_rate_hz)
    unit = math.lcm(front_end.hop_length, front_end.sample_rate_hz // common)  # samples of the model
    seconds = unit / front_end.sample_rate_hz
    unit = unit // (front_end.sample_rate_hz // common) * (recording.sample_rate_hz // common)  # of the recording
    length = max(round(window_seconds / seconds), 1) * unit
    context = math.ceil(context_seconds / seconds) * unit
    if recording.n_samples <= length + context:
        return [Window(0, recording.n_samples, 0, recording.n_samples)]
    starts = range(0, recording.n_samples - context, length)
    stops = [*starts[1:], recording.n_samples]
    return [Window(start, stop, max(start - context, 0), min(stop + context, recording.n_samples))
            for start, stop in zip(starts, stops, strict=True)]


def _to_length(signal, length):
    """Cut or pad a signal `[N]`: resampling there and back may round a sample away."""
    return np.pad(signal[:length], (0, max(0, length - len(signal))))


def _model_of(folder: Path) -> Path:
    """Return the model file of a folder: its own, or that of the method of the run that it holds."""
    if not (folder / "config.yaml").is_file():
        return folder / "model.keras"
    name = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))["method"]["name"]
    return folder / "systems" / name / "model.keras"
