"""LibriMix's metadata, LibriSpeech and WHAM!'s noise become the mixtures of Libri2Mix or Libri3Mix, sample by sample.

    libri2mix_test-clean.csv, LibriSpeech/, wham_noise/ -> mixtures [N] and sources [S, N] at 8 or 16 kHz

The signals are those of the files that LibriMix's script `create_librimix_from_metadata.py` writes (Cosentino et al.
2020, arXiv 2005.11262; github.com/JorisCos/LibriMix, MIT licence, commit b898ca3):

1. Each source is read as float32 at 16 kHz and multiplied by its gain.
2. The noise is the first channel of its file, cut to the longest source. Where it is shorter, it is repeated with
   cross-fades of half a second. It is multiplied by its gain.
3. `scipy.signal.resample_poly` brings all signals to the rate of the set.
4. "min" cuts all signals to the shortest, "max" appends zeros up to the longest.
5. `mix_clean` is the sum of the sources, `mix_both` adds the noise, `mix_single` is the first source and the noise.
6. Sources and mixtures are written as 16-bit WAV files by libsndfile, which cuts at full scale. The mixture is summed
   before it is rounded, so it differs from the sum of the written sources.

The metadata has the columns `mixture_ID`, `source_i_path` (below LibriSpeech's folder), `source_i_gain`, `noise_path`
(below WHAM!'s folder of noise) and `noise_gain`. `SPEAKERS.TXT` of LibriSpeech gives the sexes.
"""

import io
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from scipy.signal import resample_poly
from tqdm import tqdm

from lab41_sce.data.benchmark_set import (
    BenchmarkMixture,
    BenchmarkSet,
    SpeakerSexes,
    mixture_of_files,
    read_whole,
    stated_length,
)
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError, reason

MIXTURES = ("mix_clean", "mix_both", "mix_single")
SOURCE_RATE_HZ = 16000  # of LibriSpeech and of WHAM!'s noise
MIN_NOISE_SAMPLES = SOURCE_RATE_HZ // 2 + 1  # of a cross-fade


def load_librimix(metadata: Path, librispeech: Path, noise: Path | None, n_speakers: int, sample_rate_hz: int = 8000,
                  length: str = "min", mixture: str = "mix_clean", sexes: Path | None = None,
                  first: int | None = None) -> BenchmarkSet:
    """Load Libri2Mix or Libri3Mix from its metadata; nothing is written.

    Args:
        metadata: CSV file of LibriMix, such as `libri2mix_test-clean.csv`.
        librispeech: folder that contains the subset, such as `test-clean`.
        noise: WHAM!'s folder `wham_noise`; needed for `mix_both` and `mix_single`.
        n_speakers: sources in each row, 2 or 3.
        sample_rate_hz: one of `benchmark_set.RATES_HZ`.
        length: one of `benchmark_set.LENGTHS`.
        mixture: one of `MIXTURES`.
        sexes: table of the speakers' sexes; None takes SPEAKERS.TXT of `librispeech`, if it exists.
        first: number of mixtures to load; None loads all.

    Raises:
        UserError: a table or a sound file is missing or has another form or sample rate.
    """
    rows = _read_metadata(metadata, n_speakers)[:first]
    if noise is None and mixture != "mix_clean":
        raise UserError(f"{mixture} of LibriMix needs WHAM!'s noise; give its folder with --noise.")
    if sexes is None and (librispeech / "SPEAKERS.TXT").exists():
        sexes = librispeech / "SPEAKERS.TXT"
    table, mixtures = SpeakerSexes(sexes), []
    for row in tqdm(rows, "checking files", unit=" mixtures", leave=False, disable=None):
        paths = [librispeech / row[f"source_{place}_path"] for place in range(1, n_speakers + 1)]
        lengths = [stated_length(path, SOURCE_RATE_HZ) for path in paths]
        files = list(zip(paths, lengths, strict=True))
        if mixture != "mix_clean":
            assert noise is not None
            path = noise / row["noise_path"]
            files.append((path, stated_length(path, SOURCE_RATE_HZ)))
            if files[-1][1] <= MIN_NOISE_SAMPLES:
                raise UserError(f"{path} is too short to be repeated with cross-fades; give WHAM!'s noise.")
        gains = [row[f"source_{place}_gain"] for place in range(1, n_speakers + 1)] + [row["noise_gain"]]
        # LibriSpeech names its files SPEAKER-CHAPTER-NUMBER.
        speakers = tuple(path.name.partition("-")[0] for path in paths)[: 1 if mixture == "mix_single" else None]
        read = partial(_read, files, gains, n_speakers, sample_rate_hz, length, mixture, speakers)
        mixtures.append(BenchmarkMixture(row["mixture_ID"], table.kind(speakers), speakers, read))
    part = re.sub(r"^libri\dmix_", "", metadata.stem)
    return BenchmarkSet(f"libri{n_speakers}mix {part} {mixture} {length} {sample_rate_hz} Hz", sample_rate_hz,
                        tuple(mixtures), corpus="librispeech")


