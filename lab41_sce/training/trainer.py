"""A method and its mixtures become weights: training that can be watched, stopped, killed and resumed.

`keras.Model.fit` makes the updates, and callbacks do the rest (`callbacks.py`). Batches are numbered, so a resumed
training continues with the batches that it would have used. Several workers (`distributed.py`) all run `train`; the
chief alone validates, writes and reads the clock.

The best model is that with the highest SI-SDR improvement on mixtures of *validation speakers*, who are not in the
training mixtures. (The SCE loss is not defined for them, since they have no speaker vectors; `validation_loss` in the
history is the loss on held-out utterances of the trained speakers.)
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from lab41_sce.atomic_write import make_folder
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.errors import UserError
from lab41_sce.training.callbacks import (
    BestModel,
    Budget,
    Checkpoint,
    FiniteLoss,
    LearningRate,
    ProgressBar,
    UpdateCounter,
    Validation,
)
from lab41_sce.training.checkpoint import TrainingState
from lab41_sce.training.distributed import Workers
from lab41_sce.training.first_batch import try_method
from lab41_sce.training.history import write_history
from lab41_sce.training.memory import keep_freed_memory
from lab41_sce.training.optimizer import RowAdam
from lab41_sce.training.settings import TrainingSettings


def train(
    method: keras.Model,
    mixtures: TrainingMixtures,
    held_out: Sequence[dict[str, np.ndarray]],
    validate: Callable[[], dict[str, float]],
    settings: TrainingSettings,
    folder: str | Path,
    workers: Workers | None = None,
) -> pd.DataFrame:
    """Train a method, or continue where an earlier call was interrupted.

    Args:
        method: Keras model that returns its loss, with the attribute `model`: the model that separates.
        mixtures: batches to train on.
        held_out: some batches of held-out utterances of the same speakers, for `validation_loss`.
        validate: returns columns of the history, `validation_si_sdri_db` among them.
        settings: limits, optimizer, learning rate.
        folder: gets `checkpoint.npz` and the one before, `model.keras` (the best), `history.csv` and `tensorboard/`.
            An earlier checkpoint in it is resumed.
        workers: the processes that train together, if not this one alone; `mixtures` holds the rows of this worker.

    Returns:
        The history, a row for each validation; empty except for the chief.

    Raises:
        UserError: the loss cannot be computed, or became NaN or infinite, the model cannot be loaded again, the
            checkpoint is damaged or of another network, speech cannot be read any more, the disk is full, or another
            worker is lost.
    """
    folder, workers = Path(folder), workers or Workers()
    keep_freed_memory()
    if workers.is_chief:
        make_folder(folder)
    method.compile(RowAdam(settings.learning_rate, settings.beta_2, settings.clip_norm))
    try_method(method, mixtures.batch(0), folder.name)
    method.optimizer.build(method.trainable_variables)
    state = TrainingState(method)
    if workers.is_chief:
        state.restore(folder)
    state.update = workers.synchronize(state.update, state.variables())

    budget, bar = Budget(state, settings, workers), ProgressBar(state, settings)
    if not budget.is_used_up():
        callbacks = [UpdateCounter(state), LearningRate(state, settings, workers), FiniteLoss(state, mixtures, folder)]
        if workers.is_chief:
            callbacks += [Validation(state, held_out, validate), BestModel(state, folder), Checkpoint(state, folder),
                          bar]
        callbacks.append(budget)
        if settings.tensorboard and workers.is_chief:
            callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False))
        if workers.count > 1:
            method.train_function = workers.train_function(method)
        try:
            method.fit(
                mixtures.dataset(start=state.update),
                initial_epoch=len(state.history),
                epochs=10**9,  # `Budget` stops the training
                steps_per_epoch=settings.validate_every,
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
        except tf.errors.OpError as error:
            if str(folder / "tensorboard") not in str(error):
                raise
            raise UserError(f"{folder / 'tensorboard'} could not be written ({type(error).__name__}); free some space, "
                            "choose another folder, or set training.tensorboard=false.") from None
        finally:
            mixtures.close()
            bar.close()
    if workers.is_chief:
        write_history(state.history, folder)
    return pd.DataFrame(state.history)
