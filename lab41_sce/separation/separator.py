"""A trained model and a recording become one signal for each speaker.

    separator = Separator.from_pretrained()
    result = separator.separate("talk.wav")  # result.voices: float32 [S, N]

An embedding model processes a long recording in overlapping windows (`streaming.py`). Its embeddings are clustered
once, so a voice keeps its number, and memory is bounded. In recordings with ten seconds of speech, speaker vectors then
decide again who talks (`turns.py`). A model that estimates masks directly could order the voices differently in each
window, so it processes the whole recording at once, in about 0.25 GB a minute.

The network is computed by onnxruntime, which loads in a fraction of the time of TensorFlow (`models/onnx_network.py`).
Keras computes it on request, and where the network has no ONNX form or onnxruntime is not installed. The voices of the
two agree to -80 dB.

A `Separator` can be used in several threads, and in processes that were started by `spawn`, `forkserver`, joblib's
loky, Dask or Ray; it is sent to them by pickle. It is refused in a fork of a process that has made a `Separator`:
the threads of the runtime do not exist there, and its first operation would never return.
"""

import logging
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lab41_sce.audio.recording import Recording
from lab41_sce.audio.windows import WINDOW_SECONDS
from lab41_sce.errors import UserError
from lab41_sce.models.model_file import model_file
from lab41_sce.models.onnx_network import load_onnx_model
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.confidence import ConfidenceThresholds, read_thresholds
from lab41_sce.separation.count_classifier import CountClassifier, read_classifier, read_turn_classifier
from lab41_sce.separation.enrolment import describe_people
from lab41_sce.separation.result import Separation
from lab41_sce.separation.speaker_count import MAX_SPEAKERS as MAX_COUNTED_BY_THRESHOLD
from lab41_sce.separation.speaker_search import Calibrations
from lab41_sce.separation.streaming import VoiceStream
from lab41_sce.separation.verification import Verification, read_verification
from lab41_sce.separation.voice_description import VoiceDescription, check_speech, join_descriptions

logger = logging.getLogger(__name__)

MAX_SPEAKERS = 100  # each needs the memory of a recording
RUNTIMES = ("onnx", "keras")


def separate(source: str | Path | np.ndarray | Recording, sample_rate_hz: int | None = None,
             speakers: int | str | tuple[int, int] = "auto", model: str | Path | None = None,
             enroll: Mapping[str, Any] | None = None) -> Separation:
    """Separate a recording into one voice for each speaker.

    Args:
        source: an audio file, of which the mean of the channels is separated; a signal `[N]` or `[C, N]`; or a
            `Recording`. The masks of several channels come from their mean. The loudest channel takes the place of
            the mean where the channels cancel each other (`audio/mixing.py`).
        sample_rate_hz: sample rate of a signal; None, or its own rate, for a file or a `Recording`.
        speakers: number of speakers, 1 to 100; "auto" to count them; or the smallest and the largest possible number to
            count between, such as `(2, 4)`. The shipped model counts up to five.
        model: a `.keras` file or the folder of a run; None for the shipped model.
        enroll: people to find, by name, each with a list of recordings in which the person talks alone
            (`Separator.open`), such as `{"Ann": ["ann.wav"]}`.

    Returns:
        The result; its `voices` are float32 `[S, N]`, or `[S, C, N]` of a signal `[C, N]` or a `Recording`, at the
        rate of the recording.

    Raises:
        UserError: the recording or the model cannot be used, or the number of speakers is not possible.

    Example:
        >>> import lab41_sce as sce
        >>> voices = sce.separate("talk.wav").voices  # doctest: +SKIP
    """
    separator = Separator.from_pretrained() if model is None else Separator.load(model)
    return separator.separate(source, sample_rate_hz, speakers, enroll=enroll)


