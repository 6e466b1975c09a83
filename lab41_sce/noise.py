"""Noise of several kinds, to be added to mixtures: what real rooms and streets do to them.

| kind | what |
| --- | --- |
| `white` | Gaussian, as much power at every frequency |
| `pink` | Gaussian, its power falls by 3 dB an octave |
| `speech_shaped` | Gaussian with the long-term spectrum of the corpus's speech |
| `babble` | several people at once, none of whom talks in the mixture |
| `folder` | excerpts of the user's own recordings, such as WHAM! or UrbanSound8K |

Babble and speech-shaped noise are made of a split's own utterances, so that those of unseen speakers are of speech that
training never heard; validation, whose split is small, takes the training speech. Of a folder, every fifth file by name
is kept for scoring.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import welch

from lab41_sce import audio
from lab41_sce.errors import UserError

KINDS = ("white", "pink", "speech_shaped", "babble", "folder")
TALKERS = 6  # in babble
FEWEST_TALKERS = 4
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


class Noise:
    """Draw noise.

    Args:
        speech: the signals, a `mixtures.Speech`.
        utterances: table with the columns `utterance`, `speaker`, `split`.
        folder: for the kind `folder`: searched with everything below it for audio files.

    Raises:
        UserError: the folder is not there, or holds too little audio.
    """

    def __init__(self, speech, utterances: pd.DataFrame, folder: str | Path | None = None):
        self.speech = speech
        self._pools = {split: of_split.groupby("speaker")["utterance"].apply(list).to_dict()
                       for split, of_split in utterances.groupby("split")}
        self._files = [] if folder is None else _audio_files(Path(folder))
        self._spectra = {}

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
            UserError: too few speakers for babble, or a file that cannot be read.
        """
        split = "train" if split in ("validation", "train-validation") else split
        if kind == "babble":
            noise = self._babble(rng, length, split, speakers)
        elif kind == "folder":
            noise = self._excerpt(rng, length, split)
        else:
            spectrum = np.fft.rfft(rng.standard_normal(length))
            noise = np.fft.irfft(spectrum * self._shape(kind, len(spectrum), split), length)
        noise = noise - noise.mean()
        return (noise / np.maximum(np.sqrt(np.mean(noise**2)), 1e-9)).astype(np.float32)

    def _shape(self, kind, n_bins, split):
        """Return the magnitude response `[n_bins]` of a kind."""
        if kind == "white":
            return np.ones(n_bins)
        if kind == "pink":
            return 1 / np.sqrt(np.maximum(np.arange(n_bins), 1))
        if split not in self._spectra:
            self._spectra[split] = self._long_term_spectrum(split)
        frequencies = np.linspace(0, 1, n_bins)
        return np.interp(frequencies, np.linspace(0, 1, len(self._spectra[split])), self._spectra[split])

    def _long_term_spectrum(self, split):
        """Average the magnitude spectrum over an utterance of each speaker."""
        names = [names[0] for names in self._pools[split].values()]
        signals = [self.speech.excerpt(name, 0, self.speech.length(name)) for name in names]
        powers = [welch(signal / max(signal.std(), 1e-6), nperseg=512)[1] for signal in signals if len(signal) >= 512]
        return np.sqrt(np.mean(powers, axis=0))

    def _babble(self, rng, length, split, speakers):
        """Add some people up, each as loud as the others."""
        others = sorted(set(self._pools[split]) - set(speakers))
        if len(others) < FEWEST_TALKERS:
            raise UserError(f"babble needs {FEWEST_TALKERS} speakers besides those of a mixture, the split '{split}' "
                            f"has {len(others)}; leave babble out of noise.kinds, or add speech.")
        total = np.zeros(length)
        for speaker in rng.choice(others, min(TALKERS, len(others)), replace=False):
            names = self._pools[split][speaker]
            name = names[rng.integers(len(names))]
            start = int(rng.integers(max(self.speech.length(name) - length, 0) + 1))
            talk = self.speech.excerpt(name, start, length)
            total += talk / max(talk.std(), 1e-6)
        return total

    def _excerpt(self, rng, length, split):
        """Cut a part out of a file of the folder; a file that is too short is repeated."""
        scoring = self._files[::5]
        files = [file for file in self._files if file not in scoring] if split == "train" else scoring
        signal = audio.read_mono(files[rng.integers(len(files))], self.speech.sample_rate_hz)
        signal = np.tile(signal, -(-length // len(signal)))
        start = int(rng.integers(len(signal) - length + 1))
        return signal[start : start + length]


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


def _audio_files(folder: Path) -> list[Path]:
    """List the audio files of a folder by name, at least one each for training and scoring."""
    if not folder.is_dir():
        raise UserError(f"noise.folder={folder} is no folder; give one with recordings of noise.")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if len(files) < 2:
        raise UserError(f"noise.folder={folder} holds {len(files)} audio files, but training and scoring need one "
                        "each; add some (WAV, FLAC, OGG or MP3).")
    return files
