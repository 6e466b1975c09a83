"""A random generator, and speech or recordings, become noise `[N]` that is added to mixtures.

| kind | content |
| --- | --- |
| `white` | Gaussian noise with the same power at every frequency |
| `pink` | Gaussian noise whose power falls by 3 dB per octave |
| `speech_shaped` | Gaussian noise with the long-term spectrum of the speech of the split |
| `babble` | several speakers at once, none of whom is in the mixture |
| `folder` | excerpts of the user's own recordings, such as WHAM! or UrbanSound8K |

Babble and speech-shaped noise are made from the utterances of the mixture's own split, so that the noise in evaluation
is not made from training speech. The split `validation` is too small and uses the training speech. The last fifth of
the files in a folder, by name, is used for evaluation only.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import fft
from scipy.signal import welch
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.data.checksums import file_checksums, text_checksum
from lab41_sce.data.speech import Speech
from lab41_sce.data.splits import SpeakerIndex
from lab41_sce.errors import UserError

KINDS = ("white", "pink", "speech_shaped", "babble", "folder")
MIN_TALKERS, MAX_TALKERS = 4, 6  # in babble
MAX_SPECTRUM_SPEAKERS = 500  # in the long-term spectrum of speech; more speakers change it little
MAX_DRAWS = 20  # of an excerpt of a folder that is not silent
MIN_RANGE = 1e-6  # between the largest and the smallest sample of an excerpt that is not silent
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

logger = logging.getLogger(__name__)


class Noise:
    """Draw noise of several kinds.

    Args:
        speech: provides the signals.
        utterances: table with the columns `utterance`, `speaker`, `split`.
        kinds: some of `KINDS`.
        folder: for the kind `folder`: searched for audio files, with its subfolders.
        check: "samples" computes the checksum of each file of the folder; "headers" reads their headers only.

    Attributes:
        files: table of the files of the folder with the columns `file`, `bytes` and `checksum`; empty checksums with
            `check="headers"`.
        fingerprint: checksum of this table, a whole number; None without a folder.

    Raises:
        UserError: the folder does not exist, or it has fewer than two audio files that can be read.
    """

    def __init__(self, speech: Speech, utterances: pd.DataFrame, kinds: Sequence[str] = KINDS[:-1],
                 folder: str | Path | None = None, check: str = "samples"):
        self.speech, self.kinds = speech, list(kinds)
        self._indices = {split: SpeakerIndex(of_split) for split, of_split in utterances.groupby("split")}
        root = Path(folder or "")
        files = {} if folder is None else _audio_files(root)
        n_evaluation = max(1, len(files) // 5)
        self._files = {"train": [*files.items()][:-n_evaluation], "evaluation": [*files.items()][-n_evaluation:]}
        names, sizes = [str(file.relative_to(root)) for file in files], [file.stat().st_size for file in files]
        checksums = file_checksums([*files], "checksums of noise") if check == "samples" else ""
        self.files = pd.DataFrame({"file": names, "bytes": sizes, "checksum": checksums})
        self.fingerprint = int(text_checksum(self.files.to_csv(index=False)), 16) if names else None
        self._spectra: dict[str, np.ndarray] = {}

    def require(self, splits: Iterable[str], n_speakers: int) -> None:
        """Raise UserError unless each of the splits has enough speakers for babble in mixtures of `n_speakers`."""
        for split in splits if "babble" in self.kinds else ():
            self._talkers(split, [""] * n_speakers)

    def draw(self, kind: str, rng: np.random.Generator, length: int, split: str,
             speakers: Sequence[str] = ()) -> np.ndarray:
        """Draw an excerpt of noise.

        Args:
            kind: one of `KINDS`.
            rng: random generator.
            length: N, samples.
            split: of the mixture; selects the speech for babble and speech-shaped noise, and the files of the folder.
            speakers: ids of the speakers of the mixture, which are not in the babble.

        Returns:
            float32 `[N]` with zero mean and a mean square of 1.

        Raises:
            UserError: there are too few speakers for babble, or the files of the folder are silent or damaged.
        """
        if kind == "babble":
            noise = self._babble(rng, length, split, speakers)
        elif kind == "folder":
            noise = self._excerpt(rng, length, split)
        else:
            noise = rng.standard_normal(length).astype(np.float32)
            if kind != "white":
                spectrum = fft.rfft(noise)
                noise = fft.irfft(spectrum * self._shape(kind, len(spectrum), split), length)
        noise = noise - noise.mean()
        return (noise / np.maximum(np.sqrt(np.mean(noise**2)), 1e-9)).astype(np.float32)

    def _shape(self, kind: str, n_bins: int, split: str) -> np.ndarray:
        """Return the magnitude response `[n_bins]` that turns white noise into pink or speech-shaped noise."""
        if kind == "pink":
            return 1 / np.sqrt(np.maximum(np.arange(n_bins, dtype=np.float32), 1))
        split = source_split(split)
        if split not in self._spectra:
            self._spectra[split] = self._long_term_spectrum(split)
        frequencies, shape = np.linspace(0, 1, n_bins), self._spectra[split]
        return np.interp(frequencies, np.linspace(0, 1, len(shape)), shape).astype(np.float32)

    def _long_term_spectrum(self, split: str) -> np.ndarray:
        """Average the power spectrum over one utterance of each of up to 500 speakers; return its root."""
        index = self._indices[split]
        n_speakers = len(index.speakers)
        chosen = np.linspace(0, n_speakers - 1, min(n_speakers, MAX_SPECTRUM_SPEAKERS)).astype(int)
        names = [index.names_of(number)[0] for number in chosen]
        signals = [self.speech.excerpt(name, 0, self.speech.length(name)) for name in names]
        powers = [welch(signal / max(signal.std(), 1e-6), nperseg=512)[1] for signal in signals if len(signal) >= 512]
        return np.sqrt(np.mean(powers, axis=0))

    def _babble(self, rng: np.random.Generator, length: int, split: str, speakers: Sequence[str]) -> np.ndarray:
        """Add up excerpts of several speakers at equal levels."""
        total, others = np.zeros(length), self._talkers(split, speakers)
        for number in rng.choice(others, min(MAX_TALKERS, len(others)), replace=False):
            names = self._indices[source_split(split)].names_of(number)
            name = names[rng.integers(len(names))]
            start = int(rng.integers(max(self.speech.length(name) - length, 0) + 1))
            excerpt = self.speech.excerpt(name, start, length)
            total += excerpt / max(excerpt.std(), 1e-6)
        return total

    def _talkers(self, split: str, speakers: Sequence[str]) -> np.ndarray:
        """Return the numbers of the speakers that may be in the babble of a mixture of `speakers`."""
        numbers = self._indices[source_split(split)].number_of if source_split(split) in self._indices else {}
        others = np.delete(np.arange(len(numbers)), [numbers[speaker] for speaker in speakers if speaker in numbers])
        left = min(len(others), len(numbers) - len(speakers))
        if left < MIN_TALKERS:
            raise UserError(f"babble needs {MIN_TALKERS} speakers besides those of a mixture, but the split '{split}' "
                            f"has {max(left, 0)}; remove babble from noise.kinds, or add speech.")
        return others

    def _excerpt(self, rng: np.random.Generator, length: int, split: str) -> np.ndarray:
        """Draw an excerpt of a file of the folder that has sound; a file that is too short is repeated."""
        files = self._files["train" if source_split(split) == "train" else "evaluation"]
        seconds = length / self.speech.sample_rate_hz
        for _ in range(MAX_DRAWS):
            file, file_seconds = files[rng.integers(len(files))]
            start = rng.uniform(0, max(file_seconds - seconds, 0))
            try:
                signal = audio.read_excerpt(file, start, seconds, self.speech.sample_rate_hz)
            except UserError as error:  # its header was intact
                logger.warning("noise.folder: an excerpt is drawn again (%s)", error)
                continue
            if len(signal) and np.ptp(signal) > MIN_RANGE:
                return np.resize(signal, length)
        raise UserError(f"noise.folder: {MAX_DRAWS} excerpts in a row were silent or damaged, the last one of {file}; "
                        "remove such files from the folder.")


def source_split(split: str) -> str:
    """Return the split that provides the speech for the noise in mixtures of `split`."""
    return "train" if split in ("validation", "train-validation") else split


def scale_to_snr(noise: np.ndarray, speech: np.ndarray, snr_db: float) -> np.ndarray:
    """Scale noise `[N]` with a mean square of 1 to a signal-to-noise ratio in dB to the sum of all speakers, `[N]`."""
    return (noise * np.sqrt(np.mean(speech**2)) * 10 ** (-snr_db / 20)).astype(np.float32)


def _audio_files(folder: Path) -> dict[Path, float]:
    """Return the duration in seconds of each audio file of a folder that can be read; these are at least two."""
    if not folder.is_dir():
        raise UserError(f"noise.folder={folder} is not a folder; give a folder with recordings of noise.")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES
                   and not file.name.startswith("."))
    seconds, left_out = {}, []
    for file in tqdm(files, "noise.folder", unit=" files", leave=False, disable=None):
        try:
            with audio.Decoder(file, whole=False) as decoder:
                seconds[file] = decoder.n_samples / decoder.sample_rate_hz
        except UserError as error:
            left_out.append(str(error))
    if left_out:
        logger.warning("noise.folder: %d of %d files are left out:\n  %s", len(left_out), len(files),
                       "\n  ".join(left_out))
    if len(seconds) < 2:
        raise UserError(f"noise.folder={folder} holds {len(seconds)} audio files that can be read, but training and "
                        "evaluation need one each; add some (WAV, FLAC, OGG or MP3).")
    return seconds
