"""The settings of validation, which chooses the best model, and of evaluation, which scores it."""

from dataclasses import dataclass

from lab41_sce.errors import UserError
from lab41_sce.evaluation.definitions import ALL_METRICS, ENERGY_METRICS
from lab41_sce.process_pool import ENGINES
from lab41_sce.setting import setting

SPLITS = ("unseen", "in-set", "validation")


@dataclass
class ValidationSettings:
    """Mixtures that are separated at every validation (training.validate_every) to choose the best model."""

    per_kind: int = setting(8, "Number of mixtures of validation speakers of each kind (FF, FM, MF, MM)", at_least=1)
    seconds: float = setting(3.84, "Length of a mixture", unit="seconds", at_least=0.01)
    batches: int = setting(4, "Number of batches of held-out utterances of the trained speakers, for validation_loss",
                           at_least=1)


@dataclass
class EvaluationSettings:
    """Mixtures on which the best model of each system is scored at the end."""

    splits: list[str] = setting(["unseen", "in-set"], "Splits to score on", choices=SPLITS, distinct=True)
    per_kind: int = setting(40, "Number of mixtures of each kind (FF, FM, MF, MM) and split", at_least=1)
    seconds: float = setting(3.84, "Length of a mixture; the default is 150 hops", unit="seconds", at_least=0.01)
    seed: int = setting(0, "Seed of the draw of the mixtures, also of those of validation", at_least=0)
    level_range_db: float = setting(0.0, "Width of the range from which the level of each speaker is drawn", unit="dB",
                                    at_least=0.0)
    join: bool = setting(False, "Whether to join all utterances of a speaker, for mixtures longer than an utterance")
    metrics: list[str] = setting([*ENERGY_METRICS], "Metrics to compute, each with its improvement; all but SDR, SIR, "
                                 "SAR and SI-SDR need the extra metrics", choices=ALL_METRICS, distinct=True)
    examples_per_kind: int = setting(2, "Number of mixtures of each kind and split that are kept as audio files "
                                     "when they are scored", at_least=0)
    jobs: int = setting(-1, "Number of processes that compute scores; -1: one for each core")

    def __post_init__(self) -> None:
        """Raise UserError where a value is not possible."""
        if not self.splits:
            raise UserError(f"evaluation.splits=[] is not possible; give some of {', '.join(SPLITS)}.")
        if "SDR" not in self.metrics:
            raise UserError(f"evaluation.metrics=[{','.join(self.metrics)}] is not possible; it must contain SDR, "
                            "which ranks the systems.")
        if self.jobs == 0:
            raise UserError("evaluation.jobs=0 is not possible; give a number of processes, or -1 for one each core.")


@dataclass
class ParallelSettings:
    """Where the processes that compute scores run."""

    backend: str = setting("loky", "loky on this machine, or dask or ray on a cluster (lab41_sce/process_pool.py)",
                           choices=ENGINES)
