"""A method and its mixtures become weights by PyTorch, for a GPU on a machine without TensorFlow.

Networks, losses, mixtures and validation are those of `trainer.py`, on Keras's PyTorch backend; batches are drawn by
processes of PyTorch's DataLoader. Two things differ: Adam is PyTorch's, and there are no checkpoints.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd
import torch

from lab41_sce.atomic_write import make_folder, write_whole
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.errors import UserError
from lab41_sce.training.history import MONITOR, last_is_best, write_history
from lab41_sce.training.memory import keep_freed_memory
from lab41_sce.training.settings import TrainingSettings

CHECK_EVERY = 100  # updates between two checks of the loss, each of which waits for the GPU


class Batches(torch.utils.data.Dataset):
    """Number the batches of `TrainingMixtures`, for the processes that draw them."""

    def __init__(self, mixtures: TrainingMixtures):
        self.mixtures = mixtures

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Draw batch number `index`."""
        return {name: torch.from_numpy(values) for name, values in self.mixtures.batch(index).items()}


def train(method: keras.Model, mixtures: TrainingMixtures, validate: Callable[[], dict[str, float]],
          settings: TrainingSettings, folder: Path, n_processes: int) -> pd.DataFrame:
    """Train a method from its initial weights.

    Args:
        method: Keras model that returns its loss, with the attribute `model`: the model that separates.
        mixtures: batches to train on.
        validate: returns columns of the history, `validation_si_sdri_db` among them.
        settings: limits, optimizer, learning rate.
        folder: gets `model.keras` (the best) and `history.csv`.
        n_processes: processes that draw batches.

    Returns:
        The history, a row for each validation, with the column `waited_minutes`: the time without a batch so far.

    Raises:
        UserError: the loss became NaN or infinite, or the disk is full.
    """
    make_folder(folder)
    keep_freed_memory()
    loss_of(method, Batches(mixtures)[0])  # builds every weight
    adam, weights = optimizer(method, settings), trainable_tensors(method)
    batches = torch.utils.data.DataLoader(Batches(mixtures), batch_size=None, sampler=range(10**9), pin_memory=True,
                                          num_workers=n_processes, prefetch_factor=4)
    start, history, losses, waited_seconds, validated_seconds = time.monotonic(), [], [], 0.0, 0.0
    drawn, finished = iter(batches), False
    for number in range(10**9):
        adam.param_groups[0]["lr"] = settings.rate(number, (time.monotonic() - start) / 60)
        before = time.monotonic()
        batch = next(drawn)
        waited_seconds += time.monotonic() - before
        losses.append(update(method, batch, adam, weights, settings.clip_norm))
        if number % CHECK_EVERY == CHECK_EVERY - 1 and not math.isfinite(losses[-1].item()):
            raise UserError(f"the loss is not a finite number after update {number + 1}; lower training.learning_rate "
                            "or training.clip_norm.")
        finished = settings.progress(number + 1, (time.monotonic() - start) / 60) >= 1.0
        if (number + 1) % settings.validate_every and not finished:
            continue
        loss, losses, minutes = torch.stack(losses).mean().item(), [], (time.monotonic() - start) / 60
        row = {"update": number + 1, "minutes": round(minutes, 3), "learning_rate": adam.param_groups[0]["lr"],
               "seconds_per_update": round((60 * minutes - validated_seconds) / (number + 1), 4), "loss": loss,
               "waited_minutes": round(waited_seconds / 60, 3)}
        before = time.monotonic()
        with torch.no_grad():
            row |= validate()
        validated_seconds += time.monotonic() - before
        history.append(row)
        if last_is_best(history):
            write_whole(folder / "model.keras", method.model.save)
        write_history(history, folder)
        print({name: round(value, 4) for name, value in row.items()}, flush=True)
        if finished or settings.finished(number + 1, minutes, [earlier[MONITOR] for earlier in history]):
            break
    return pd.DataFrame(history)


def optimizer(method: keras.Model, settings: TrainingSettings) -> torch.optim.Adam:
    """Return PyTorch's Adam with the constants of `keras.optimizers.Adam`."""
    return torch.optim.Adam(trainable_tensors(method), settings.learning_rate, (0.9, settings.beta_2), eps=1e-7)


def trainable_tensors(method: keras.Model) -> list[Any]:
    """Return the PyTorch tensors of the trainable variables of a method."""
    return [weight.value for weight in method.trainable_variables]


def loss_of(method: keras.Model, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Compute the loss of a batch that lies in the memory of the CPU, on the GPU if there is one: a scalar."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return method({name: values.to(device, non_blocking=True) for name, values in batch.items()}, training=True)


def update(method: keras.Model, batch: dict[str, torch.Tensor], adam: torch.optim.Adam, weights: Sequence[Any],
           clip_norm: float | None) -> torch.Tensor:
    """Make one update.

    Args:
        method: as for `train`.
        batch: tensors in the memory of the CPU.
        adam: the optimizer of `weights`.
        weights: the trainable tensors.
        clip_norm: largest norm of the whole gradient; None for no limit.

    Returns:
        The loss, a scalar that may not be computed yet.
    """
    loss = loss_of(method, batch)
    adam.zero_grad()
    loss.backward()
    if clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(weights, clip_norm)
    adam.step()
    return loss.detach()
