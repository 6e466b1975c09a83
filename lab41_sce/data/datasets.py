"""Our mixtures become datasets for other programs: dicts of NumPy arrays, the same to the last bit as in our runs.

    frozen mixtures      -> MixtureDataset   -> {"mixture": [N], "sources": [S, N], "name", "kind"}
    training mixtures    -> TrainingBatches  -> {"mixture": [B, N], "sources": [B, S, N], "speaker_ids": [B, S], ...}

Both are sequences with a length. PyTorch's `DataLoader` accepts them as datasets, and converts the arrays to tensors:

    DataLoader(mixtures, batch_size=8)                 # mixtures of equal length
    DataLoader(batches, batch_size=None, num_workers=4)

PyTorch is not needed here. All arrays are float32, except `speaker_ids`, int32.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from lab41_sce.data.benchmark_set import BenchmarkSet
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.errors import UserError


class MixtureDataset:
    """Provide the mixtures of a frozen list by number; each is read when it is requested.

    Args:
        frozen: a published set (`load_librimix`, `load_folders`), or an evaluation set (`frozen_evaluation_set`).

    Attributes:
        frozen: the list.
    """

    def __init__(self, frozen: BenchmarkSet):
        self.frozen = frozen

    @property
    def sample_rate_hz(self) -> int:
        """The sample rate of all signals."""
        return self.frozen.sample_rate_hz

    def __len__(self) -> int:
        return len(self.frozen.mixtures)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a mixture.

        Args:
            index: its number.

        Returns:
            `mixture`, float32 `[N]`; `sources`, float32 `[S, N]`; `name`; and `kind`, the sexes of the speakers, such
            as "FM". The rest of the mixture, without its sources, is its noise.

        Raises:
            UserError: a file of the mixture cannot be read.
        """
        listed = self.frozen.mixtures[index]
        mixture = listed.read()
        return {"mixture": mixture.signal, "sources": mixture.sources, "name": listed.name, "kind": listed.kind}

    def batches(self, batch_size: int) -> Iterator[dict[str, Any]]:
        """Return the mixtures in batches, in their order; the last batch may be smaller.

        Args:
            batch_size: B, number of mixtures.

        Returns:
            Iterator of dicts as above with `mixture`, float32 `[B, N]`, `sources`, float32 `[B, S, N]`, and lists of B
            names and kinds.

        Raises:
            UserError: the mixtures of a batch differ in their length or their number of sources.
        """
        for start in range(0, len(self), batch_size):
            rows = [self[index] for index in range(start, min(start + batch_size, len(self)))]
            shapes = {row["sources"].shape: row["name"] for row in rows}
            if len(shapes) > 1:
                (first, name), (second, other) = [*shapes.items()][:2]
                raise UserError(f"the sources of {name} and {other} have the shapes {first} and {second}, so they fit "
                                "into no batch; use batches of one mixture.")
            yield {key: np.stack([row[key] for row in rows]) if key in ("mixture", "sources") else
                   [row[key] for row in rows] for key in rows[0]}


class TrainingBatches:
    """Provide batches of random training mixtures by number; batch i is that of our training.

    Args:
        mixtures: draws the batches.
        n_batches: number of batches; another number does not change them.

    Raises:
        UserError: the settings filter the speech inside our models, so that no signal of the mixtures exists.
    """

    def __init__(self, mixtures: TrainingMixtures, n_batches: int):
        if mixtures.settings.response_db or mixtures.settings.telephone:
            raise UserError(f"mixtures.response_db={mixtures.settings.response_db} and mixtures.telephone="
                            f"{mixtures.settings.telephone} filter spectrograms inside the model, so the mixtures have "
                            "no signals; use a run in which both are 0.")
        self.mixtures, self.n_batches = mixtures, n_batches

    @property
    def sample_rate_hz(self) -> int:
        """The sample rate of all signals."""
        return self.mixtures.speech.sample_rate_hz

    def __len__(self) -> int:
        return self.n_batches

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Draw batch number `index`.

        Args:
            index: at least 0.

        Returns:
            `mixture`, float32 `[B, N]`, and the arrays of `TrainingMixtures.batch`.

        Raises:
            IndexError: there is no such batch.
            UserError: speech cannot be read any more.
        """
        if not 0 <= index < self.n_batches:
            raise IndexError(f"there is no batch {index} of {self.n_batches}")
        batch = self.mixtures.batch(index)
        mixture = batch["sources"].sum(axis=1)
        return {"mixture": mixture + batch["noise"] if "noise" in batch else mixture, **batch}
