"""The mixtures of a published benchmark set, as they stand in its files, become `Mixture`s with their true sources.

A benchmark set is a list of mixtures that others have scored, such as Libri2Mix or WSJ0-2mix. `librimix.py` mixes
LibriMix from its metadata, and `mixture_folders.py` reads sets that were generated as files.

The signal of a mixture is that of its file. What its file contains besides its sources is its noise: recorded noise,
reverberation, the rounding to 16 bits, and the effect of clipping.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab41_sce import audio
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError

RATES_HZ = (8000, 16000)  # of known sets
LENGTHS = ("min", "max")  # of their mixtures: of the shortest source, or of the longest


@dataclass(frozen=True)
class BenchmarkMixture:
    """Hold one mixture of a benchmark set; its signals are read when they are needed.

    Attributes:
        name: of its files, without suffix.
        kind: the sexes of its speakers in their order, such as "FM"; empty if they are not known.
        speakers: ids of its speakers; empty if they are not known.
        read: reads the signals; raises UserError if a file is damaged or does not belong to the mixture.
    """

    name: str
    kind: str
    speakers: tuple[str, ...]
    read: Callable[[], Mixture]


@dataclass(frozen=True)
class BenchmarkSet:
    """Hold the mixtures of a benchmark set.

    Attributes:
        name: such as "libri2mix test mix_clean min 8000 Hz".
        sample_rate_hz: of all signals.
        mixtures: in the order of the set.
        corpus: corpus of the ids of the speakers, such as "librispeech" or "embedded"; empty if it is not known.

    Raises:
        UserError: two mixtures have the same name.
    """

    name: str
    sample_rate_hz: int
    mixtures: tuple[BenchmarkMixture, ...]
    corpus: str = ""

    def __post_init__(self) -> None:
        names = Counter(mixture.name for mixture in self.mixtures)
        if repeated := [name for name, count in names.items() if count > 1]:
            raise UserError(f"{repeated[0]} is the name of two mixtures; give a set with different names.")


class SpeakerSexes:
    """Look up the sexes of speakers in a table of a corpus.

    Args:
        path: LibriSpeech's SPEAKERS.TXT, WSJ0's spkrinfo.txt, or another text whose lines begin with an id and F or M,
            separated by spaces or "|"; lines that begin with ";" are comments. None if there is no table.

    Raises:
        UserError: the file cannot be read, or has no such line.
    """

    def __init__(self, path: Path | None):
        self._path, self._sexes = path, {}
        if path is None:
            return
        try:
            lines = path.read_text("utf-8-sig", "replace").splitlines()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); give the table of the speakers' sexes."
                            ) from None
        fields = [line.replace("|", " ").upper().split() for line in lines if not line.startswith(";")]
        self._sexes = {row[0]: row[1] for row in fields if len(row) > 1 and row[1] in ("F", "M")}
        if not self._sexes:
            raise UserError(f"{path} has no line that begins with an id and F or M; give SPEAKERS.TXT of LibriSpeech "
                            "or spkrinfo.txt of WSJ0.")

    def kind(self, speakers: Sequence[str]) -> str:
        """Return the sexes of speakers in their order, such as "FM"; an empty text without a table."""
        if self._path is None:
            return ""
        if absent := [speaker for speaker in speakers if speaker.upper() not in self._sexes]:
            raise UserError(f"{self._path} has no speaker {absent[0]}; give the table of the corpus of the mixtures.")
        return "".join(self._sexes[speaker.upper()] for speaker in speakers)


def stated_length(path: Path, sample_rate_hz: int) -> int:
    """Return the number of samples that the header of a file states.

    Raises:
        UserError: the file is missing, has another sample rate, or is no sound file.
    """
    if not path.exists():
        raise UserError(f"{path} is missing; restore the file, or leave out its mixture.")
    with audio.Decoder(path, whole=False) as decoder:
        if decoder.sample_rate_hz != sample_rate_hz:
            raise UserError(f"{path} has a sample rate of {decoder.sample_rate_hz} Hz, not {sample_rate_hz} Hz; give "
                            "the files of the set at this rate.")
        return decoder.n_samples


def read_whole(path: Path, length: int) -> np.ndarray:
    """Read the first channel of a file that has a number of samples: float32 `[length]`.

    Raises:
        UserError: the file cannot be decoded, ends earlier than its header states, or contains NaN or infinity.
    """
    with audio.Decoder(path, "each") as decoder:
        signal = decoder.read(0, decoder.n_samples)[0]
    if len(signal) != length:
        raise UserError(f"{path} ends after {len(signal)} of {length} samples; restore the file.")
    if not np.isfinite(signal).all():
        raise UserError(f"{path} contains NaN or infinite samples; restore the file.")
    return np.ascontiguousarray(signal)


def mixture_of_files(signal: np.ndarray, sources: np.ndarray, speakers: Sequence[str]) -> Mixture:
    """Make the `Mixture` of a signal `[N]` and its sources `[S, N]`; their difference is its noise."""
    rest = signal - sources.sum(axis=0)
    return Mixture(sources, tuple(speakers), rest if rest.any() else None)
