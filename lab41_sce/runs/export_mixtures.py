"""The evaluation set of a run becomes audio files in the layout of LibriMix: mix, s1, s2, ... and noise.

    RUN/config.yaml, splits.csv, evaluation.csv -> DIR/SPLIT/mix/NAME.wav, s1/NAME.wav, s2/NAME.wav, noise/NAME.wav

In every file, a mixture is exactly the sum of its sources and its noise:

| encoding | samples |
| --- | --- |
| `float` | those that the run was scored on; they may exceed full scale |
| `16` | all signals times one factor for each mixture: the largest sample becomes half of full scale |
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from lab41_sce import audio
from lab41_sce.atomic_write import lock, make_folder, write_text
from lab41_sce.data import splits
from lab41_sce.data.evaluation_set import load_mixture
from lab41_sce.data.mixture import Mixture
from lab41_sce.data.noise import Noise, source_split
from lab41_sce.data.settings import CorpusSettings
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.runs import recorded_speech
from lab41_sce.runs.config_schema import GROUPS, Settings
from lab41_sce.runs.prepare import load_split_speech
from lab41_sce.runs.renamed_settings import load_config
from lab41_sce.setting import check_fields, defaults

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
    mixtures = _read_evaluation_set(run)
    speech, noise = _speech(run, mixtures)
    noise_files = {*mixtures["noise_files"].dropna()} if "noise_files" in mixtures else set()
    if noise is not None and noise_files - {str(noise.fingerprint)}:
        raise UserError(f"the noise of {run} was drawn from other files than those in its noise.folder now; restore "
                        "these files.")
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


def _read_evaluation_set(run: Path) -> pd.DataFrame:
    """Read evaluation.csv of a run."""
    path = run / "evaluation.csv"
    try:
        names = {name: str for name in pd.read_csv(path, nrows=0) if re.fullmatch(r"(utterance|speaker)_\d+", name)}
        types = {"mixture": str, "split": str, "sample_rate_hz": int, "noise_files": str, **names}
        return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({str(error).splitlines()[0]}); give the folder of a run whose systems "
                        "were scored.") from None


def _speech(run: Path, mixtures: pd.DataFrame) -> tuple[Speech, Noise | None]:
    """Return the speech and the noise that an evaluation set refers to, from the settings of the run."""
    settings = _settings(run)
    utterances = load_split_speech(settings)
    if (run / recorded_speech.NAME).exists():
        recorded = recorded_speech.speech_table(utterances, settings.corpus.check)
        recorded_speech.require_same_speech(recorded, run / recorded_speech.NAME)
    has_noise = "noise" in mixtures
    named = {part for names in mixtures.filter(regex=r"^utterance_\d+$").stack() for part in (names, *names.split("+"))}
    if has_noise:  # drawn from all speech of some splits, at all speeds of the training
        scored = {*map(splits.base_split, mixtures["split"])}
        utterances = splits.perturb_speed(utterances, settings.mixtures.speeds)
        needed = utterances[utterances["split"].isin(scored | {*map(source_split, scored)})]
    else:
        needed = utterances[utterances["utterance"].isin(named)]
    speech = Speech(needed, int(mixtures["sample_rate_hz"].iloc[0]), settings.mixtures.in_memory)
    return speech, Noise(speech, needed, settings.noise.kinds, settings.noise.folder) if has_noise else None


def _settings(run: Path) -> Settings:
    """Return the settings of a run; a setting that did not exist when the run began has its default."""
    kept = load_config(run)
    groups = {name: _group(settings, kept.get(name), name) for name, settings in GROUPS.items()}
    groups["corpus"].added = {name: _group(CorpusSettings, corpus, f"corpus.added.{name}")
                              for name, corpus in groups["corpus"].added.items()}
    return Settings(**groups)


def _group(settings: type, kept: object, name: str) -> Any:
    """Return the settings of a group that a run has kept."""
    if not isinstance(kept, dict | None):
        raise UserError(f"{name}={kept} in config.yaml is no group of settings; restore the file from a copy.")
    values = {key: (kept or {}).get(key, value) for key, value in defaults(settings).items()}
    check_fields(settings, values, name)
    return settings(**values)


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
        if path.exists() and path.read_text("utf-8") != text:
            raise UserError(f"{folder} holds the mixtures of another list or in another encoding ({LIST}); choose "
                            "another folder.")
        if not path.exists():
            write_text(path, text)
        yield


def _file_name(name: str) -> str:
    """Return the name of a mixture or a split without spaces and commas."""
    return name.replace(", ", "_").replace(" ", "_")
