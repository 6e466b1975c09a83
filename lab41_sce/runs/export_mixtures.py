"""The evaluation set of a run becomes audio files in the layout of LibriMix: mix, s1, s2, ... and noise.

    RUN/config.yaml, splits.csv, evaluation.csv -> DIR/SPLIT/mix/NAME.wav, s1/NAME.wav, s2/NAME.wav, noise/NAME.wav

In every file, a mixture is exactly the sum of its sources and its noise:

| encoding | samples |
| --- | --- |
| `float` | those that the run was scored on; they may exceed full scale |
| `16` | all signals times one factor for each mixture: the largest sample becomes half of full scale |
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.atomic_write import lock, make_folder, write_text
from lab41_sce.data.evaluation_set import load_mixture
from lab41_sce.data.mixture import Mixture
from lab41_sce.errors import UserError
from lab41_sce.runs.run_mixtures import load_evaluation_speech, read_evaluation_set, read_settings

ENCODINGS = {"float": "FLOAT", "16": "PCM_16"}
LIST = "mixtures.csv"  # in the folder of the files: the evaluation set and the encoding
PEAK = 0.5  # of full scale, for the largest sample of 16 bits


def export_mixtures(run: Path, folder: Path, encoding: str = "float") -> tuple[int, int]:
    """Write the mixtures, sources and noise of the evaluation set of a run as files.

    Args:
        run: folder of the run.
        folder: gets the files and the list of the mixtures, `mixtures.csv`. Files of an interrupted call are kept.
        encoding: one of `ENCODINGS`.

    Returns:
        The number of mixtures, and how many of them were there already.

    Raises:
        UserError: the run has no evaluation set, its speech is missing, the folder holds the mixtures of another list,
            or a file cannot be written.
    """
    mixtures = read_evaluation_set(run)
    speech, noise = load_evaluation_speech(run, read_settings(run), mixtures)
    rate_hz = speech.sample_rate_hz
    make_folder(folder)
    n_kept = 0
    with _same_list(mixtures, folder, encoding):
        for _, row in tqdm(mixtures.iterrows(), "writing", len(mixtures), unit=" mixtures", disable=None):
            place, name = folder / _file_name(row["split"]), f"{_file_name(row['mixture'])}.wav"
            if (place / "mix" / name).exists():  # written last
                n_kept += 1
                continue
            signals = _signals(load_mixture(speech, row, noise), encoding)
            for part, signal in signals.items():
                make_folder(place / part)
                audio.write(place / part / name, signal, rate_hz, ENCODINGS[encoding])
    return len(mixtures), n_kept


def _signals(mixture: Mixture, encoding: str) -> dict[str, np.ndarray]:
    """Return the signals of the files by folder, the mixture last: float32, or int16 of the encoding `16`."""
    parts = {f"s{number}": source for number, source in enumerate(mixture.sources, start=1)}
    if mixture.noise is not None:
        parts["noise"] = mixture.noise
    if encoding == "float":
        return parts | {"mix": mixture.signal}
    peak = max(np.abs(signal).max() for signal in (mixture.signal, *parts.values()))
    gain = PEAK * audio.FULL_SCALE / peak
    parts = {name: np.round(signal * gain).astype(np.int16) for name, signal in parts.items()}
    return parts | {"mix": np.sum([*parts.values()], axis=0, dtype=np.int16)}


@contextmanager
def _same_list(mixtures: pd.DataFrame, folder: Path, encoding: str) -> Iterator[None]:
    """Lock the folder, and write the list of its mixtures, unless it holds this list already."""
    text = mixtures.assign(encoding=encoding).to_csv(index=False)
    path = folder / LIST
    with lock(folder / ".lock", f"another call writes mixtures to {folder}; wait for it, or choose another folder."):
        if path.exists() and path.read_text("utf-8", "replace") != text:
            raise UserError(f"{folder} holds the mixtures of another list or in another encoding ({LIST}); choose "
                            "another folder.")
        if not path.exists():
            write_text(path, text)
        yield


def _file_name(name: str) -> str:
    """Return the name of a mixture or a split without spaces and commas."""
    return name.replace(", ", "_").replace(" ", "_")
