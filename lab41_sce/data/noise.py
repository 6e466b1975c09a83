"""Noise of several kinds, to be added to mixtures: what real rooms and streets do to them.

| kind | what |
| --- | --- |
| `white` | Gaussian, as much power at every frequency |
| `pink` | Gaussian, its power falls by 3 dB an octave |
| `speech_shaped` | Gaussian with the long-term spectrum of the corpus's speech |
| `babble` | several people at once, none of whom talks in the mixture |
| `folder` | excerpts of the user's own recordings, such as WHAM! or UrbanSound8K |

Babble and speech-shaped noise are made of a split's own utterances, so that those of unseen speakers are of speech that
training never heard; validation, whose split is small, takes the training speech. Of a folder, the last fifth of the
files by name is kept for scoring.
"""

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import fft
from scipy.signal import welch
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.data.splits import BySpeaker
from lab41_sce.errors import UserError

KINDS = ("white", "pink", "speech_shaped", "babble", "folder")
TALKERS = 6  # in babble
MIN_TALKERS = 4
MAX_SPECTRUM_SPEAKERS = 500  # in the long-term spectrum of speech: more change little
DRAWS, SILENT = 20, 1e-6  # excerpts of a folder to try, and how far such a one swings at most
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


class Noise:
    """Draw noise.

    Args:
        speech: the signals, a `mixtures.Speech`.
        utterances: table with the columns `utterance`, `speaker`, `split`.
        kinds: some of `KINDS`.
        folder: for the kind `folder`: searched with everything below it for audio files.

    Raises:
        UserError: the folder is not there, or holds too little audio.
    """

    def __init__(self, speech, utterances: pd.DataFrame, kinds: Sequence[str] = KINDS[:-1],
                 folder: str | Path | None = None):
        self.speech, self.kinds = speech, list(kinds)
        self._pools = {split: _Pool(of_split) for split, of_split in utterances.groupby("split")}
        root = Path(folder or "")
        files = {} if folder is None else _audio_files(root)
        last = max(1, len(files) // 5)
        self._files = {"train": [*files.items()][:-last], "scoring": [*files.items()][-last:]}
        names = [f"{file.relative_to(root)} {file.stat().st_size}" for file in files]
        self.fingerprint = zlib.crc32("\n".join(names).encode()) if names else None  # of what the folder holds
        self._spectra = {}

    def require(self, splits: Iterable[str], n_speakers: int) -> None:
        """Raise UserError unless the splits have speech for the noise of mixtures of some speakers."""
        for split in splits if "babble" in self.kinds else ():
            self._talkers(split, [None] * n_speakers)

    def draw(self, kind: str, rng: np.random.Generator, length: int, split: str, speakers=()) -> np.ndarray:
        """Draw an excerpt of noise.

        Args:
            kind: one of `KINDS`.
            rng: decides everything that is random.
            length: N, samples.
            split: whose speech babble and speech-shaped noise are made of, and whose part of the folder is used.
            speakers: of the mixture; they do not take part in babble.

        Returns:
            float32 `[N]` of zero mean and a mean square of 1.

        Raises:
            UserError: too few speakers for babble, or a folder of silence.
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

    def _shape(self, kind, n_bins, split):
        """Return the magnitude response `[n_bins]` of a kind."""
        if kind == "pink":
            return 1 / np.sqrt(np.maximum(np.arange(n_bins, dtype=np.float32), 1))
        split = _source(split)
        if split not in self._spectra:
            self._spectra[split] = self._long_term_spectrum(split)
        frequencies, shape = np.linspace(0, 1, n_bins), self._spectra[split]
        return np.interp(frequencies, np.linspace(0, 1, len(shape)), shape).astype(np.float32)

    def _long_term_spectrum(self, split):
        """Average the magnitude spectrum over an utterance of each speaker, or of many from the first to the last."""
        pool = self._pools[split]
        n_speakers = len(pool.groups.speakers)
        chosen = np.linspace(0, n_speakers - 1, min(n_speakers, MAX_SPECTRUM_SPEAKERS)).astype(int)
        names = [pool.names_of(number)[0] for number in chosen]
        signals = [self.speech.excerpt(name, 0, self.speech.length(name)) for name in names]
        powers = [welch(signal / max(signal.std(), 1e-6), nperseg=512)[1] for signal in signals if len(signal) >= 512]
        return np.sqrt(np.mean(powers, axis=0))

    def _babble(self, rng, length, split, speakers):
        """Add some people up, each as loud as the others."""
        total, others = np.zeros(length), self._talkers(split, speakers)
        for number in rng.choice(others, min(TALKERS, len(others)), replace=False):
            names = self._pools[_source(split)].names_of(number)
            name = names[rng.integers(len(names))]
            start = int(rng.integers(max(self.speech.length(name) - length, 0) + 1))
            talk = self.speech.excerpt(name, start, length)
            total += talk / max(talk.std(), 1e-6)
        return total

    def _talkers(self, split, speakers):
        """List who may babble in a mixture of some speakers: numbers in the pool."""
        numbers = self._pools[_source(split)].numbers if _source(split) in self._pools else {}
        others = np.delete(np.arange(len(numbers)), [numbers[speaker] for speaker in speakers if speaker in numbers])
        left = min(len(others), len(numbers) - len(speakers))
        if left < MIN_TALKERS:
            raise UserError(f"babble needs {MIN_TALKERS} speakers besides those of a mixture, the split '{split}' "
                            f"has {max(left, 0)}; leave babble out of noise.kinds, or add speech.")
        return others

    def _excerpt(self, rng, length, split):
        """Cut a part that is not silent out of a file of the folder; a file that is too short is repeated."""
        files = self._files["train" if _source(split) == "train" else "scoring"]
        seconds = length / self.speech.sample_rate_hz
        for _ in range(DRAWS):
            file, whole = files[rng.integers(len(files))]
            start = rng.uniform(0, max(whole - seconds, 0))
            signal = audio.read_excerpt(file, start, seconds, self.speech.sample_rate_hz)
            if len(signal) and np.ptp(signal) > SILENT:
                return np.resize(signal, length)
        raise UserError(f"noise.folder: {DRAWS} excerpts in a row were silent, the last one of {file}; take silent "
                        "files out.")


class _Pool:
    """Give the utterances of each speaker of a table, by the speaker's number."""

    def __init__(self, utterances):
        self.groups = BySpeaker(utterances)
        self.numbers = {speaker: number for number, speaker in enumerate(self.groups.speakers)}
        self._names = utterances["utterance"].to_numpy(object)

    def names_of(self, number):
        return self._names[self.groups.rows_of(number)]


def _source(split: str) -> str:
    """Return the split whose speech and files the noise in mixtures of a split is made of."""
    return "train" if split in ("validation", "train-validation") else split


def scaled(noise: np.ndarray, speech: np.ndarray, snr_db: float) -> np.ndarray:
    """Bring noise to a signal-to-noise ratio: the speech's power over the noise's.

    Args:
        noise: float32 `[N]` with a mean square of 1.
        speech: float32 `[N]`, all speakers together.
        snr_db: the ratio in dB.

    Returns:
        float32 `[N]`.
    """
    return (noise * np.sqrt(np.mean(speech**2)) * 10 ** (-snr_db / 20)).astype(np.float32)


def _audio_files(folder: Path) -> dict[Path, float]:
    """List the audio files of a folder by name, at least one each for training and scoring, and their seconds."""
    if not folder.is_dir():
        raise UserError(f"noise.folder={folder} is no folder; give one with recordings of noise.")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES
                   and not file.name.startswith("."))
    if len(files) < 2:
        raise UserError(f"noise.folder={folder} holds {len(files)} audio files, but training and scoring need one "
                        "each; add some (WAV, FLAC, OGG or MP3).")
    seconds = {}
    for file in tqdm(files, "noise.folder", unit=" files", leave=False, disable=None):
        with audio.open_file(file) as opened:
            seconds[file] = opened.frames / opened.samplerate
    return seconds
