"""The settings of corpora, splits, training mixtures, noise and rooms, each with its default, unit and range."""

import math
from dataclasses import dataclass

from lab41_sce.data.noise import KINDS
from lab41_sce.errors import UserError
from lab41_sce.setting import setting

MIN_SPEED, MAX_SPEED = 0.5, 2.0


@dataclass
class CorpusSettings:
    """Where the speech comes from; `experiments/corpus/*.yaml` describes the known corpora."""

    name: str = setting("embedded", "Name of the corpus, part of the run's folder")
    root: str | None = setting("???", "Folder with SPEAKERS.TXT and the subsets, or of a store, which must be given; "
                               "null: the shipped corpus", free_on_resume=True, is_location=True)
    subsets: list[str] = setting(["synthetic"], "Subsets to train on")
    unseen_subsets: list[str] = setting([], "Subsets with the unseen speakers; without any, the unseen speakers are "
                                        "drawn by splits.unseen_fraction")
    utterances: str | None = setting(None, "CSV file with a column `utterance`; only these utterances are used",
                                     free_on_resume=True)
    download: bool = setting(False, "Whether to download missing subsets from OpenSLR", free_on_resume=True)
    min_seconds: float = setting(1.0, "Length of the shortest utterance that is used", unit="seconds", at_least=0.0)
    min_age: int | None = setting(None, "Age of the youngest speaker that is used; SPEAKERS.TXT must give all ages in "
                                  "its column NAME, like 'age 25'", unit="years", at_least=0)
    check: str = setting("samples", "What is checked before the run: samples decodes every file (of a store: compares "
                         "checksums), headers opens every file (of a store: compares headers, reads some utterances)",
                         choices=("samples", "headers"), free_on_resume=True)
    licence: str | None = setting(None, "Source and licence of the speech, for version.json, report and model card",
                                  free_on_resume=True)
    added: dict[str, "CorpusSettings"] = setting(
        {}, "Further corpora by name, each with these settings, like this: +corpus@corpus.added.NAME=NAME")


@dataclass
class SplitSettings:
    """How the speakers of a corpus are divided into those of training, of validation and unseen ones."""

    unseen_fraction: float = setting(0.25, "Fraction of the speakers of each sex that training never uses, where "
                                     "corpus.unseen_subsets is empty", at_least=0.0, at_most=1.0)
    validation_fraction: float = setting(0.1, "Fraction of the other speakers of each sex that choose the best model",
                                         at_least=1e-6, at_most=1.0)
    seed: int = setting(0, "Seed of the draw", at_least=0)
    added_train_only: bool = setting(True, "Whether all speakers of corpus.added train, except those of their "
                                     "unseen_subsets; false: each corpus is split like the first one")


@dataclass
class MixtureSettings:
    """How the mixtures that train are drawn."""

    n_speakers: int = setting(2, "Number of speakers in a mixture", at_least=2)
    speaker_shares: dict[int, float] | None = setting(
        None, "Share of the training mixtures with each number of speakers, like {1: 0.1, 2: 0.6, 3: 0.3}; null: all "
        "have n_speakers")
    seconds: float = setting(2.56, "Length of an excerpt; the default is 100 hops of 256 samples at 10 kHz",
                             unit="seconds", at_least=0.01)
    batch_size: int = setting(32, "Number of mixtures in an update", at_least=1)
    level_range_db: float = setting(0.0, "Width of the range from which the level of each speaker is drawn", unit="dB",
                                    at_least=0.0)
    speeds: list[float] = setting([1.0], "Factors of speed at which the training speech is played",
                                  at_least=MIN_SPEED, at_most=MAX_SPEED, distinct=True)
    response_db: float = setting(0.0, "Width of the range of the random, smooth frequency response of each speaker, "
                                 "which stands for other microphones", unit="dB", at_least=0.0)
    telephone: float = setting(0.0, "Share of mixtures whose speakers are limited to the band of a telephone, 300 to "
                               "3400 Hz; noise is not",
                               at_least=0.0, at_most=1.0)
    curriculum_batches: int = setting(0, "Number of easy batches at the start: the most frequent number of speakers, "
                                      "original speed, no noise", at_least=0)
    same_sex: float | None = setting(None, "Share of mixtures with speakers of one sex only; null: left to chance",
                                     at_least=0.0, at_most=1.0)
    in_memory: bool = setting(True, "Whether to keep the decoded speech in memory; false: decode every excerpt from "
                              "disk")
    workers: int = setting(0, "Number of processes that draw mixtures for each process that trains, each with a copy "
                           "of the speech in memory; 0: threads of the process that trains. The mixtures do not depend "
                           "on it",
                           at_least=0, free_on_resume=True)

    def __post_init__(self) -> None:
        """Raise UserError where the values do not go together."""
        if not self.speeds:
            raise UserError("mixtures.speeds=[] is not possible; give at least one factor, like this: [1.0].")
        shares = self.speaker_shares
        if shares is not None and not (shares and all(_is_count(count) and _is_positive(share)
                                                      for count, share in shares.items())):
            raise UserError(f"mixtures.speaker_shares={shares} is not possible; give a positive share for each number "
                            "of speakers, like this: '{1: 0.1, 2: 0.6, 3: 0.3}', or null.")

    @property
    def shares(self) -> dict[int, float]:
        """Share of the mixtures by number of speakers."""
        return dict(self.speaker_shares or {self.n_speakers: 1.0})


