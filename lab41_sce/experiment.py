"""From a configuration to a report: corpus, splits, mixtures, training, scores, page.

    python -m lab41_sce.experiment +exp=two_speaker corpus=librispeech corpus.root=PATH training.minutes=60

Everything is written to one folder, `run_dir` (see `runs/run_directory.py`). The same command with
`resume=true` goes on where it was interrupted.
"""

import logging
import os
import shlex
import sys
import time
from functools import partial
from pathlib import Path

import hydra
import numpy as np
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from lab41_sce.errors import UserError
from lab41_sce.runs import config_schema, run_directory
from lab41_sce.runs.config_schema import CONFIG_PATH
from lab41_sce.training.distributed import WorkerLost, Workers, launch, restart_process

logger = logging.getLogger(__name__)


def run(config: DictConfig, folder: Path, command: str | None = None) -> pd.DataFrame:
    """Run an experiment into a folder: train and score `config.method` and `config.others` on the same mixtures.

    Args:
        config: the composed configuration (`experiments/config.yaml`).
        folder: of the run.
        command: how it was started, to be kept with the run.

    Returns:
        The summary: columns `system`, `split`, `kind`, `metric`, `mean`, `low`, `high`, `n`. Of several workers
        (`training.strategy`), the chief alone writes, scores and has a summary; the others' is empty.

    Raises:
        UserError: a setting, the corpus or the folder does not allow it.
    """
    config_schema.check(config)
    workers = Workers(config.training.strategy)
    if not workers.is_chief:
        return _run(config, folder, command, workers)
    with run_directory.lock_run_directory(folder):
        run_directory.check_folder(config, folder)
        return _run(config, folder, command, workers)


def _run(config, folder, command, workers):
    """Do what `run` says, in a folder that is free."""
    # TensorFlow is imported only now, so that a mistake in the configuration is told at once.
    import tensorflow as tf
    from hydra.utils import instantiate

    from lab41_sce.article.draw import CAPTIONS, write_figures
    from lab41_sce.data import splits
    from lab41_sce.data.corpus import load_corpus
    from lab41_sce.data.evaluation_set import add_noise, add_noise_at, draw_evaluation_set
    from lab41_sce.data.noise import Noise
    from lab41_sce.data.sampler import TrainingMixtures
    from lab41_sce.data.speech import Speech
    from lab41_sce.evaluation.bootstrap import paired_differences, summarise
    from lab41_sce.evaluation.validation import validate
    from lab41_sce.methods.base import Setup
    from lab41_sce.reporting.report import write_report
    from lab41_sce.training import trainer

    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    training_settings = trainer.TrainingSettings(**config.training)
    rows = workers.rows(config.mixtures.batch_size)
    workers.connect()
    front_end, network = instantiate(config.front_end), instantiate(config.network)
    corpus = {name: value for name, value in config.corpus.items() if name != "name"}
    recorded = splits.split(load_corpus(**corpus), config.mixtures.n_speakers, config.corpus.unseen_subsets,
                            **config.splits)
    utterances = splits.perturb_speed(recorded, config.mixtures.speeds)
    speakers = splits.trained_speakers(utterances)
    speech = Speech(utterances, front_end.sample_rate_hz, config.mixtures.in_memory)
    setup = Setup(front_end, network, config.mixtures.n_speakers, tuple(speakers), speech,
                  utterances[utterances["split"] == "train"], folder)
    systems = build_systems(config, setup)
    common = {"n_speakers": setup.n_speakers, "pre_emphasis": front_end.pre_emphasis, "seed": config.seed}
    options = {name: value for name, value in config.mixtures.items() if name not in ("in_memory", "speeds")} | common
    noise, training_snr_db = Noise(speech, utterances, config.noise.kinds, config.noise.folder), None
    if config.noise.training_snr_db is not None:
        training_snr_db = tuple(config.noise.training_snr_db)
        options |= {"noise": noise, "snr_db": training_snr_db}
        noise.require(["train"], max(config.mixtures.speaker_shares or [setup.n_speakers]))
    if config.noise.evaluation_snr_db:
        noise.require(config.evaluation.splits, setup.n_speakers)

    def training_mixtures(split, **more):
        return TrainingMixtures(speech, utterances[utterances["split"] == split], speakers, **options, **more)

    def frozen_list(split, per_kind, seconds, **more):
        return draw_evaluation_set(speech, utterances, split, n_per_kind=per_kind, seconds=seconds, **more, **common)

    # The lists are drawn before the training, so that what is missing is told at once.
    validation = frozen_list("validation", config.validation.per_kind, config.validation.seconds)
    if training_snr_db is not None:
        validation = add_noise(validation, noise, training_snr_db, config.seed)
    scored = config.evaluation
    mixtures = pd.concat([frozen_list(split, scored.per_kind, scored.seconds, level_range_db=scored.level_range_db,
                                      join=scored.join) for split in scored.splits])
    noisy = [add_noise_at(mixtures, noise, snr_db, config.seed) for snr_db in config.noise.evaluation_snr_db]
    mixtures = pd.concat([mixtures, *noisy])
    held_out = utterances[utterances["split"] == "train-validation"]
    held_out_batches = []
    if held_out["speaker"].nunique() >= max(config.mixtures.speaker_shares or [setup.n_speakers]):
        held_out_batches = [training_mixtures("train-validation").batch(i) for i in range(config.validation.batches)]
    if workers.is_chief:
        run_directory.open_folder(config, folder, recorded, command)

    train_systems(systems, training_mixtures("train", rows=rows), held_out_batches,
                  lambda model: validate(model, speech, validation, noise), training_settings, setup, folder,
                  workers)
    if not workers.is_chief:
        workers.barrier()
        return pd.DataFrame()
    scores = score_systems(config, systems, front_end, speech, mixtures, noise, folder)
    summary = summarise(scores, config.seed)
    run_directory.write_csv(summary, folder / "summary.csv")
    run_directory.write_csv(paired_differences(scores, config.method.name, config.seed), folder / "differences.csv")
    write_figures(folder)
    write_report(folder, CAPTIONS)
    workers.barrier()
    return summary


