"""A table of utterances becomes splits that keep training, validation and evaluation apart.

Every utterance gets one of five splits (column `split`):

| split | speakers | utterances | purpose |
| --- | --- | --- | --- |
| `train` | trained | 80 % | training mixtures |
| `train-validation` | trained | 10 % | the training loss on other utterances |
| `in-set` | trained | 10 % | evaluation on speakers that are known from training |
| `validation` | not trained | all | early stopping, choice of the checkpoint, tuning |
| `unseen` | neither trained nor tuned on | all | evaluation on unknown speakers |

The original code also divides the utterances of a speaker into 80/10/10 %. All utterances of a speaker with fewer than
five are in `train`.

A corpus that is added to the first one only trains (`split_by_subset`), unless its settings ask for more.

With noise at one signal-to-noise ratio, a split has a name such as "unseen, SNR 5 dB".
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lab41_sce.errors import UserError

TRAINED_SPEAKERS = ("train", "train-validation", "in-set")
UNKNOWN_SPEAKERS = ("validation", "unseen")
SPLITS = TRAINED_SPEAKERS + UNKNOWN_SPEAKERS


def split(utterances: pd.DataFrame, n_speakers: int, unseen_subsets: Sequence[str] = (), unseen_fraction: float = 0.25,
          validation_fraction: float = 0.1, seed: int = 0) -> pd.DataFrame:
    """Assign every utterance to a split, at random, balanced by sex.

    Args:
        utterances: table of `load_corpus`.
        n_speakers: S, speakers in a mixture; `validation` and `unseen` get at least S speakers of each sex.
        unseen_subsets: if given, the unseen speakers are those of these subsets.
        unseen_fraction: otherwise, the fraction of the speakers of each sex that is unseen.
        validation_fraction: fraction of the other speakers of each sex that is used for validation.
        seed: of the random draw.

    Returns:
        The table with the column `split` added.

    Raises:
        UserError: there are too few speakers.
    """
    rng = np.random.default_rng([seed, 1])
    groups = SpeakerIndex(utterances)
    sexes = utterances["sex"].to_numpy()[groups.rows[groups.bounds[:-1]]]  # [P], like `splits`
    splits = np.full(len(groups.speakers), SPLITS.index("train"), np.int8)
    given = utterances["subset"].isin(list(unseen_subsets)).to_numpy()
    splits[groups.numbers[given]] = SPLITS.index("unseen")
    for sex in ("F", "M"):
        speakers = rng.permutation(np.flatnonzero((sexes == sex) & (splits == SPLITS.index("train"))))
        if not len(speakers):
            continue
        n_unseen = 0 if unseen_subsets else _share(unseen_fraction, len(speakers), n_speakers)
        n_validation = _share(validation_fraction, len(speakers) - n_unseen, n_speakers)
        if len(speakers) < n_unseen + n_validation + 1:
            raise UserError(f"the corpus has {len(speakers)} speakers of sex {sex}, but mixtures of {n_speakers} need "
                            f"at least {n_unseen + n_validation + 1} (training, validation and `unseen` need different "
                            "ones); add speech.")
        splits[speakers[:n_unseen]] = SPLITS.index("unseen")
        splits[speakers[n_unseen : n_unseen + n_validation]] = SPLITS.index("validation")
    trained = np.flatnonzero(splits == SPLITS.index("train"))
    if len(trained) < n_speakers:
        raise UserError(f"{len(trained)} speakers are left to train on, but a mixture "
                        f"needs {n_speakers}; add speech or lower mixtures.n_speakers.")
    row_splits = splits[groups.numbers]
    for speaker in trained.tolist():
        order = rng.permutation(groups.rows_of(speaker))
        held_out = max(1, round(0.1 * len(order))) if len(order) >= 5 else 0
        row_splits[order[:held_out]] = SPLITS.index("in-set")
        row_splits[order[held_out : 2 * held_out]] = SPLITS.index("train-validation")
    table = utterances.assign(split=np.array(SPLITS)[row_splits])
    verify(table)
    return table


def split_by_subset(utterances: pd.DataFrame, unseen_subsets: Sequence[str]) -> pd.DataFrame:
    """Assign the speakers of some subsets to `unseen`, and all utterances of the other speakers to `train`.

    Args:
        utterances: table of `load_corpus`.
        unseen_subsets: names of the subsets.

    Returns:
        The table with the column `split` added.
    """
    unseen = utterances.loc[utterances["subset"].isin(list(unseen_subsets)), "speaker"].unique()
    return utterances.assign(split=np.where(utterances["speaker"].isin(unseen), "unseen", "train"))


class SpeakerIndex:
    """Index the rows of a table by speaker, so that a million rows need not be searched for each speaker.

    Args:
        utterances: table with the columns `utterance` and `speaker`.

    Attributes:
        speakers: ids of the P speakers, sorted; the position of a speaker in this list is its number.
        number_of: the number of each speaker, by id.
        numbers: int `[rows]`, the speaker number of each row.
        rows: int `[rows]`, the row positions sorted by speaker, and in the order of the table for each speaker.
        bounds: int `[P + 1]`; the rows of speaker i are `rows[bounds[i] : bounds[i + 1]]`.
        names: `[rows]`, the name of each utterance.
    """

    def __init__(self, utterances: pd.DataFrame):
        self.numbers, speakers = pd.factorize(utterances["speaker"], sort=True)
        self.speakers = speakers.to_list()
        self.number_of = {speaker: number for number, speaker in enumerate(self.speakers)}
        self.names = utterances["utterance"].to_numpy(object)
        self.rows = np.argsort(self.numbers, kind="stable")
        self.bounds = np.searchsorted(self.numbers[self.rows], np.arange(len(self.speakers) + 1))

    def rows_of(self, number: int) -> np.ndarray:
        """Return the row positions of the speaker with that number, int `[n]`."""
        return self.rows[self.bounds[number] : self.bounds[number + 1]]

    def names_of(self, number: int) -> np.ndarray:
        """Return the names of the utterances of the speaker with that number, `[n]`."""
        return self.names[self.rows_of(number)]


def perturb_speed(table: pd.DataFrame, speeds: Sequence[float]) -> pd.DataFrame:
    """Add the training utterances at other speeds, which changes pitch, formants and tempo (speed perturbation).

    Args:
        table: as `split` returns it.
        speeds: different factors; without 1 among them, `train` has no utterance at its recorded speed.

    Returns:
        The table with the column `speed`, and its training utterances once for each speed. The name of an utterance at
        another speed than 1 ends in "@" and the speed.
    """
    table = table.assign(speed=1.0)
    is_train = table["split"] == "train"
    train, parts = table[is_train], [table if 1 in speeds else table[~is_train]]
    for speed in speeds:
        if speed != 1:
            parts.append(train.assign(utterance=train["utterance"] + f"@{speed:g}", speed=float(speed),
                                      seconds=train["seconds"] / speed))
    return pd.concat(parts, ignore_index=True)


def verify(table: pd.DataFrame) -> None:
    """Raise ValueError if an utterance occurs twice, or a speaker in two of trained, `validation` and `unseen`."""
    if table["utterance"].duplicated().any():
        raise ValueError(f"utterance {table.loc[table['utterance'].duplicated(), 'utterance'].iloc[0]} occurs twice.")
    roles = table["split"].where(~table["split"].isin(TRAINED_SPEAKERS), "trained")
    n_roles = roles.groupby(table["speaker"]).nunique()
    if (n_roles > 1).any():
        raise ValueError(f"speaker {n_roles.index[n_roles > 1][0]} is in more than one of trained, validation, unseen.")


def trained_speakers(table: pd.DataFrame) -> list[str]:
    """Return the ids of the trained speakers in the order of their numbers: women, then men."""
    trained = table[table["split"] == "train"].drop_duplicates("speaker")
    return trained.sort_values(["sex", "speaker"])["speaker"].to_list()


def noisy_split(split: str, snr_db: float) -> str:
    """Return the name of a split with noise, such as "unseen, SNR 5 dB"."""
    return f"{split}, SNR {snr_db:g} dB"


def base_split(split: str) -> str:
    """Return the name of a split without its noise: "unseen" for "unseen, SNR 5 dB"."""
    return split.partition(",")[0]


def split_snr_db(split: str) -> float:
    """Return the signal-to-noise ratio in the name of a split, in dB; infinity for a split without noise."""
    return float(split.rpartition("SNR ")[2].removesuffix(" dB")) if "SNR " in split else float("inf")


def headline_split(splits: Iterable[str]) -> str:
    """Return the split of the main result, without its noise: "unseen" if it is among `splits`, else the first."""
    names = [base_split(split) for split in splits]
    return "unseen" if "unseen" in names else names[0]


def _share(fraction: float, total: int, minimum: int) -> int:
    """Return the rounded fraction of a number of speakers, at least `minimum`; 0 if the fraction is 0."""
    return max(round(fraction * total), minimum) if fraction > 0 else 0
