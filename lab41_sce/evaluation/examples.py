"""The first scored mixtures of each kind become audio files to listen to: mixture, sources and estimates."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from lab41_sce import audio
from lab41_sce.atomic_write import make_folder
from lab41_sce.data.mixture import Mixture


class Examples:
    """Write the audio of the first mixtures of each kind and split.

    Args:
        folder: folder of the run; files are `examples/<split>-<kind>-<number>/{mixture,reference_i,estimate_i}.wav`.
        system: name of the system; its estimates are written.
        per_kind: number of mixtures of each split and kind, where MF counts as FM.
        sample_rate_hz: sample rate of the signals.
    """

    def __init__(self, folder: Path, system: str, per_kind: int, sample_rate_hz: int) -> None:
        self.folder, self.system, self.per_kind = folder / "examples", system, per_kind
        self.sample_rate_hz = sample_rate_hz
        self.rows: list[dict] = []

    def keep(self, row: pd.Series, mixture: Mixture, estimates: Mapping[str, np.ndarray]) -> None:
        """Write the files of a mixture, unless `per_kind` mixtures of its split and kind are written already.

        Args:
            row: row of the evaluation set.
            mixture: the mixture of that row.
            estimates: separated signals `[S, N]` by name of the system.

        Raises:
            UserError: if a file cannot be written.
        """
        kind = "".join(sorted(row["kind"]))
        if any((earlier["split"], earlier["mixture"]) == (row["split"], row["mixture"]) for earlier in self.rows):
            return  # a metric is being added to a scored mixture
        same = [earlier for earlier in self.rows if (earlier["split"], earlier["kind"]) == (row["split"], kind)]
        if len(same) >= self.per_kind:
            return
        name = f"{row['split'].replace(', ', '-').replace(' ', '_')}-{kind}-{len(same) + 1}"
        make_folder(self.folder / name)
        sources = mixture.sources
        _, order = linear_sum_assignment(sources @ estimates[self.system].T, maximize=True)
        scale = 0.5 / np.abs(mixture.signal).max()  # the same for all files, which keeps their levels comparable
        for title, signals in (("mixture", mixture.signal[None]), ("reference", sources),
                               ("estimate", estimates[self.system][order])):
            for number, signal in enumerate(signals, start=1):
                file = "mixture.wav" if title == "mixture" else f"{title}_{number}.wav"
                audio.write(self.folder / name / file, np.clip(signal * scale, -1, 1), self.sample_rate_hz)
        speakers = [str(row[f"speaker_{number}"]) for number in range(1, len(sources) + 1)]
        self.rows.append({"example": name, "mixture": row["mixture"], "split": row["split"], "kind": kind,
                          "speakers": " ".join(speakers)})

    def table(self) -> pd.DataFrame:
        """Return one row for each example, with the columns `example`, `mixture`, `split`, `kind` and `speakers`."""
        return pd.DataFrame(self.rows, columns=["example", "mixture", "split", "kind", "speakers"])
