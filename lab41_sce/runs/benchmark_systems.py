"""A name or a path becomes a system that separates the mixtures of a benchmark set.

| given | system |
| --- | --- |
| `pretrained` | the shipped model |
| one of `WITHOUT_TRAINING` | that system of this package, such as an oracle |
| a `.keras` file, or the folder of a run | its model |
| `package.module:name` | a function that returns voices at its own sample rate (`methods/waveform.py`) |
| any other folder | voices that another program has separated: `s1/NAME.wav` or `NAME_1.wav` |

`NAME=` before a path names the system in tables. A model works at its own sample rate and returns voices at the rate of
the mixture, as `lab41-sce separate` does. Systems without training have frames of about 32 ms (a power of two of
samples at the rate of the set), a quarter of a frame apart.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab41_sce import audio
from lab41_sce.data.benchmark_set import BenchmarkSet
from lab41_sce.data.checksums import file_checksum, text_checksum
from lab41_sce.data.corpus import id_in_corpus
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError
from lab41_sce.evaluation.folder_layout import Layout
from lab41_sce.evaluation.mixture_files import MAX_DIFFERENCE_SECONDS
from lab41_sce.evaluation.saved_model import is_embedded, speakers_of_training, splits_of_model
from lab41_sce.evaluation.scoring import apply_masks
from lab41_sce.methods.base import Setup
from lab41_sce.methods.waveform import WaveformSystem, load_function
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.loading import model_file
from lab41_sce.pretrained import MODEL
from lab41_sce.separation.calibration_file import calibration_path
from lab41_sce.separation.separator import Separator
from lab41_sce.yaml_defaults import with_yaml_defaults

WITHOUT_TRAINING = ("unprocessed", "ideal_binary_mask", "ideal_ratio_mask", "phase_sensitive_mask", "nmf_blind")
FRAME_SECONDS, HOPS_IN_FRAME = 0.032, 4  # of the systems without training


@dataclass(frozen=True)
class BenchmarkSystem:
    """Hold a system that is scored on a benchmark set.

    Attributes:
        name: in tables.
        separate: receives the name of a mixture and the `Mixture`, and returns voices `[S, N]`.
        checksum: receives the name of a mixture, and returns a text that changes if the voices may change.
    """

    name: str
    separate: Callable[[str, Mixture], np.ndarray]
    checksum: Callable[[str], str]


def build_systems(given: Sequence[str], benchmark: BenchmarkSet) -> list[BenchmarkSystem]:
    """Build systems from names and paths, as in the table above.

    Args:
        given: names and paths.
        benchmark: the set that they separate.

    Raises:
        UserError: there is no such system, two have the same name, or a model was trained with speakers of the set.
    """
    systems = [_build(one, benchmark) for one in given]
    names = [system.name for system in systems]
    if repeated := [name for name in names if names.count(name) > 1]:
        _, path = name_and_path(given[len(names) - 1 - names[::-1].index(repeated[0])])
        raise UserError(f"two systems have the name {repeated[0]}; name one of them, like this: OTHER={path}.")
    return systems


def name_and_path(given: str) -> tuple[str, Path]:
    """Return the name of a system in tables, and its path, of `NAME=PATH` or of a path, which may contain "="."""
    name, sign, place = given.partition("=")
    if sign and not Path(given).exists():
        return name, Path(place)
    path = Path(given)
    return path.resolve().name if path.is_dir() else path.resolve().stem, path


def model_checksum(path: Path) -> str:
    """Return a checksum of a model and of its calibrations, which count the speakers and find their turns."""
    file = model_file(path)
    return text_checksum(" ".join(file_checksum(each) for each in (
        file, *(calibration_path(file, kind) for kind in ("counting", "verification", "turns")))))


def _build(given: str, benchmark: BenchmarkSet) -> BenchmarkSystem:
    """Build one system."""
    name, path = name_and_path(given)
    if str(path) == "pretrained":
        return _model(name, MODEL, benchmark)
    if path.is_file() or (path / "config.yaml").is_file() or (path / "model.keras").is_file():
        return _model(name, path, benchmark)
    if path.is_dir():
        return _voices(name, path, benchmark.sample_rate_hz)
    if ":" in str(path):
        return _function(name if given != str(path) else str(path).rpartition(":")[2], str(path), benchmark)
    if str(path) in WITHOUT_TRAINING:
        return _without_training(name, str(path), benchmark.sample_rate_hz)
    raise UserError(f"{path} is neither a system nor a file or folder; give pretrained, the folder of a run, a folder "
                    f"of voices, a function as package.module:name, or one of {', '.join(WITHOUT_TRAINING)}.")


def _model(name: str, path: Path, benchmark: BenchmarkSet) -> BenchmarkSystem:
    """Return the system of a trained model."""
    separator, checksum = Separator.load(path), model_checksum(path)
    splits = splits_of_model(path)
    if splits is not None and benchmark.corpus:
        speakers = {id_in_corpus(speaker) for mixture in benchmark.mixtures for speaker in mixture.speakers}
        if known := speakers & speakers_of_training(splits[is_embedded(splits) == (benchmark.corpus == "embedded")]):
            raise UserError(f"the model at {path} was trained or selected with speaker {min(known)} of this set; score "
                            "it on a set of other speakers.")

    def separate(_: str, mixture: Mixture) -> np.ndarray:
        voices = separator.separate(mixture.signal, benchmark.sample_rate_hz, mixture.n_speakers).voices
        assert voices is not None  # they were not streamed
        return voices

    return BenchmarkSystem(name, separate, lambda _: checksum)


def _function(name: str, place: str, benchmark: BenchmarkSet) -> BenchmarkSystem:
    """Return the system of a function; it separates the first mixture now, to notice mistakes and changes."""
    system, first = WaveformSystem(load_function(place), place), benchmark.mixtures[0].read()
    voices = system.voices(first, benchmark.sample_rate_hz)
    checksum = text_checksum(f"{place} {system.sample_rate_hz} {zlib.crc32(voices.tobytes())}")
    return BenchmarkSystem(name, lambda _, mixture: system.voices(mixture, benchmark.sample_rate_hz),
                           lambda _: checksum)


def _without_training(name: str, method: str, sample_rate_hz: int) -> BenchmarkSystem:
    """Return a system of this package that learns nothing."""
    frame = 2 ** round(np.log2(FRAME_SECONDS * sample_rate_hz))
    front_end = FrontEnd(sample_rate_hz, frame, frame // HOPS_IN_FRAME)
    seeds = {"seed": 0} if method == "nmf_blind" else {}
    build, network = with_yaml_defaults(f"method/{method}", **seeds), with_yaml_defaults("network/blstm")

    def separate(_: str, mixture: Mixture) -> np.ndarray:
        masks = build(Setup(front_end, network, mixture.n_speakers))(mixture)
        return apply_masks(front_end, mixture.signal, masks)

    return BenchmarkSystem(name, separate, lambda _: f"{method} {frame}")


def _voices(name: str, folder: Path, sample_rate_hz: int) -> BenchmarkSystem:
    """Return the system whose voices are files in a folder."""
    def find(mixture: str, n_speakers: int) -> list[Path]:
        references = tuple(Path(f"s{number}") for number in range(1, n_speakers + 1))
        return Layout(references, folder, by_folder=True).find_voices(Path(f"{mixture}.wav"))

    def separate(mixture_name: str, mixture: Mixture) -> np.ndarray:
        paths, length = find(mixture_name, mixture.n_speakers), mixture.sources.shape[1]
        if len(paths) != mixture.n_speakers:
            raise UserError(f"{folder} has {len(paths)} voices of {mixture_name}, which has {mixture.n_speakers} "
                            f"sources; give s1/{mixture_name}.wav or {mixture_name}_1.wav, and so on.")
        voices = np.zeros((len(paths), length), np.float32)
        for voice, path in zip(voices, paths, strict=True):
            signal = audio.read_mono(path, sample_rate_hz)
            if abs(len(signal) - length) > MAX_DIFFERENCE_SECONDS * sample_rate_hz:
                raise UserError(f"{path} has {len(signal) / sample_rate_hz:.2f} s, but its mixture "
                                f"{length / sample_rate_hz:.2f} s; give voices whose lengths differ by at most "
                                f"{MAX_DIFFERENCE_SECONDS} s.")
            voice[: len(signal)] = signal[:length]
        return voices

    def checksum(mixture_name: str) -> str:
        return text_checksum(" ".join(map(file_checksum, find(mixture_name, 1))))

    return BenchmarkSystem(name, separate, checksum)
