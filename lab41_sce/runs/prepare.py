"""A configuration becomes the parts of a training: speech, mixtures, noise, rooms, validation set, front end, network.

The speech comes from the corpus of `corpus.root` and from those of `corpus.added`. The experiment and the PyTorch
trainer both start from `prepare`, so they train on the same mixtures.
"""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from lab41_sce.data import splits
from lab41_sce.data.corpus import join_corpora, load_corpus
from lab41_sce.data.evaluation_set import add_noise, add_noise_at, draw_evaluation_set
from lab41_sce.data.noise import Noise
from lab41_sce.data.rooms import RoomBank
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.settings import CorpusSettings
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.evaluation.perceptual import check_metrics
from lab41_sce.evaluation.validation import validate
from lab41_sce.methods.base import Setup
from lab41_sce.runs.config_schema import Settings
from lab41_sce.runs.earlier_models import check_earlier_models


@dataclass(frozen=True)
class Prepared:
    """The parts that training and scoring share.

    Attributes:
        settings: all settings of the experiment.
        setup: front end, network and speakers, from which systems are built.
        speech: the signals.
        utterances: table of the utterances with their `split`, at all training speeds.
        noise: draws noise.
        validation: frozen mixtures of validation speakers, in no rooms.
        rooms: the rooms of the training mixtures; None without any.
    """

    settings: Settings
    setup: Setup
    speech: Speech
    utterances: pd.DataFrame
    noise: Noise
    validation: pd.DataFrame
    rooms: RoomBank | None = None

    def mixtures(self, split: str, rows: slice = slice(None)) -> TrainingMixtures:
        """Return the random mixtures of a split of the trained speakers.

        Args:
            split: "train" or "train-validation".
            rows: of every batch, where several workers share it.
        """
        snr_db = self.settings.noise.training_snr_db
        table = self.utterances[self.utterances["split"] == split]
        mixtures = partial(TrainingMixtures, self.speech, table, self.setup.speakers, self.settings.mixtures,
                           self.setup.front_end.pre_emphasis, self.settings.seed, rows=rows,
                           rooms=self.rooms, room_settings=self.settings.rooms)
        return mixtures() if snr_db is None else mixtures(noise=self.noise, snr_db=(snr_db[0], snr_db[1]))

    def training_noise_files(self) -> pd.DataFrame | None:
        """Return the files of the folder of noise (`Noise.files`) if the training uses them, else None."""
        settings = self.settings.noise
        return self.noise.files if settings.training_snr_db is not None and "folder" in settings.kinds else None

    def held_out_batches(self) -> list[dict[str, np.ndarray]]:
        """Draw batches of held-out utterances of the trained speakers, as hard as those after the curriculum.

        There are none where too few speakers, or too few of one sex, have held-out utterances.
        """
        held_out = self.utterances[self.utterances["split"] == "train-validation"]
        if held_out["speaker"].nunique() < max(self.settings.mixtures.shares):
            return []
        try:
            mixtures = self.mixtures("train-validation")
        except UserError:  # of `same_sex`: these speakers are fewer than those of the training
            return []
        first = self.settings.mixtures.curriculum_batches
        return [mixtures.batch(first + number) for number in range(self.settings.validation.batches)]

    def validate(self, model: Any) -> dict[str, float]:
        """Separate the validation mixtures with a model: mean SI-SDR improvement in dB, of all and by kind."""
        return validate(model, self.speech, self.validation, self.noise)

    def evaluation_mixtures(self) -> pd.DataFrame:
        """Draw the frozen mixtures to score on: all splits without noise, then at each signal-to-noise ratio.

        Raises:
            UserError: a split has too few speakers or too little speech, or a metric cannot be computed.
        """
        check_metrics(self.settings.evaluation.metrics, self.setup.front_end.sample_rate_hz)
        evaluation, noise_settings = self.settings.evaluation, self.settings.noise
        if noise_settings.evaluation_snr_db:
            self.noise.require(evaluation.splits, self.setup.n_speakers)
        clean = pd.concat([
            draw_evaluation_set(self.speech, self.utterances, split, n_speakers=self.setup.n_speakers,
                                n_per_kind=evaluation.per_kind, seconds=evaluation.seconds,
                                pre_emphasis=self.setup.front_end.pre_emphasis,
                                level_range_db=evaluation.level_range_db, seed=evaluation.seed,
                                join=evaluation.join)
            for split in evaluation.splits])
        noisy = [add_noise_at(clean, self.noise, snr_db, evaluation.seed)
                 for snr_db in noise_settings.evaluation_snr_db]
        return pd.concat([clean, *noisy])


def load_speech_table(corpus: CorpusSettings) -> pd.DataFrame:
    """Return the table of the utterances of a corpus, without those of `corpus.added`."""
    others = ("name", "licence", "added")
    return load_corpus(**{name: value for name, value in asdict(corpus).items() if name not in others})