@dataclass
class NoiseSettings:
    """Which noise is added to mixtures (`lab41_sce/data/noise.py`)."""

    kinds: list[str] = setting(["white", "pink", "speech_shaped", "babble"], "Kinds of noise, all equally frequent",
                               choices=KINDS)
    folder: str | None = setting(None, "Folder with recordings of noise, for the kind `folder`; corpus.check=samples "
                                 "computes their checksums", free_on_resume=True)
    training_snr_db: list[float] | None = setting(
        None, "[lowest, highest] signal-to-noise ratio of the mixtures of training and validation; null: no noise",
        unit="dB")
    evaluation_snr_db: list[float] = setting([], "Signal-to-noise ratios at which the evaluation mixtures are scored, "
                                             "besides without noise", unit="dB", distinct=True, free_on_resume=True)

    def __post_init__(self) -> None:
        """Raise UserError where the values do not go together."""
        training = self.training_snr_db
        if training is not None and not (len(training) == 2 and training[0] <= training[1]):
            raise UserError(f"noise.training_snr_db={training} is not possible; give the lowest and the highest ratio "
                            "in dB, like this: '[-5, 15]', or null.")
        if (training or self.evaluation_snr_db) and not self.kinds:
            raise UserError(f"noise.kinds=[] is not possible with noise; give some of {', '.join(KINDS)}.")
        if "folder" in self.kinds and self.folder is None:
            raise UserError("noise.kinds contains folder, but noise.folder is null; give noise.folder=PATH.")
        if self.folder is not None and "folder" not in self.kinds:
            raise UserError(f"noise.folder={self.folder} would have no effect, since noise.kinds does not contain "
                            "folder; add it, like this: noise.kinds='[folder]', or remove noise.folder.")
        if self.folder is not None and training is None and not self.evaluation_snr_db:
            raise UserError(f"noise.folder={self.folder} would have no effect without noise; set noise.training_snr_db "
                            "or noise.evaluation_snr_db, or remove noise.folder.")


@dataclass
class RoomSettings:
    """In which rooms training mixtures are (`lab41_sce/data/rooms.py`)."""

    file: str | None = setting(None, "Bank of room responses that lab41-sce rooms has drawn; null: no rooms",
                               free_on_resume=True)
    share: float = setting(0.5, "Share of the training mixtures that are in a room", at_least=0.0, at_most=1.0)
    early_seconds: float = setting(0.05, "Largest delay of the reflections that belong to the voices; the later ones "
                                   "belong to the noise", unit="seconds", at_least=0.0)

    def __post_init__(self) -> None:
        """Raise UserError where the values do not go together."""
        if self.file is not None and self.share == 0:
            raise UserError(f"rooms.file={self.file} would have no effect with rooms.share=0; give a larger share, or "
                            "remove rooms.file.")


def _is_count(value: object) -> bool:
    """Return whether a key of `speaker_shares` is a number of speakers."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_positive(value: object) -> bool:
    """Return whether a value is a finite number above 0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
