"""A recording becomes one signal for each speaker.

    separator = Separator.load("runs/two_speaker_embedded")
    voices = separator.separate(signal, sample_rate_hz, n_speakers=2)  # [S, N]

A long recording goes through the network in windows that overlap, but its vectors are clustered once, so a voice keeps
its number from the first second to the last, and memory does not grow with the length (`streaming.py`).

The model hears up to about 4.5 kHz (its own rate is 10 kHz). What lies above is shared out by the masks of the highest
bins below, so that the voices sum to the recording.

A model that gives masks instead of vectors cannot name the voices alike in all windows. It gets the recording at once,
which takes about 0.25 GB a minute.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import yaml

# The classes of a saved model must be registered before it is loaded.
import lab41_sce.models.attractor_model
import lab41_sce.models.embedding_model
import lab41_sce.models.mask_model  # noqa: F401
from lab41_sce.audio.recording import Recording
from lab41_sce.errors import UserError
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.streaming import Separation

MAX_SPEAKERS = 100  # each takes the memory of a recording


class Separator:
    """Hold a trained model and separate recordings of any rate and length with it.

    Args:
        model: a Keras model with a `front_end` and `masks(mixture, n_speakers)`, such as an `EmbeddingModel`.
    """

    def __init__(self, model):
        self.model = model

    @classmethod
    def from_pretrained(cls) -> "Separator":
        """Load the model that is shipped with the package (MODEL_CARD.md says what it is)."""
        return cls.load(MODEL)

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
        except Exception as error:  # whatever Keras makes of a file that a stranger, or nobody, has written
            told = str(error).rpartition("Exception encountered: ")[2]  # Keras tells the whole configuration before it
            reason = [*told.strip().splitlines(), type(error).__name__][0]
            raise UserError(f"{file} cannot be loaded as a model ({reason}); give a .keras file of a run.") from None
        if not hasattr(model, "masks"):
            raise UserError(f"{file} holds a Keras model that cannot separate; give model.keras of a run.")
        return cls(model)

    def separate(self, signal: np.ndarray, sample_rate_hz: int, n_speakers: int | str = 2) -> np.ndarray:
        """Separate a signal.

        Args:
            signal: `[N]` or `[C, N]`; masks come from the mean of the channels.
            sample_rate_hz: its rate.
            n_speakers: S, from 1 to 100, or "auto" to count them.

        Returns:
            One signal for each speaker, float32 `[S, N]` or `[S, C, N]`, at the recording's rate. They sum to the
            signal (of integers: divided by full scale), if the model's masks sum to one.

        Raises:
            UserError: a number of speakers below one, or a signal that is empty or not finite.
        """
        voices = np.concatenate([*self.open(Recording.of(signal, sample_rate_hz), n_speakers)], axis=-1)
        return voices if np.ndim(signal) == 2 else voices[:, 0]

    def open(self, recording: Recording, n_speakers: int | str = "auto", first: np.ndarray | None = None,
             progress: Callable[[float], None] | None = None) -> "Separation":
        """Find the voices of a recording; iterating over what comes back separates it part by part.

        Args:
            recording: what to separate.
            n_speakers: as in `separate`.
            first: the vector of a person (see `voice`) whose voice should come first.
            progress: is called now and then with the share of the work that was done; all shares sum to one.

        Raises:
            UserError: the model cannot do what is asked for.
        """
        possible = (isinstance(n_speakers, (int, np.integer)) and not isinstance(n_speakers, bool)
                    and 1 <= n_speakers <= MAX_SPEAKERS)
        if n_speakers != "auto" and not possible:
            raise UserError(f"{n_speakers!r} speakers cannot be separated; ask for 1 to {MAX_SPEAKERS}, or for "
                            "\"auto\".")
        if n_speakers == "auto" and getattr(self.model, "cluster_variance", None) is None:
            raise UserError("nobody has measured how close to each other this model puts the vectors of a voice, so it "
                            "cannot count voices; say how many people talk.")
        if first is not None:
            self._require_verification_threshold()
        return Separation(self.model, recording, n_speakers, first, progress)

    def to_saved_model(self, folder: str | Path) -> None:
        """Write the model for TensorFlow programs that have neither Keras nor this package, as a SavedModel.

        Its endpoint `serve` takes waveforms at the model's rate, float32 `[B, N]`. A model of vectors answers with
        those of all bins, `[B, T, F, K]`; others with what their network says. (`model.save("model.keras")` keeps the
        Keras model.)

        Args:
            folder: to make, or to replace the files of.
        """
        archive = keras.export.ExportArchive()
        archive.track(self.model)
        archive.add_endpoint("serve", self.model.call, [keras.InputSpec("float32", (None, None))])
        archive.write_out(str(folder), verbose=False)

    def speaker_embedding(self, recording: Recording) -> np.ndarray:
        """Describe the voice of a person who talks alone in a recording: float32 `[K]`, of length one.

        Raises:
            UserError: the recording is silent, or the model does not know voices again.
        """
        self._require_verification_threshold()
        centroids = self.open(recording, 1).centroids
        assert centroids is not None  # since the model knows voices again
        [centroid] = centroids
        if not centroid.any():
            raise UserError(f"{recording.name} is silent; give a few seconds of a person who talks alone.")
        return centroid / np.linalg.norm(centroid)

    def _require_verification_threshold(self):
        """Raise UserError if the model does not know a voice again in another recording."""
        if getattr(self.model, "verification_threshold", None) is None:
            raise UserError("nobody has measured how alike this model makes one person's voice in two recordings, so "
                            "it cannot find a person; use the model that is shipped.")


def _model_of(folder: Path) -> Path:
    """Return the model file of a folder: its own, or that of the method of the run that it holds."""
    if not (folder / "config.yaml").is_file():
        return folder / "model.keras"
    try:
        name = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))["method"]["name"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):  # not the configuration of a run
        return folder / "model.keras"
    return folder / "systems" / str(name) / "model.keras"