def described_systems(config: DictConfig) -> dict[str, DictConfig]:
    """Return the configuration of every system by its name, that of `config.method` first (and it counts)."""
    return {config.method.name: config.method} | {
        name: system for name, system in config.others.items() if name != config.method.name}


def build_systems(config: DictConfig, setup) -> dict:
    """Build every system: a `Method` to train, or a function of a `Mixture`."""
    import keras
    from hydra.utils import instantiate

    from lab41_sce.methods.base import Method

    systems, shares = {}, config.mixtures.speaker_shares or [setup.n_speakers]
    for name, described in described_systems(config).items():
        keras.utils.set_random_seed(config.seed)  # so that no system depends on those before it
        try:
            systems[name] = instantiate(described.build, _partial_=True)(setup)
        except (TypeError, ValueError) as error:  # a setting that a layer refuses
            raise UserError(f"the system {name} cannot be built: {error}") from error
        of_one_number = isinstance(systems[name], Method) and hasattr(systems[name].model, "n_speakers")
        if of_one_number and max(shares) != systems[name].model.n_speakers:
            raise UserError(f"{name} learns from mixtures of up to {systems[name].model.n_speakers} speakers, not "
                            f"{max(shares)}; change mixtures.speaker_shares.")
    for name, described in described_systems(config).items():
        path = str(described.build.get("path", ""))
        if path.startswith("systems/") and not isinstance(systems.get(path.removeprefix("systems/")), Method):
            raise UserError(f"the system {name} wants the model at {path}, but this run trains no such system; it "
                            f"trains {', '.join(n for n, system in systems.items() if isinstance(system, Method))}.")
    return systems


def train_systems(systems, mixtures, held_out_batches, validate, training_settings, setup, folder, workers) -> None:
    """Train what can be trained, one after the other, each into `systems/<name>` of the run."""
    from lab41_sce.article.voices import speakers_table
    from lab41_sce.methods.base import Method
    from lab41_sce.training import trainer

    histories, facts = [], []
    for name, system in systems.items():
        if not isinstance(system, Method):
            continue
        logger.info("Training %s.", name)
        history = trainer.train(system, mixtures, held_out_batches,
                                 partial(validate, system.model), training_settings,
                                 folder / "systems" / name, workers)
        if not workers.is_chief:
            continue
        logger.info("Trained %s: %d updates in %.1f minutes.", name, *history[["update", "minutes"]].iloc[-1])
        if hasattr(system, "speaker_vectors"):
            vectors = system.speaker_vectors(np.arange(len(setup.speakers))).numpy()
            table = speakers_table(vectors, setup.speech, setup.utterances, setup.speakers)
            run_directory.write_csv(table, folder / "systems" / name / "speakers.csv")
        histories.append(history.assign(system=name))
        facts.append({"system": name, "parameters": system.model.count_params()} | trainer.totals(history))
    if not workers.is_chief:
        return
    if histories:
        run_directory.write_csv(pd.concat(histories), folder / "history.csv")
    table = pd.DataFrame(facts, columns=["system", "parameters", *trainer.TOTALS])
    run_directory.write_csv(table, folder / "systems.csv")


