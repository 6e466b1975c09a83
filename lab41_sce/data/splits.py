"""A table of utterances becomes splits: who is trained on, and who stays unknown.

Every utterance gets one of five splits (column `split`):

| split | speakers | utterances | for |
| --- | --- | --- | --- |
| `train` | trained | 80 % | training mixtures |
| `train-validation` | trained | 10 % | the training loss on utterances not trained on |
| `in-set` | trained | 10 % | scoring on known voices |
| `validation` | never trained | all | early stopping, choice of the checkpoint, tuning |
| `unseen` | never trained, never tuned on | all | scoring on unknown voices |

80/10/10 within a speaker is the original's split; a speaker with fewer than five utterances gives all to training.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lab41_sce.errors import UserError

TRAINED_SPEAKERS = ("train", "train-validation", "in-set")
UNKNOWN_SPEAKERS = ("validation", "unseen")
SPLITS = TRAINED_SPEAKERS + UNKNOWN_SPEAKERS


def split(
    utterances: pd.DataFrame,
    n_speakers: int,
    unseen_subsets: Sequence[str] = (),
    unseen_fraction: float = 0.25,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> pd.DataFrame:
    """Assign every utterance to a split, balanced by sex, drawn from a seed.

    Args:
        utterances: table of `corpora.librispeech.load`.
        n_speakers: speakers in a mixture; each split of unknown speakers gets at least as many of each sex.
        unseen_subsets: if given, exactly the speakers of these subsets are unseen.
        unseen_fraction: else, this share of the speakers of each sex is unseen.
        validation_fraction: share of the other speakers of each sex that is kept for validation.
        seed: of the draw.

    Returns:
        The same table with the column `split`.

    Raises:
        UserError: too few speakers.
    """
    rng = np.random.default_rng([seed, 1])
    groups = BySpeaker(utterances)
    sexes = utterances["sex"].to_numpy()[groups.rows[groups.bounds[:-1]]]  # of the speakers, as all below
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
            raise UserError(
                f"the corpus has {len(speakers)} speakers of sex {sex}, but mixtures of {n_speakers} need at least "
                f"{n_unseen + n_validation + 1} (training, validation and unseen ones are kept apart); add speech."
            )
        splits[speakers[:n_unseen]] = SPLITS.index("unseen")
        splits[speakers[n_unseen : n_unseen + n_validation]] = SPLITS.index("validation")
    trained = np.flatnonzero(splits == SPLITS.index("train"))
    if len(trained) < n_speakers:
        raise UserError(f"{len(trained)} speakers are left to train on, but a mixture "
                        f"needs {n_speakers}; add speech or lower mixtures.n_speakers.")
    of_rows = splits[groups.numbers]
    for speaker in trained.tolist():
        order = rng.permutation(groups.rows_of(speaker))
        held_out = max(1, round(0.1 * len(order))) if len(order) >= 5 else 0
        of_rows[order[:held_out]] = SPLITS.index("in-set")
        of_rows[order[held_out : 2 * held_out]] = SPLITS.index("train-validation")
    table = utterances.assign(split=np.array(SPLITS)[of_rows])
    verify(table)
    return table


class BySpeaker:
    """Find the utterances of a speaker at once: looking through a million rows takes long.

    Args:
        utterances: table with the column `speaker`.

    Attributes:
        speakers: ids of the P speakers, sorted; a speaker's place is its number here.
        numbers: int `[rows]`, the speaker of each row.
        rows: int `[rows]`, the places of the rows, those of a speaker in a row and in the order of the table.
        bounds: int `[P + 1]`, where each speaker's begin in `rows`, and the end.
    """

    def __init__(self, utterances: pd.DataFrame):
        self.numbers, speakers = pd.factorize(utterances["speaker"], sort=True)
        self.speakers = speakers.to_list()
        self.rows = np.argsort(self.numbers, kind="stable")
        self.bounds = np.searchsorted(self.numbers[self.rows], np.arange(len(self.speakers) + 1))

    def rows_of(self, number: int) -> np.ndarray:
        """Return the places of a speaker's rows in the table, int `[n]`."""
        return self.rows[self.bounds[number] : self.bounds[number + 1]]


def perturb_speed(table: pd.DataFrame, speeds: Sequence[float]) -> pd.DataFrame:
    """Add the training utterances at other speeds: pitch, formants and pace change a little, as within any voice.

    Args:
        table: as `split` returns it.
        speeds: different factors; without 1 among them, nothing is trained on as it was recorded.

    Returns:
        The table with the column `speed`, and its training utterances once for each speed; the names of those at
        another speed than 1 end in "@" and the speed.
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
    """Raise ValueError if a speaker or an utterance stands on both sides of a split."""
    if table["utterance"].duplicated().any():
        raise ValueError(f"utterance {table.loc[table['utterance'].duplicated(), 'utterance'].iloc[0]} stands twice.")
    side = table["split"].where(~table["split"].isin(TRAINED_SPEAKERS), "trained")
    sides = side.groupby(table["speaker"]).nunique()
    if (sides > 1).any():
        raise ValueError(f"speaker {sides.index[sides > 1][0]} is in more than one of trained, validation, unseen.")


def trained_speakers(table: pd.DataFrame) -> list[str]:
    """List the trained speakers' ids in the order of their numbers: women, then men."""
    trained = table[table["split"] == "train"].drop_duplicates("speaker")
    return trained.sort_values(["sex", "speaker"])["speaker"].to_list()


def _share(fraction: float, total: int, least: int) -> int:
    """Round a share of some speakers, at least as many as one mixture needs; no share gives none."""
    return max(round(fraction * total), least) if fraction > 0 else 0