def _read_metadata(path: Path, n_speakers: int) -> list[dict[str, Any]]:
    """Read the rows of a metadata file: names as text, gains as float."""
    columns = [f"source_{place}_{what}" for place in range(1, n_speakers + 1) for what in ("path", "gain")]
    columns = ["mixture_ID", *columns, "noise_path", "noise_gain"]
    try:
        # The default parser of pandas rounds some numbers to a neighbour of the nearest float.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=columns)[columns]
        gains = {name: float for name in columns if name.endswith("_gain")}
        table = table.astype(gains)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} cannot be read as metadata of Libri{n_speakers}Mix ({reason(error)}); give a file "
                        f"such as libri{n_speakers}mix_test-clean.csv of LibriMix.") from None
    if not len(table):
        raise UserError(f"{path} has no mixtures; give a file such as libri{n_speakers}mix_test-clean.csv of LibriMix.")
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _read(files: Sequence[tuple[Path, int]], gains: Sequence[float], n_speakers: int, sample_rate_hz: int, length: str,
          mixture: str, speakers: tuple[str, ...]) -> Mixture:
    """Mix one row."""
    longest = max(n_samples for _, n_samples in files[:n_speakers])
    signals = [read_whole(*file) for file in files]
    signals[n_speakers:] = [extend_noise(noise[:longest], longest) for noise in signals[n_speakers:]]
    signals = [resample_poly(signal * gain, sample_rate_hz, SOURCE_RATE_HZ)
               for signal, gain in zip(signals, gains, strict=False)]  # mix_clean has a gain more than signals
    signals = fit_lengths(signals, length)
    mixed = signals[:1] + signals[n_speakers:] if mixture == "mix_single" else signals
    total = np.zeros_like(signals[0])
    for signal in mixed:  # one by one, in float32, as the script does
        total += signal
    sources = np.stack([as_written(signal, sample_rate_hz) for signal in signals[: len(speakers)]])
    return mixture_of_files(as_written(total, sample_rate_hz), sources, speakers)


def extend_noise(noise: np.ndarray, length: int) -> np.ndarray:
    """Repeat noise `[n]` with cross-fades of half a second until it has `length` samples."""
    window = np.hanning(SOURCE_RATE_HZ + 1)
    rising, fade, extended = window[:MIN_NOISE_SAMPLES], MIN_NOISE_SAMPLES, noise
    while len(extended) < length:
        joint = extended[-fade:] * rising[::-1] + noise[:fade] * rising
        extended = np.concatenate([extended[:-fade], joint, noise[fade:]])
    return extended[:length]


def fit_lengths(signals: Sequence[np.ndarray], length: str) -> list[np.ndarray]:
    """Cut signals to the shortest ("min"), or append zeros up to the longest ("max")."""
    lengths = [len(signal) for signal in signals]
    if length == "min":
        return [signal[: min(lengths)] for signal in signals]
    return [np.pad(signal, (0, max(lengths) - len(signal))) for signal in signals]


def as_written(signal: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return a signal `[N]` as a 16-bit WAV file of libsndfile contains it, float32 `[N]`."""
    file = io.BytesIO()
    soundfile.write(file, signal, sample_rate_hz, "PCM_16", format="WAV")
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]
