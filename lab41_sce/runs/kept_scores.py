"""The scores of a run become those that a resumed run keeps: everything that they depend on has the same checksum.

`checksums.csv` has a row for each split and system in `mixtures.csv`:

| column | checksum of |
| --- | --- |
| `model` | `model.keras` of the system; the Python file of a system that is not trained |
| `evaluation_set` | the mixtures of the split |
| `speech` | `speech.csv`, which holds the checksums of the utterances |
| `scores` | the rows of `mixtures.csv` |
| `examples` | for the method of the run: the rows of `examples.csv` and their audio files; else empty |
"""

import functools
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lab41_sce.atomic_write import write_csv
from lab41_sce.data.checksums import file_checksum, text_checksum
from lab41_sce.errors import UserError, reason
from lab41_sce.runs import recorded_speech

SCORES = ("mixture", "split", "kind", "system", "metric", "value")
EXAMPLES = ("example", "mixture", "split", "kind", "speakers")
KEYS = ["split", "system"]
PARTS = {"model": "another model or other code", "evaluation_set": "other mixtures", "speech": "other speech",
         "scores": "edited or damaged scores", "examples": "edited or damaged examples"}  # column: what a change means

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreFiles:
    """The files `mixtures.csv`, `examples.csv` and `checksums.csv` of a run.

    Args:
        folder: of the run.
        mixtures: the evaluation set.
        method: name of the system whose examples are kept.
        code: Python file of each system that is not trained, by name.
    """

    folder: Path
    mixtures: pd.DataFrame
    method: str
    code: Mapping[str, Path] = field(default_factory=dict)

    def write(self, scores: pd.DataFrame, examples: pd.DataFrame) -> None:
        """Write scores and examples, and last their checksums; without these, the scores are computed again."""
        write_csv(examples, self.folder / "examples.csv")
        write_csv(scores, self.folder / "mixtures.csv")
        write_csv(self._checksums(scores, examples), self.folder / "checksums.csv")

    def read(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the rows of `mixtures.csv` and of `examples.csv` that are valid, and log which others are there."""
        scores, examples = (self._read(name, columns) for name, columns in
                            (("mixtures.csv", SCORES), ("examples.csv", EXAMPLES)))
        recorded = self._read("checksums.csv", (*KEYS, *PARTS))
        if len(scores) and not (self.folder / "checksums.csv").exists():
            logger.warning("%s has no checksums, as in runs of earlier versions: its scores are computed again.",
                           self.folder / "mixtures.csv")
            return self._numbers(scores[:0]), examples[:0]
        before = {(row["split"], row["system"]): row for row in recorded.to_dict("records")}
        kept, changed = [], []
        for row in self._checksums(scores, examples).to_dict("records"):
            earlier = before.get((row["split"], row["system"]), {})
            reasons = [reason for part, reason in PARTS.items() if row[part] != earlier.get(part)]
            if reasons:
                what = ", ".join(reasons) if earlier else "without checksums"
                changed.append(f"{row['system']} on {row['split']} ({what})")
            else:
                kept.append((row["split"], row["system"]))
        if changed:
            logger.warning("These scores in %s are computed again: %s.", self.folder / "mixtures.csv",
                           "; ".join(changed))
        is_kept = pd.Series([*zip(scores["split"], scores["system"], strict=True)], scores.index, object).isin(kept)
        of_kept = examples["split"].isin([split for split, system in kept if system == self.method])
        return self._numbers(scores[is_kept]), examples[of_kept]

    def _read(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
        """Read a table as text, exactly as it stands in the file; without rows if it is missing or damaged."""
        path = self.folder / name
        try:
            return pd.read_csv(path, dtype=str, keep_default_na=False)[list(columns)]
        except FileNotFoundError:
            pass
        except (OSError, KeyError, ValueError) as error:
            logger.warning("%s cannot be read (%s): what it holds is computed again.", path, reason(error))
        return pd.DataFrame(columns=list(columns), dtype=str)

    def _numbers(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Return scores with numbers instead of text."""
        return scores.assign(value=scores["value"].replace("", "nan").astype(float))

    def _checksums(self, scores: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
        """Compute the table of checksums for scores, numbers or text."""
        speech, rows = file_checksum(self.folder / recorded_speech.NAME), []
        model_checksum = functools.cache(file_checksum)  # of a model that several splits share
        for (split, system), of_both in scores.groupby(KEYS, sort=False):
            trained = self.folder / "systems" / str(system).removesuffix("_oracle_centroids") / "model.keras"
            model = self.code.get(str(system), trained)
            listed = self.mixtures[self.mixtures["split"] == split].dropna(axis=1, how="all")  # columns of other splits
            rows.append({"split": split, "system": system, "model": model_checksum(model),
                         "evaluation_set": text_checksum(listed.to_csv(index=False)), "speech": speech,
                         "scores": text_checksum(of_both[list(SCORES)].to_csv(index=False)),
                         "examples": self._of_examples(examples, str(split)) if system == self.method else ""})
        return pd.DataFrame(rows, columns=[*KEYS, *PARTS])

    def _of_examples(self, examples: pd.DataFrame, split: str) -> str:
        """Compute the checksum of the rows and the audio files of the examples of a split."""
        rows = examples[examples["split"] == split]
        audio = [f"{path.name} {file_checksum(path)}" for name in rows["example"]
                 for path in sorted((self.folder / "examples" / name).glob("*.wav"))]
        return text_checksum("\n".join([rows.to_csv(index=False), *audio]))


def scored_its_model(folder: Path, system: str) -> bool:
    """Return whether the scores of a system in a run are those of its present model, not of one before a resumption.

    Args:
        folder: of the run. One without `checksums.csv`, of an earlier version, or without the model counts as scored.
        system: name of the system.

    Raises:
        UserError: `checksums.csv` is damaged.
    """
    path, model = folder / "checksums.csv", folder / "systems" / system / "model.keras"
    if not path.exists() or not model.exists():
        return True
    try:
        recorded = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=["system", "model"])
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); restore it from a copy, or score the run again."
                        ) from None
    return {*recorded.loc[recorded["system"] == system, "model"]} == {file_checksum(model)}


def with_metrics(scores: pd.DataFrame, metrics: Collection[str]) -> pd.DataFrame:
    """Return the scores of the systems that have all of some metrics, and only these metrics.

    Args:
        scores: rows of `mixtures.csv`.
        metrics: names in the column `metric`.
    """
    wanted = scores[scores["metric"].isin(metrics)]
    n_metrics = wanted.groupby(KEYS)["metric"].transform("nunique")
    return wanted[n_metrics == len(metrics)]
