"""A file, or the names of two speakers, become a `Sound` to separate, with or without known sources."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from lab41_sce import audio
from lab41_sce.audio.recording import Recording
from lab41_sce.data.corpus import EMBEDDED_ROOT, EMBEDDED_SUBSET, load_corpus
from lab41_sce.data.mixture import normalise
from lab41_sce.errors import UserError
from lab41_sce.models.numpy_front_end import ARTICLE

MIXTURE_PEAK = 0.9  # of full scale
MAX_RATE_HZ = 192_000
MAX_SAMPLES_PER_SECOND = 200_000  # of all channels together: 2 at 96 kHz, 4 at 48 kHz, 12 at 16 kHz


@dataclass(frozen=True)
class Limits:
    """Limit the size of a file in megabytes and the length of its sound in seconds.

    A few kilobytes can hold a short sound of hundreds of channels, which takes gigabytes of memory. `samples` limits
    the samples of all channels to those of a sound of maximum length.
    """

    megabytes: float = 20.0
    seconds: float = 120.0

    @property
    def samples(self) -> int:
        """Return the maximum number of samples, all channels together."""
        return round(self.seconds * MAX_SAMPLES_PER_SECOND)


@dataclass(frozen=True)
class Sound:
    """Hold a recording to separate.

    Attributes:
        signal: float32 `[N]`, the mean of the channels.
        sample_rate_hz: of the signal.
        name: the name to display.
        sources: float32 `[S, N]` of a generated mixture; None if they are unknown.
        source_names: names of the sources.
        notes: sentences about what is unusual in the file (`Decoder.notes`).
    """

    signal: np.ndarray
    sample_rate_hz: int
    name: str
    sources: np.ndarray | None = None
    source_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Return the length in seconds."""
        return len(self.signal) / self.sample_rate_hz


def check_sound(path: str | Path, limits: Limits) -> None:
    """Check a recording by its size and its header, before it is read into memory.

    If the header of a WebM states no length, the file is decoded, and its samples are counted and not kept.

    Raises:
        UserError: the file is no recording, or exceeds a limit. The message contains the name of the file without its
            folder, which is private to the server.
    """
    path = Path(path)
    try:
        megabytes = path.stat().st_size / 1e6 if path.is_file() else 0.0
        if megabytes > limits.megabytes:
            raise UserError(too_large(path.name, f"{megabytes:.1f}", limits))
        with audio.Decoder(path, whole=False) as header:
            rate_hz, n_channels, n_samples = header.sample_rate_hz, header.n_channels, header.n_samples
        if rate_hz > MAX_RATE_HZ:
            raise UserError(f"{path.name} has a sample rate of {rate_hz:,} Hz, and this page accepts at most "
                            f"{MAX_RATE_HZ:,} Hz; resample it.")
        if n_samples > limits.seconds * rate_hz:
            raise UserError(_too_long(path.name, n_samples / rate_hz, limits))
        if n_samples * n_channels > limits.samples:
            raise UserError(f"{path.name} has {n_channels} channels of {n_samples:,} samples, and this page accepts "
                            f"at most {limits.samples:,} samples of all channels together; keep fewer channels, or "
                            "resample it.")
    except UserError as error:
        raise UserError(str(error).replace(str(path), path.name)) from None


def open_sound(path: str | Path, limits: Limits) -> Sound:
    """Read the mean of the channels of a recording.

    Raises:
        UserError: as in `check_sound`, or the file cannot be decoded to its end.
    """
    path = Path(path)
    check_sound(path, limits)
    try:
        recording = Recording.open(path, "mix")
        if recording.seconds > limits.seconds:  # more than its header states
            raise UserError(_too_long(path.name, recording.seconds, limits))
        return Sound(recording.read(0, recording.n_samples)[0], recording.sample_rate_hz, path.name,
                     notes=tuple(recording.notes))
    except UserError as error:
        raise UserError(str(error).replace(str(path), path.name)) from None


def too_large(name: str, megabytes: str, limits: Limits) -> str:
    """Describe a file that is too large."""
    return (f"{name} has {megabytes} MB, and this page accepts at most {limits.megabytes:g} MB; shorten it, or save it "
            "as FLAC or MP3.")


def _too_long(name: str, seconds: float, limits: Limits) -> str:
    """Describe a recording that is too long."""
    return (f"{name} lasts {seconds:.0f} s, and this page accepts at most {limits.seconds:g} s; cut it, or run the "
            "command lab41-sce separate FILE, which accepts any length.")


@cache
def speakers() -> dict[str, str]:
    """List the speakers of the embedded corpus: their names on the page, such as "3 (woman)", and their ids."""
    table = load_corpus(None, [EMBEDDED_SUBSET], check="headers")
    sexes = table.drop_duplicates("speaker").set_index("speaker")["sex"]
    return {f"{speaker} ({'woman' if sexes[speaker] == 'F' else 'man'})": speaker
            for speaker in sorted(sexes.index, key=int)}


def make_mixture(first: str, second: str, level_db: float, sentence: int = 1, sample_rate_hz: int = 10000) -> Sound:
    """Mix one sentence each of two speakers of the embedded corpus.

    Args:
        first: name of a speaker, see `speakers`.
        second: name of another speaker.
        level_db: level of the first speaker relative to the second, in dB.
        sentence: number of the sentence of both, from 1; after a speaker's last sentence comes the first again.
        sample_rate_hz: of the mixture.

    Returns:
        A mixture as long as the shorter sentence, with its sources.

    Raises:
        UserError: both names are equal, or there is no such speaker.
    """
    if first == second:
        raise UserError(f"speaker {first} was chosen twice; choose two different speakers.")
    for name in (first, second):
        if name not in speakers():
            raise UserError(f"there is no speaker {name!r} in the embedded corpus; choose one from the list.")
    excerpts = []
    for speaker in (speakers()[first], speakers()[second]):
        files = sorted((EMBEDDED_ROOT / EMBEDDED_SUBSET / speaker).glob("*/*.ogg"))
        excerpts.append(audio.read_mono(files[(int(sentence) - 1) % len(files)], sample_rate_hz))
    length = min(map(len, excerpts))
    levels_db = np.array([level_db / 2, -level_db / 2])
    sources = normalise(np.stack([excerpt[:length] for excerpt in excerpts]), ARTICLE.pre_emphasis, levels_db)
    sources *= MIXTURE_PEAK / np.abs(sources.sum(axis=0)).max()
    return Sound(sources.sum(axis=0), sample_rate_hz, f"speakers {first} and {second}", sources,
                 (f"speaker {first}", f"speaker {second}"))
