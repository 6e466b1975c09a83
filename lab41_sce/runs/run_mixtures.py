"""The folder of a run becomes the mixtures that it was scored on, and the batches that it was trained on.

    RUN/config.yaml, evaluation.csv -> load_run -> BenchmarkSet, evaluation_mixtures -> MixtureDataset
    RUN/config.yaml, splits.csv     -> training_batches -> TrainingBatches

The speech is read from the place that config.yaml names. The folder may be a stranger's: its settings are plain data,
and nothing that they name is called.
"""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from lab41_sce.data import splits
from lab41_sce.data.benchmark_set import BenchmarkSet
from lab41_sce.data.datasets import MixtureDataset, TrainingBatches
from lab41_sce.data.evaluation_set import frozen_evaluation_set
from lab41_sce.data.noise import Noise, source_split
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.settings import CorpusSettings
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError, reason
from lab41_sce.runs import recorded_speech
from lab41_sce.runs.config_schema import GROUPS, Settings
from lab41_sce.runs.prepare import load_listed_speech, load_rooms, load_split_speech
from lab41_sce.runs.renamed_settings import load_config
from lab41_sce.setting import check_fields, defaults


def evaluation_mixtures(run: str | Path, split: str = "unseen") -> MixtureDataset:
    """Return the mixtures that a run was scored on as a dataset.

    Args:
        run: folder of the run.
        split: in the column `split` of evaluation.csv, such as "unseen" or "unseen, SNR 5 dB".

    Raises:
        UserError: as in `load_run`.
    """
    return MixtureDataset(load_run(Path(run), split))


def training_batches(run: str | Path, n_batches: int) -> TrainingBatches:
    """Return the first batches of random mixtures that the systems of a run were trained on as a dataset.

    Args:
        run: folder of the run.
        n_batches: number of batches.

    Raises:
        UserError: the run cannot be read, its speech is missing, or its mixtures have no signals (`TrainingBatches`).
    """
    folder, settings = Path(run), read_settings(Path(run))
    listed = _read_splits(folder / "splits.csv") if (folder / "splits.csv").exists() else None
    recorded = _load_speech(folder, settings, listed)
    _require_recorded(recorded, settings, folder)
    utterances = splits.perturb_speed(recorded, settings.mixtures.speeds)
    speech = Speech(utterances, settings.front_end.sample_rate_hz, settings.mixtures.in_memory)
    noise, (low, high) = None, settings.noise.training_snr_db or (0.0, 0.0)
    if settings.noise.training_snr_db is not None:
        noise = Noise(speech, utterances, settings.noise.kinds, settings.noise.folder, settings.corpus.check)
        if "folder" in settings.noise.kinds and (folder / recorded_speech.NOISE).exists():
            recorded_speech.require_same_noise(noise.files, folder / recorded_speech.NOISE)
    rooms = load_rooms(settings)
    if rooms and (folder / recorded_speech.ROOMS).exists():
        recorded_speech.require_same_rooms(rooms.files, folder / recorded_speech.ROOMS)
    train = utterances[utterances["split"] == "train"]
    mixtures = TrainingMixtures(speech, train, splits.trained_speakers(utterances), settings.mixtures,
                                settings.front_end.pre_emphasis, settings.seed, noise, (low, high),
                                rooms=rooms, room_settings=settings.rooms)
    return TrainingBatches(mixtures, n_batches)


def load_run(run: Path, split: str, first: int | None = None) -> BenchmarkSet:
    """Load the mixtures of one split that a run was scored on.

    Args:
        run: folder of the run.
        split: in the column `split` of evaluation.csv.
        first: number of mixtures to load; None loads all.

    Raises:
        UserError: the run has no evaluation set or no such split, or its speech is missing or has changed.
    """
    mixtures, settings = read_evaluation_set(run), read_settings(run)
    of_split = mixtures[mixtures["split"] == split].dropna(axis="columns", how="all")[:first]
    if not len(of_split):
        raise UserError(f"{run} has no mixtures of the split {split!r}; give one of "
                        f"{', '.join(map(repr, mixtures['split'].unique()))}.")
    speech, noise = load_evaluation_speech(run, settings, of_split)
    corpus = ""
    if splits.base_split(split) in splits.UNKNOWN_SPEAKERS:  # the other splits are scored with their own training
        corpus = "embedded" if settings.corpus.root is None else settings.corpus.name.removeprefix("mini_")
    return frozen_evaluation_set(f"{settings.name} {split}", speech, of_split, noise, corpus)


