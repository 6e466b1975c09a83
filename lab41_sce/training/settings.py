"""The settings of training: limits, optimizer, learning rate schedule, and the processes that train together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab41_sce.errors import UserError
from lab41_sce.setting import setting

STRATEGIES = ("mirrored", "multi_worker")


@dataclass
class TrainingSettings:
    """How to train each system.

    Raises:
        UserError: settings that do not go together, such as no limit at all.
    """

    updates: int | None = setting(None, "Limit of the number of updates", at_least=1, free_on_resume=True)
    minutes: float | None = setting(None, "Limit of the training time of each system, validation included",
                                    unit="minutes", at_least=1e-3, free_on_resume=True)
    validate_every: int = setting(250, "Interval between validations, which also write a checkpoint", unit="updates",
                                  at_least=1)
    patience: int | None = setting(None, "Number of validations without a better one after which training stops",
                                   at_least=1, free_on_resume=True)
    learning_rate: float = setting(0.0015, "Learning rate of Adam after the warm-up", at_least=1e-12)
    beta_2: float = setting(0.999, "Decay of Adam's mean of squared gradients", at_least=0.0, below=1.0)
    warmup_updates: int = setting(100, "Length of the linear rise of the learning rate at the start", unit="updates",
                                  at_least=0)
    decay: str = setting("cosine", "Learning rate over the updates or minutes: cosine down to 1 %, or none",
                         choices=("cosine", "none"))
    clip_norm: float | None = setting(5.0, "Largest norm of the whole gradient; null: no limit", at_least=1e-12)
    initial_model: str | None = setting(
        None, "Trained model whose weights the network of method starts from: the folder of a run, a .keras file, or "
        "pretrained for the shipped model; null: random weights")
    strategy: str | None = setting(
        None, "Processes that train together: mirrored starts one for each GPU of this machine, multi_worker joins the "
        "processes in TF_CONFIG; null: this process alone. mixtures.batch_size is that of all processes together",
        choices=STRATEGIES, free_on_resume=True)
    workers: int | None = setting(None, "Number of processes of mirrored; null: one for each GPU", at_least=1,
                                  free_on_resume=True)
    tensorboard: bool = setting(True, "Whether to write event files to run_dir/systems/NAME/tensorboard",
                                free_on_resume=True)

    def __post_init__(self) -> None:
        """Raise UserError where the values do not go together."""
        if self.updates is None and self.minutes is None and self.patience is None:
            raise UserError("training would never end; choose an experiment, such as +exp=smoke, or set "
                            "training.updates, training.minutes or training.patience.")
        if self.decay == "cosine" and self.updates is None and self.minutes is None:
            raise UserError("training.decay=cosine needs an end: set training.updates or training.minutes.")
        if self.workers is not None and self.strategy != "mirrored":
            raise UserError(f"training.workers={self.workers} would have no effect without training.strategy=mirrored; "
                            "set both, or remove training.workers.")

    def progress(self, update: int, minutes: float) -> float:
        """Return the used part of the budget, 0 to 1: that of updates or of minutes, whichever is larger.

        Args:
            update: number of updates so far.
            minutes: training time so far.
        """
        return min(1.0, max(update / (self.updates or math.inf), minutes / (self.minutes or math.inf)))

    def finished(self, update: int, minutes: float, scores: Sequence[float]) -> bool:
        """Return whether the budget is used up, or the patience after the best validation.

        Args:
            update: number of updates so far.
            minutes: training time so far.
            scores: of all validations, the higher the better.
        """
        if self.progress(update, minutes) >= 1.0:
            return True
        return bool(scores and self.patience and len(scores) - scores.index(max(scores)) > self.patience)

    def rate(self, update: int, minutes: float) -> float:
        """Return the learning rate of an update: linear warm-up, then a half cosine down to 1 %, or a constant.

        Args:
            update: number of updates before this one.
            minutes: training time before this one.
        """
        warmup = min(1.0, (update + 1) / self.warmup_updates) if self.warmup_updates else 1.0
        if self.decay == "none":
            return self.learning_rate * warmup
        cosine = 0.5 * (1.0 + math.cos(math.pi * self.progress(update, minutes)))
        return self.learning_rate * warmup * (0.01 + 0.99 * cosine)
