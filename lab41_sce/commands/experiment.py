"""From a configuration to a report: corpus, splits, mixtures, training, scores, page.

    python -m lab41_sce.experiment +exp=two_speaker corpus=librispeech corpus.root=PATH training.minutes=60

Everything is written to one folder, `run_dir` (see `runs/run_directory.py`). The same command with `resume=true`
continues an interrupted run.
"""

import logging
import os
import re
import shlex
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
from hydra._internal.utils import get_args_parser  # Hydra 1.3 has no public list of its options
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from lab41_sce.atomic_write import write_csv
from lab41_sce.command_line import VERBOSE, command, show_messages
from lab41_sce.commands.experiment_help import EXPLANATION, HELP, experiment_help
from lab41_sce.errors import UserError
from lab41_sce.runs.config_schema import (
    COMPOSING_ERRORS,
    CONFIG_PATH,
    Settings,
    check,
    describe_settings,
    known_names,
    quoted_overrides,
)
from lab41_sce.runs.renamed_settings import renamed_config, renamed_overrides
from lab41_sce.runs.run_directory import COMMAND_VARIABLE, check_folder, is_of_command, lock_run_directory, open_folder
from lab41_sce.runs.unknown_settings import composing_error
from lab41_sce.suggestion import did_you_mean
from lab41_sce.training.distributed import WorkerLost, Workers
from lab41_sce.training.launcher import launch, restart_process

logger = logging.getLogger(__name__)


def run(config: DictConfig, folder: Path, command: str | None = None) -> pd.DataFrame:
    """Run an experiment into a folder: train and score `config.method` and `config.others` on the same mixtures.

    Args:
        config: the composed configuration.
        folder: of the run.
        command: the command line, which version.json keeps.

    Returns:
        The summary: columns `system`, `split`, `kind`, `metric`, `mean`, `low`, `high`, `n`. With several workers
        (`training.strategy`), only the chief writes, scores and returns rows; the others return an empty table.

    Raises:
        UserError: a setting, the corpus or the folder does not allow the run.
    """
    config = renamed_config(config)
    settings = check(config)
    workers = Workers(settings.training.strategy)
    if not workers.is_chief:
        return _run(config, settings, folder, command, workers)
    with lock_run_directory(folder):
        check_folder(config, folder)
        return _run(config, settings, folder, command, workers)


def _run(config: DictConfig, settings: Settings, folder: Path, command: str | None, workers: Workers) -> pd.DataFrame:
    """Run a checked experiment into a folder that is free."""
    # TensorFlow is imported only now, so that a mistake in the configuration is reported at once.
    import tensorflow as tf

    from lab41_sce.article.draw import CAPTIONS, write_figures
    from lab41_sce.evaluation.bootstrap import paired_differences, summarise
    from lab41_sce.reporting.report import write_report
    from lab41_sce.runs.prepare import load_split_speech, prepare
    from lab41_sce.runs.stages import score_systems, train_systems
    from lab41_sce.runs.systems import build_systems

    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    workers.rows(settings.mixtures.batch_size)  # raises before the workers wait for each other
    workers.connect()
    recorded = load_split_speech(settings)
    prepared = prepare(config, settings, recorded, folder)
    systems = build_systems(config, prepared.setup)
    mixtures = prepared.evaluation_mixtures()  # before the training, so that missing speech is reported at once
    if workers.is_chief:
        room_files = prepared.rooms.files if prepared.rooms else None
        open_folder(config, folder, recorded, command, prepared.training_noise_files(), room_files)
    train_systems(systems, prepared, folder, workers)
    if not workers.is_chief:
        workers.barrier()
        return pd.DataFrame()
    _write_speaker_tables(systems, prepared, folder)
    scores = score_systems(config, systems, prepared, mixtures, folder)
    summary = summarise(scores, settings.seed)
    write_csv(summary, folder / "summary.csv")
    write_csv(paired_differences(scores, config.method.name, settings.seed), folder / "differences.csv")
    write_figures(folder)
    write_report(folder, CAPTIONS)
    workers.barrier()
    return summary


def _write_speaker_tables(systems: dict[str, Any], prepared: Any, folder: Path) -> None:
    """Write the learned speaker vectors of each system beside measures of the speakers' voices."""
    import numpy as np

    from lab41_sce.article.voices import speakers_table

    setup = prepared.setup
    for name, system in systems.items():
        if hasattr(system, "speaker_vectors"):
            vectors = system.speaker_vectors(np.arange(len(setup.speakers))).numpy()
            table = speakers_table(vectors, setup.speech, setup.utterances, setup.speakers)
            write_csv(table, folder / "systems" / name / "speakers.csv")


@hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name="config")
def run_composed(config: DictConfig) -> None:
    """Run the experiment that Hydra has composed; exit with one sentence about a mistake."""
    job = HydraConfig.get()
    in_sweep = job.mode == RunMode.MULTIRUN
    folder = Path(job.runtime.output_dir if in_sweep else str(config.run_dir)).absolute()
    try:
        strategy = check(config).training.strategy
        if config.resume and config.overwrite and COMMAND_VARIABLE not in os.environ:  # it is set in restarted workers
            raise UserError("resume=true and overwrite=true contradict each other; give one of them.")
        if strategy:  # a restarted worker resumes, although its command may contain overwrite=true
            identifier = os.environ.setdefault(COMMAND_VARIABLE, "any" if config.resume else uuid.uuid4().hex)
            of_command = identifier == "any" or is_of_command(folder, identifier)
            config.resume = config.resume and (not config.overwrite or of_command)
        given = job.overrides.task  # the overrides of this run, also within a sweep
        if strategy == "mirrored" and "TF_CONFIG" not in os.environ:
            _launch_workers(config, job, given, folder, in_sweep)
            return
        summary = run(config, folder, shlex.join(["python", "-m", "lab41_sce.experiment", *given]))
    except WorkerLost as error:
        logger.warning("%s", error)
        restart_process()
        sys.exit(f"error: {error}")
    except UserError as error:
        if in_sweep:  # Hydra reports it when the other runs of the sweep are finished
            raise
        sys.exit(f"error: {error}")
    except InstantiationException as error:  # a layer rejects a value; the cause gives the reason
        sys.exit(f"error: {error.__cause__ or error}")
    if not summary.empty:  # empty for workers other than the chief
        print(f"\n{(folder / 'table.md').read_text('utf-8')}\nReport: {(folder / 'report.html').resolve()}")


def _launch_workers(config: DictConfig, job: Any, given: Sequence[str], folder: Path, in_sweep: bool) -> None:
    """Run the same command as several workers; exit with their status, except within a sweep."""
    settings = check(config)
    again = [f"--config-dir={source.path}" for source in job.runtime.config_sources
             if source.provider == "command-line"]
    again += [*given, *[f"run_dir={folder}"] * in_sweep]
    status = launch([sys.executable, "-m", "lab41_sce.experiment", *again], settings.training.workers)
    if not in_sweep:
        sys.exit(status)
    if status:
        raise UserError(f"the workers of {folder} ended with exit status {status}; their messages give the reason.")


@command("interrupted: the same command with resume=true continues from the last checkpoint, if there is one")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run an experiment from the command line.

    Args:
        arguments: Hydra overrides and options, or --settings; None for those of this process.

    Returns:
        0; a failed experiment ends the process by `SystemExit`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if {*VERBOSE} & {*given}:
        show_messages()
        given = [argument for argument in given if argument not in VERBOSE]
    if not given:
        print(EXPLANATION, file=sys.stderr)
        return 1
    if given in HELP:
        print(experiment_help())
        return 0
    if given == ["--settings"]:
        print(describe_settings())
        return 0
    _refuse_unknown_options(given)
    sys.argv[1:] = quoted_overrides(renamed_overrides(given))  # where Hydra looks for them
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its exceptions, which become one sentence here
    try:
        run_composed()
    except COMPOSING_ERRORS as error:
        if type(error) is ValueError and not str(error).startswith("Config group override"):  # of the experiment
            raise
        raise composing_error(error, known_names(given)) from None
    return 0


def _refuse_unknown_options(given: Sequence[str]) -> None:
    """Raise UserError about a misspelt option, with the nearest one, and about a setting behind an option."""
    parser = get_args_parser()
    for unknown in parser.parse_known_args(given)[1]:
        if unknown.startswith("-"):
            name, options = unknown.partition("=")[0], re.findall(r"--[\w-]+", parser.format_usage())
            hint = did_you_mean(name, [*options, "--settings"]) or "; --help lists the options."
            raise UserError(f"there is no option {name}{hint}")
        raise UserError(f"{unknown} follows an option; give all settings first, then options such as --multirun.")