def split_speakers(settings: Settings, utterances: pd.DataFrame) -> pd.DataFrame:
    """Return a table of utterances of `corpus.root` with the column `split`."""
    chosen = settings.splits
    return splits.split(utterances, settings.mixtures.n_speakers, settings.corpus.unseen_subsets,
                        chosen.unseen_fraction, chosen.validation_fraction, chosen.seed)


def load_split_speech(settings: Settings) -> pd.DataFrame:
    """Return the table of the utterances of all corpora with the column `split`.

    Raises:
        UserError: a corpus cannot be loaded, or has too few speakers.
    """
    return add_corpora(split_speakers(settings, load_speech_table(settings.corpus)), settings)


def load_listed_speech(settings: Settings, listed: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the utterances of all corpora, those of `corpus.root` with the splits of a list.

    Args:
        settings: of the experiment.
        listed: the splits.csv of another run; other utterances of `corpus.root` are left out.

    Raises:
        UserError: a corpus cannot be loaded, it lacks utterances that the list has for training or validation, or the
            list gives an utterance of `corpus.added` another split.
    """
    first = load_speech_table(settings.corpus).merge(listed[["utterance", "split"]], on="utterance")
    joined = add_corpora(first, settings)
    needed = listed.loc[listed["split"].isin(["train", "train-validation", "validation"]), "utterance"]
    missing = needed[~needed.isin(joined["utterance"])]
    if len(missing):
        raise UserError(f"{len(missing)} of the {len(needed)} utterances that splits.csv lists for training and "
                        f"validation are missing (the first: {missing.iloc[0]}); give the speech of that run.")
    both = joined.merge(listed[["utterance", "split"]], on="utterance", suffixes=("", "_listed"))
    different = both[both["split"] != both["split_listed"]]
    if len(different):
        row = different.iloc[0]
        raise UserError(f"splits.csv has {row['utterance']} in {row['split_listed']}, but the settings put it into "
                        f"{row['split']}; use the settings corpus.added and splits of that run.")
    return joined


def add_corpora(first: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Add the utterances of `corpus.added` to those of the first corpus.

    Args:
        first: table of the utterances of `corpus.root` with the column `split`.
        settings: of the experiment; `splits.added_train_only` decides which splits the added corpora have.

    Returns:
        The table of all corpora; the rows of `first` come first and stay as they are.

    Raises:
        UserError: an added corpus cannot be loaded, has too few speakers, or contains speech of another corpus.
    """
    added = {}
    for name, corpus in sorted(settings.corpus.added.items()):
        try:
            table = load_speech_table(corpus)
            if settings.splits.added_train_only:
                added[name] = splits.split_by_subset(table, corpus.unseen_subsets)
            else:
                added[name] = split_speakers(replace(settings, corpus=corpus), table)
        except UserError as error:
            raise UserError(f"corpus.added.{name}: {error}") from None
    joined = join_corpora(first, added)
    splits.verify(joined)
    return joined


def load_rooms(settings: Settings) -> RoomBank | None:
    """Load the rooms of the training mixtures, if there are some.

    Raises:
        UserError: the bank cannot be read, or its rooms have too few places.
    """
    if settings.rooms.file is None:
        return None
    rooms = RoomBank.load(settings.rooms.file, settings.front_end.sample_rate_hz)
    rooms.require(max(settings.mixtures.shares))
    return rooms


def prepare(config: DictConfig, settings: Settings, recorded: pd.DataFrame, folder: Path | None = None) -> Prepared:
    """Build the parts that training and scoring share.

    Args:
        config: the composed configuration, of which the front end and the network are built.
        settings: the checked settings of `config`.
        recorded: table of utterances with the column `split`.
        folder: of the run.

    Raises:
        UserError: the speech does not suffice for the mixtures or the noise, or a trained model with which the training
            begins knows an unseen speaker.
    """
    check_earlier_models(config, recorded)
    front_end, network = instantiate(config.front_end), instantiate(config.network)
    utterances = splits.perturb_speed(recorded, settings.mixtures.speeds)
    speech = Speech(utterances, front_end.sample_rate_hz, settings.mixtures.in_memory)
    setup = Setup(front_end, network, settings.mixtures.n_speakers, tuple(splits.trained_speakers(utterances)), speech,
                  utterances[utterances["split"] == "train"], folder)
    noise = Noise(speech, utterances, settings.noise.kinds, settings.noise.folder, settings.corpus.check)
    validation = draw_evaluation_set(speech, utterances, "validation", n_speakers=setup.n_speakers,
                                     n_per_kind=settings.validation.per_kind, seconds=settings.validation.seconds,
                                     pre_emphasis=front_end.pre_emphasis, seed=settings.evaluation.seed)
    snr_db = settings.noise.training_snr_db
    if snr_db is not None:
        noise.require(["train"], max(settings.mixtures.shares))
        validation = add_noise(validation, noise, (snr_db[0], snr_db[1]), settings.evaluation.seed)
    return Prepared(settings, setup, speech, utterances, noise, validation, load_rooms(settings))
