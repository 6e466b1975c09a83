"""The two long stages of a run: its systems are trained and scored, one after the other, on the same mixtures."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from lab41_sce.atomic_write import write_csv
from lab41_sce.data.splits import base_split
from lab41_sce.evaluation import scoring
from lab41_sce.evaluation.definitions import with_improvements
from lab41_sce.evaluation.examples import Examples
from lab41_sce.methods.base import Method
from lab41_sce.models.embedding_model import EmbeddingModel
from lab41_sce.models.loading import load_model
from lab41_sce.runs.kept_scores import ScoreFiles, with_metrics
from lab41_sce.runs.named_systems import target_file
from lab41_sce.runs.prepare import Prepared
from lab41_sce.runs.systems import Systems, configured_systems
from lab41_sce.training import trainer
from lab41_sce.training.distributed import Workers
from lab41_sce.training.first_batch import try_method
from lab41_sce.training.history import TOTALS, totals

logger = logging.getLogger(__name__)


def train_systems(systems: Systems, prepared: Prepared, folder: Path, workers: Workers) -> None:
    """Train every `Method`, each into `systems/<name>` of the run; the chief writes history.csv and systems.csv.

    Args:
        systems: as `build_systems` returns them.
        prepared: mixtures and validation.
        folder: of the run.
        workers: the processes that train together.

    Raises:
        UserError: see `try_method`, which tries each before the first is trained, and `trainer.train`.
    """
    mixtures = prepared.mixtures("train", workers.rows(prepared.settings.mixtures.batch_size))
    held_out, histories, facts = prepared.held_out_batches(), [], []
    methods = {name: system for name, system in systems.items() if isinstance(system, Method)}
    first_batch = mixtures.batch(0) if methods else {}
    for name, system in methods.items():
        try_method(system, first_batch, name)
    for name, system in methods.items():
        logger.info("Training %s.", name)
        history = trainer.train(system, mixtures, held_out, partial(prepared.validate, system.model),
                                prepared.settings.training, folder / "systems" / name, workers)
        if workers.is_chief:
            logger.info("Trained %s: %d updates in %.1f minutes.", name, *history[["update", "minutes"]].iloc[-1])
            histories.append(history.assign(system=name))
            facts.append({"system": name, "parameters": system.model.count_params()} | totals(history))
    if workers.is_chief:
        if histories:
            write_csv(pd.concat(histories), folder / "history.csv")
        write_csv(pd.DataFrame(facts, columns=["system", "parameters", *TOTALS]), folder / "systems.csv")


def score_systems(config: DictConfig, systems: Systems, prepared: Prepared, mixtures: pd.DataFrame,
                  folder: Path) -> pd.DataFrame:
    """Score every system that this run has not scored yet.

    Args:
        config: the composed configuration.
        systems: as `build_systems` returns them; trained ones are replaced by their best models.
        prepared: speech and noise.
        mixtures: the evaluation set.
        folder: of the run; gets evaluation.csv, mixtures.csv, checksums.csv, examples.csv and examples/.

    Returns:
        The scores of all systems, as in mixtures.csv.
    """
    method, evaluation = config.method.name, prepared.settings.evaluation
    able = _scorable_systems(config, systems, folder)
    configured = configured_systems(config)
    code = {name: target_file(configured[name].build._target_) for name, system in systems.items()
            if not isinstance(system, Method)}
    files = ScoreFiles(folder, mixtures, method, code)
    front_end = prepared.setup.front_end
    examples = Examples(folder, method, evaluation.examples_per_kind, front_end.sample_rate_hz)
    scores, kept_examples = files.read()
    examples.rows = kept_examples.to_dict("records")
    # Saved models and functions of the user are scored again in every call: they may have changed since.
    saved = [name for name, system in configured.items()
             if system.build._target_.endswith((".saved_model.build", ".waveform.build"))]
    scores = scores[~scores["system"].isin(saved)]
    scores = with_metrics(scores, with_improvements(evaluation.metrics))
    files.write(scores, examples.table())
    write_csv(mixtures, folder / "evaluation.csv")
    for split, of_split in mixtures.groupby("split", sort=False):
        done = set(scores.loc[scores["split"] == split, "system"])
        missing = {name: system for name, (system, splits) in able.items()
                   if base_split(str(split)) in splits and name not in done}
        if missing:
            keep = examples.keep if method in missing else None
            added = scoring.score_systems(front_end, missing, prepared.speech, of_split, evaluation.jobs, keep,
                                          prepared.noise, prepared.settings.parallel.backend, evaluation.metrics)
            scores = _in_order(pd.concat([scores, added]) if len(scores) else added, mixtures, [*able])
            files.write(scores, examples.table())
    return scores


def _in_order(scores: pd.DataFrame, mixtures: pd.DataFrame, systems: list[str]) -> pd.DataFrame:
    """Sort scores by split, mixture and system, as if all had been computed in one call."""
    orders = {"split": mixtures["split"].unique(), "mixture": mixtures["mixture"].unique(), "system": systems}
    places = {column: scores[column].map({name: place for place, name in enumerate(names)})
              for column, names in orders.items()}
    order = pd.DataFrame(places).reset_index(drop=True).sort_values([*orders], kind="stable").index
    return scores.iloc[order].reset_index(drop=True)


def _scorable_systems(config: DictConfig, systems: Systems, folder: Path) -> dict[str, tuple[Any, list[str]]]:
    """Return each system as a function of a `Mixture`, with the splits that it can be scored on."""
    able, configured = {}, configured_systems(config)
    for name, system in systems.items():
        splits = list(configured[name].get("splits") or config.evaluation.splits)
        if isinstance(system, Method):
            model = load_model(folder / "systems" / name / "model.keras")  # the best, not the last
            system = scoring.trained_system(model)
            if isinstance(model, EmbeddingModel) and model.clusters:
                able[f"{name}_oracle_centroids"] = scoring.oracle_centroid_system(model), splits
        able[name] = system, splits
    return able