class Separator:
    """Separate recordings of any sample rate and length with a trained model.

    Args:
        model: an embedding model or a mask model, of Keras or of `load_onnx_model`; or another object with a
            `front_end` and a method `masks(mixture, n_speakers)`.
        window_seconds: approximate length of the windows of a long recording.
        counting: classifier that counts the speakers for this model; None to count by the model's threshold.
        confidence_thresholds: decide whether a confidence is low; None if they were not measured for this model.
        verification: recognises enrolled people, with a probability; None to use the model's threshold.
        turn_counting: counts again, with the speaker vectors of `verification`, so that people who take turns count.
    """

    _process: ClassVar[int | None] = None  # id of the process that made the first separator; a fork inherits it

    def __init__(self, model: Any, window_seconds: float = WINDOW_SECONDS, counting: CountClassifier | None = None,
                 confidence_thresholds: ConfidenceThresholds | None = None, verification: Verification | None = None,
                 turn_counting: CountClassifier | None = None):
        self._refuse_forks()
        self.model, self.window_seconds, self.counting = model, window_seconds, counting
        self.confidence_thresholds, self.verification = confidence_thresholds, verification
        self.turn_counting = turn_counting
        self._file: Path | None = None  # of the model, if it was loaded

    @classmethod
    def from_pretrained(cls, runtime: str = "onnx") -> "Separator":
        """Load the shipped model (`pretrained/MODEL_CARD.md` describes it); arguments as in `load`."""
        return cls.load(MODEL, runtime)

    @classmethod
    def load(cls, path: str | Path, runtime: str = "onnx") -> "Separator":
        """Load a model, and the classifier and the thresholds beside it.

        Args:
            path: a `.keras` file, the folder of a run, or a folder in its `systems/`.
            runtime: "onnx", or "keras" to compute the network with Keras, on a GPU if TensorFlow finds one. Keras is
                also used if the network has no ONNX form, or if onnxruntime is not installed.

        Raises:
            UserError: the runtime is unknown, or the model, the classifier or the thresholds cannot be used.
        """
        cls._refuse_forks()
        if runtime not in RUNTIMES:
            raise UserError(f"the runtime {runtime} is unknown; choose from {', '.join(RUNTIMES)}.")
        file = model_file(path)
        model: Any = (runtime == "onnx" and load_onnx_model(file)) or _load_keras_model(file)
        counting, verification = read_classifier(file, model), read_verification(file, model)
        turn_counting = read_turn_classifier(file, model, counting, verification)
        separator = cls(model, WINDOW_SECONDS, counting, read_thresholds(file, model), verification, turn_counting)
        separator._file = file
        return separator

    def separate(self, source: str | Path | np.ndarray | Recording, sample_rate_hz: int | None = None,
                 n_speakers: int | str | tuple[int, int] = "auto", **options: Any) -> Separation:
        """Separate a recording; arguments, result and errors as in the function `separate`.

        Args:
            **options: `enroll`, `binary_masks`, `keep_seconds` and `progress`, see `open`.
        """
        if isinstance(source, (str, Path)):
            recording, one_channel = Recording.open(source, "mix"), True
        elif isinstance(source, Recording):
            recording, one_channel = source, False
        else:
            recording, one_channel = Recording.of(source, sample_rate_hz), np.ndim(source) == 1  # type: ignore[arg-type]
        if sample_rate_hz not in (None, recording.sample_rate_hz):
            raise UserError(f"sample_rate_hz={sample_rate_hz} is given, but {recording.name} has "
                            f"{recording.sample_rate_hz} Hz; leave it out, since a recording has its own rate.")
        stream = self.open(recording, n_speakers, **options)
        voices = np.concatenate([*stream], axis=-1)  # [S, C, N]
        _log_notes(recording)
        return stream.result(voices[:, 0] if one_channel else voices)

    def open(self, recording: Recording, n_speakers: int | str | tuple[int, int] = "auto",
             *, enroll: Mapping[str, Any] | None = None, binary_masks: bool = False, keep_seconds: float = 0.0,
             progress: Callable[[float], object] | None = None) -> VoiceStream:
        """Find the speakers of a recording, and return a stream of their voices.

        Memory does not grow with the length of the recording if the caller writes each part of the stream.

        Args:
            recording: the recording to separate.
            n_speakers: S, 1 to 100; or "auto" or a range such as `(2, 4)` to count, see the function `separate`.
            enroll: people by name, each with recordings in which the person talks alone: a list of files, of
                `Recording`, or of signals at the rate of the recording; or the result of `describe_person`. The voices
                of people who are present come first.
            binary_masks: assign each bin to the voice with the largest mask.
            keep_seconds: seconds from the start of the recording for which `Separation.details` keeps masks,
                magnitudes and embeddings.
            progress: called with the share of the work done since the last call; all shares sum to one.

        Raises:
            UserError: the number of speakers is not possible, the recording cannot be read, or the model has no
                measured threshold for counting or for finding a speaker, or this process is a fork.
        """
        self._refuse_forks()
        possible_numbers = self.possible_numbers(n_speakers)
        if enroll:
            self._require_verification()
        people = describe_people(enroll or {}, recording.sample_rate_hz, self.describe_person)
        calibrations = Calibrations(self.counting, self.turn_counting, self.verification)
        stream = VoiceStream(self.model, recording, possible_numbers, people, binary_masks, keep_seconds,
                             self.window_seconds, progress or (lambda share: None), calibrations,
                             self.confidence_thresholds)
        _ = stream.speakers  # found now, so that mistakes are reported before anything is written
        return stream

    def describe_person(self, recordings: Sequence[Recording]) -> VoiceDescription:
        """Describe the voice of a person who talks alone in some recordings, for `enroll`.

        Raises:
            UserError: a recording contains no speech, or the model's verification threshold was not measured.
        """
        self._require_verification()
        descriptions = []
        for recording in recordings:
            stream = self.open(recording, 1)
            centroids = stream.speakers.centroids
            _log_notes(recording)
            assert centroids is not None  # a model that recognises people has embeddings
            if not centroids.any():
                raise UserError(f"{recording.name} is silent; give a few seconds of one person who talks alone.")
            check_speech(recording.name, stream.search.described_magnitudes(), self.model.front_end)
            descriptions += stream.search.describe(centroids / np.linalg.norm(centroids))
        return join_descriptions(descriptions)

    def to_saved_model(self, folder: str | Path) -> None:
        """Export the model as a SavedModel, for TensorFlow programs without Keras and without this package.

        Its endpoint `serve` maps waveforms at the model's rate, float32 `[B, N]`, to the result of the model's `call`:
        embeddings `[B, T, F, K]` or masks `[B, S, T, F]`. (`model.save("model.keras")` writes the Keras model.)

        Args:
            folder: made if necessary; its files are replaced.
        """
        import keras  # takes seconds

        self._refuse_forks()
        model = self.model if isinstance(self.model, keras.Model) or not self._file else _load_keras_model(self._file)
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", model.call, [keras.InputSpec("float32", (None, None))])
        archive.write_out(str(folder), verbose=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle; the model is pickled by itself, so that a fork need not load it."""
        return vars(self) | {"model": (type(self.model).__module__, pickle.dumps(self.model))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state, without the model in a fork: an error here would stop the worker, and the pool wait."""
        module, model = state["model"]
        if not self._is_fork():
            import_module(module)  # Keras finds the classes of a model only after they are imported
        vars(self).update(state, model=None if self._is_fork() else pickle.loads(model))

    @classmethod
    def _is_fork(cls) -> bool:
        """Return whether a process made a separator and was forked into this one."""
        Separator._process = Separator._process or os.getpid()
        return Separator._process != os.getpid()

    @classmethod
    def _refuse_forks(cls) -> None:
        """Raise UserError if the runtime would wait for ever in this process."""
        if cls._is_fork():
            raise UserError("a Separator cannot be used in a fork of the process that loaded it; start the processes "
                            'with multiprocessing.get_context("spawn"), or use threads.')

    def possible_numbers(self, n_speakers: Any) -> int | tuple[int, int]:
        """Return the number of speakers, or the smallest and the largest to count between.

        Args:
            n_speakers: as in `separate`.

        Raises:
            UserError: the number or the range is not possible, or this model cannot count.
        """
        if _is_number(n_speakers) and 1 <= n_speakers <= MAX_SPEAKERS:
            return int(n_speakers)
        if getattr(self.model, "cluster_variance", None) is None and self.counting is None:
            if n_speakers == "auto" or isinstance(n_speakers, tuple):
                raise UserError("this model cannot count speakers, because neither its counting nor its cluster "
                                "variance was measured; give the number of speakers.")
        most = self.counting.most if self.counting else MAX_COUNTED_BY_THRESHOLD
        if n_speakers == "auto":
            return 1, most
        if isinstance(n_speakers, tuple) and len(n_speakers) == 2 and all(map(_is_number, n_speakers)):
            if 1 <= n_speakers[0] <= n_speakers[1] <= most:
                return int(n_speakers[0]), int(n_speakers[1])
            raise UserError(f"{n_speakers[0]} to {n_speakers[1]} speakers cannot be counted; give a range within 1 to "
                            f"{most}, or the number.")
        raise UserError(f"{n_speakers!r} speakers cannot be separated; give a number from 1 to {MAX_SPEAKERS}, a range "
                        "such as (2, 4), or \"auto\".")

    def _require_verification(self) -> None:
        """Raise UserError if the model cannot recognise the speaker of another recording."""
        if self.verification is None and getattr(self.model, "verification_threshold", None) is None:
            raise UserError("this model cannot find a person, because its verification threshold was not measured; "
                            "use the shipped model.")


def _load_keras_model(file: Path) -> Any:
    """Load a model with Keras."""
    from lab41_sce.models.loading import load_model  # imports TensorFlow, which takes seconds

    return load_model(file)


def _is_number(value: Any) -> bool:
    """Return whether a value is a whole number."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _log_notes(recording: Recording) -> None:
    """Log what is unusual about a recording."""
    for note in recording.notes:
        logger.warning("%s: %s", recording.name, note)