def read_evaluation_set(run: Path) -> pd.DataFrame:
    """Read evaluation.csv of a run.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    path = run / "evaluation.csv"
    try:
        names = {name: str for name in pd.read_csv(path, nrows=0) if re.fullmatch(r"(utterance|speaker)_\d+", name)}
        types = {"mixture": str, "split": str, "sample_rate_hz": int, "noise_files": str, **names}
        mixtures = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
        numbers = [name.removeprefix("utterance_") for name in names if name.startswith("utterance_")]
        needed = ["mixture", "split", "kind", "sample_rate_hz", "length", "utterance_1",
                  *(f"{column}_{number}" for number in numbers for column in ("speaker", "start", "gain"))]
        if lacking := [name for name in needed if name not in mixtures]:
            raise ValueError(f"it has no column {lacking[0]}")
        return mixtures
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); give the folder of a run whose systems were scored."
                        ) from None


def load_evaluation_speech(run: Path, settings: Settings, mixtures: pd.DataFrame) -> tuple[Speech, Noise | None]:
    """Load the speech and the noise that an evaluation set of a run refers to.

    Args:
        run: folder of the run.
        settings: of the run.
        mixtures: the evaluation set.

    Raises:
        UserError: speech is missing, or the speech or the noise has changed.
    """
    utterances = _load_speech(run, settings)
    _require_recorded(utterances, settings, run)
    has_noise = "noise" in mixtures
    named = {part for names in mixtures.filter(regex=r"^utterance_\d+$").stack() for part in (names, *names.split("+"))}
    if has_noise:  # drawn from all speech of some splits, at all speeds of the training
        scored = {*map(splits.base_split, mixtures["split"])}
        utterances = splits.perturb_speed(utterances, settings.mixtures.speeds)
        needed = utterances[utterances["split"].isin(scored | {*map(source_split, scored)})]
    else:
        needed = utterances[utterances["utterance"].isin(named)]
    speech = Speech(needed, int(mixtures["sample_rate_hz"].iloc[0]), settings.mixtures.in_memory)
    if not has_noise:
        return speech, None
    noise = Noise(speech, needed, settings.noise.kinds, settings.noise.folder, settings.corpus.check)
    recorded = mixtures["noise_files"].dropna() if "noise_files" in mixtures else pd.Series(dtype=str)
    noise_files = {*recorded.str.removesuffix(".0")}  # 1234.0 beside mixtures without noise
    if noise_files - {str(noise.fingerprint)}:
        raise UserError(f"the noise of {run} was drawn from other files than those in its noise.folder now; restore "
                        "these files.")
    return speech, noise


def _load_speech(run: Path, settings: Settings, listed: pd.DataFrame | None = None) -> pd.DataFrame:
    """Load the listed utterances of a run, or split its speech; a message names the file that states the place."""
    try:
        return load_split_speech(settings) if listed is None else load_listed_speech(settings, listed)
    except UserError as error:
        raise UserError(f"{run / 'config.yaml'}: {error}") from None


def read_settings(run: Path) -> Settings:
    """Read the settings of a run; a setting that did not exist when the run began has its default.

    Raises:
        UserError: config.yaml cannot be read, or a value is not possible.
    """
    kept = load_config(run)
    groups = {name: _group(settings, kept.get(name), name) for name, settings in GROUPS.items()}
    groups["corpus"].added = {name: _group(CorpusSettings, corpus, f"corpus.added.{name}")
                              for name, corpus in groups["corpus"].added.items()}
    values = {name: kept.get(name, value) for name, value in defaults(Settings).items() if name not in GROUPS}
    check_fields(Settings, values)
    return Settings(**values, **groups)


def _group(settings: type, kept: object, name: str) -> Any:
    """Return the settings of a group that a run has kept."""
    if not isinstance(kept, dict | None):
        raise UserError(f"{name}={kept} in config.yaml is no group of settings; restore the file from a copy.")
    values = {key: (kept or {}).get(key, value) for key, value in defaults(settings).items()}
    check_fields(settings, values, name)
    return settings(**values)


def _require_recorded(utterances: pd.DataFrame, settings: Settings, run: Path) -> None:
    """Raise UserError if the speech has changed since the run recorded it."""
    if (run / recorded_speech.NAME).exists():
        now = recorded_speech.speech_table(utterances, settings.corpus.check)
        recorded_speech.require_same_speech(now, run / recorded_speech.NAME)


def _read_splits(path: Path) -> pd.DataFrame:
    """Read the splits.csv of a run."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, usecols=["utterance", "split"])
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); restore the file from a copy.") from None