def score_systems(config, systems, front_end, speech, mixtures, noise, folder) -> pd.DataFrame:
    """Score every system that this run has not scored yet; return the scores of all, which mixtures.csv keeps."""
    import keras

    from lab41_sce.data.splits import base_split
    from lab41_sce.evaluation import scoring
    from lab41_sce.evaluation.examples import Examples
    from lab41_sce.methods.base import Method
    from lab41_sce.models.embedding_model import EmbeddingModel

    described, able = described_systems(config), {}
    for name, system in systems.items():
        splits = described[name].get("splits") or config.evaluation.splits
        if isinstance(system, Method):
            model = keras.saving.load_model(folder / "systems" / name / "model.keras")  # the best, not the last
            system = scoring.trained_system(model)
            if isinstance(model, EmbeddingModel) and model.clusters:
                able[f"{name}_oracle_centroids"] = scoring.oracle_centroid_system(model), splits
        able[name] = system, splits

    scores = run_directory.earlier_scores(folder, mixtures)
    # Those of saved models are made anew: their weights may have changed without a trace in this run.
    saved = [name for name, system in described.items() if system.build._target_.endswith(".saved_model.build")]
    scores = scores[~scores["system"].isin(saved)]
    run_directory.write_csv(scores, folder / "mixtures.csv")  # before the list, so that scores and list always agree
    run_directory.write_csv(mixtures, folder / "evaluation.csv")
    examples = Examples(folder, config.method.name, config.evaluation.examples_per_kind, front_end.sample_rate_hz)
    if (folder / "examples.csv").exists():  # those of splits that an interrupted call has scored
        earlier = pd.read_csv(folder / "examples.csv", dtype=str)
        scored = scores.loc[scores["system"] == config.method.name, "split"]
        examples.rows = earlier[earlier["split"].isin(scored)].to_dict("records")
    for split, of_split in mixtures.groupby("split", sort=False):
        done = set(scores.loc[scores["split"] == split, "system"])
        missing = {name: system for name, (system, splits) in able.items()
                   if base_split(split) in splits and name not in done}
        if missing:
            keep = examples.keep if config.method.name in missing else None
            added = scoring.score_systems(front_end, missing, speech, of_split, config.evaluation.jobs, keep, noise,
                                             config.parallel.backend)
            scores = pd.concat([scores, added]) if len(scores) else added
            if keep:  # before the scores, by which a resumed call knows that the split is done
                run_directory.write_csv(examples.table(), folder / "examples.csv")
            run_directory.write_csv(scores, folder / "mixtures.csv")
    return scores


@hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name="config")
def main(config: DictConfig) -> None:
    """Run the configured experiment and print its table; tell a mistake in one sentence."""
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir if job.mode == RunMode.MULTIRUN else str(config.run_dir)).absolute()
    if config.training.strategy:  # a worker that begins anew, and so resumes, may have been told to overwrite
        since = os.environ.setdefault("LAB41_SCE_SINCE", "0" if config.resume else str(time.time()))
        config.resume = config.resume and (not config.overwrite or run_directory.begun_since(folder, float(since)))
    try:
        given = job.overrides.task  # of one run of a sweep, wherever it runs
        if config.training.strategy == "mirrored" and "TF_CONFIG" not in os.environ:
            config_schema.check(config)
            again = [f"--config-dir={source.path}" for source in job.runtime.config_sources
                     if source.provider == "command-line"]
            again += [*given, *[f"run_dir={folder}"] * (job.mode == RunMode.MULTIRUN)]
            status = launch([sys.executable, "-m", "lab41_sce.experiment", *again], config.training.workers)
            if job.mode == RunMode.MULTIRUN and status:
                raise UserError(f"the workers of {folder} ended with exit status {status}; see what they said.")
            if job.mode == RunMode.MULTIRUN:
                return
            sys.exit(status)
        summary = run(config, folder, shlex.join(["python", "-m", "lab41_sce.experiment", *given]))
    except WorkerLost as error:
        logger.warning("%s", error)
        restart_process()
        sys.exit(f"error: {error}")
    except UserError as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:  # Hydra tells it when the sweep's other runs are done
            raise
        sys.exit(f"error: {error}")
    except InstantiationException as error:  # a setting that a layer refuses; the last cause says why
        sys.exit(f"error: {error.__cause__ or error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command with resume=true goes on from the last checkpoint")
    if summary.empty:  # of a worker that is not the chief
        return
    print(f"\n{(folder / 'table.md').read_text('utf-8')}\nReport: {(folder / 'report.html').resolve()}")


if __name__ == "__main__":
    main()
