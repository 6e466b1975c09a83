"""A recording becomes one signal for each speaker.

    separator = Separator.load("runs/two_speaker_embedded")
    voices = separator.separate(signal, sample_rate_hz, n_speakers=2)  # [S, N]

The recording is resampled to the model's rate, its spectrogram multiplied by the masks, and the voices are resampled
back. Masks sum to one in every bin, so the voices sum to the recording, except for what lies above about 4.5 kHz: at
the model's 10 kHz that is lost.
"""

from pathlib import Path

import keras
import numpy as np
import yaml

# The classes of a saved model must be registered before it is loaded.
import lab41_sce.methods.attractor
import lab41_sce.methods.embedding
import lab41_sce.methods.masking  # noqa: F401
from lab41_sce import audio
from lab41_sce.errors import UserError


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
        """Separate a recording.

        Args:
            signal: `[N]` or, averaged to one channel, `[C, N]`.
            sample_rate_hz: its rate.
            n_speakers: S, at least 1.

        Returns:
            One signal for each speaker, float32 `[S, N]`, at the recording's rate.

        Raises:
            UserError: a number of speakers below one, or a signal that is empty or not finite.
        """
        signal = np.asarray(signal, np.float32)
        if signal.ndim == 2 and signal.shape[0] > signal.shape[1]:
            raise UserError(f"a signal of shape {signal.shape} has more channels than samples; give [C, N].")
        signal = signal.mean(axis=0) if signal.ndim == 2 else signal
        if n_speakers < 1:
            raise UserError(f"{n_speakers} speakers cannot be separated; ask for 1 or more.")
        if signal.ndim != 1 or not len(signal) or not np.isfinite(signal).all():
            raise UserError(f"a signal of shape {signal.shape} cannot be separated; "
                            "give finite samples, [N] or [C, N].")
        front_end = self.model.front_end
        mixture = audio.resample(signal, sample_rate_hz, front_end.sample_rate_hz)
        masks = self.model.masks(mixture, n_speakers)
        voices = front_end.synthesise(front_end.spectrogram(mixture) * masks, len(mixture))
        voices = np.stack([audio.resample(voice, front_end.sample_rate_hz, sample_rate_hz) for voice in voices])
        missing = max(0, len(signal) - voices.shape[1])  # resampling there and back may round a sample away
        return np.pad(voices, [(0, 0), (0, missing)])[:, : len(signal)]


def _model_of(folder: Path) -> Path:
    """Return the model file of a folder: its own, or that of the method of the run that it holds."""
    if not (folder / "config.yaml").is_file():
        return folder / "model.keras"
    name = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))["method"]["name"]
    return folder / "systems" / name / "model.keras"
