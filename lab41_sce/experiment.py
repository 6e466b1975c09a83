"""From a configuration to a report: corpus, splits, mixtures, training, scores, page.

    python -m lab41_sce.experiment +exp=two_speaker corpus=librispeech corpus.root=PATH training.minutes=60

Everything is written to one folder, `run_dir` (see `runs.py`). The same command with `resume=true` goes on where it
was interrupted.
"""

import logging
import shlex
import sys
from pathlib import Path

import hydra
import numpy as np
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf

from lab41_sce import runs
from lab41_sce.errors import UserError

_INSTALLED = Path(__file__).parent / "experiments"
CONFIG_PATH = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parent.parent / "experiments"

# The least that each number may be; a whole one where the least is written as one.
LEAST = {
    "seed": 0, "embedding_size": 1, "splits.seed": 0, "splits.unseen_fraction": 0.0, "splits.validation_fraction": 0.0,
    "corpus.min_seconds": 0.0, "mixtures.n_speakers": 2, "mixtures.batch_size": 1, "mixtures.seconds": 0.01,
    "mixtures.level_range_db": 0.0, "mixtures.same_sex": 0.0, "training.updates": 1, "training.minutes": 1e-3,
    "training.validate_every": 1, "training.patience": 1, "training.learning_rate": 1e-12,
    "training.warmup_updates": 0, "training.clip_norm": 1e-12, "validation.per_kind": 1, "validation.seconds": 0.01,
    "validation.batches": 1, "evaluation.per_kind": 1, "evaluation.seconds": 0.01, "evaluation.level_range_db": 0.0,
    "evaluation.examples_per_kind": 0,
}
NULL_ALLOWED = ("mixtures.same_sex", "training.updates", "training.minutes", "training.patience", "training.clip_norm")
FRACTIONS = ("splits.unseen_fraction", "splits.validation_fraction", "mixtures.same_sex")
LISTS = ("corpus.subsets", "corpus.unseen_subsets", "evaluation.splits", "noise.kinds", "noise.evaluation_snr_db")
CHOICES = {"corpus.check": ("samples", "headers"), "training.decay": ("cosine", "none")}

logger = logging.getLogger(__name__)


def run(config: DictConfig, folder: Path, command: str | None = None) -> pd.DataFrame:
    """Run an experiment into a folder: train and score `config.method` and `config.others` on the same mixtures.

    Args:
        config: the composed configuration (`experiments/config.yaml`).
        folder: of the run.
        command: how it was started, to be kept with the run.

    Returns:
        The summary: columns `system`, `split`, `kind`, `metric`, `mean`, `low`, `high`, `n`.

    Raises:
        UserError: a setting, the corpus or the folder does not allow it.
    """
    check_settings(config)
    runs.check_folder(config, folder)
    # TensorFlow is imported only now, so that a mistake in the configuration is told at once.
    from hydra.utils import instantiate

    from lab41_sce import evaluation, training
    from lab41_sce.article.draw import write_figures
    from lab41_sce.corpora import librispeech, splits
    from lab41_sce.lists import add_noise, at_snr, evaluation_list
    from lab41_sce.methods.base import Setup
    from lab41_sce.metrics import paired_differences, summarise
    from lab41_sce.mixtures import Speech, TrainingMixtures
    from lab41_sce.noise import Noise
    from lab41_sce.report import write_report

    settings = training.TrainingSettings(**config.training)
    front_end, network = instantiate(config.front_end), instantiate(config.network)
    corpus = {name: value for name, value in config.corpus.items() if name != "name"}
    utterances = splits.split(librispeech.load(**corpus), config.mixtures.n_speakers, config.corpus.unseen_subsets,
                              **config.splits)
    speakers = splits.trained_speakers(utterances)
    speech = Speech(utterances, front_end.sample_rate_hz, config.mixtures.in_memory)
    setup = Setup(front_end, network, config.mixtures.n_speakers, tuple(speakers), speech,
                  utterances[utterances["split"] == "train"], folder)
    systems = build_systems(config, setup)
    common = {"n_speakers": setup.n_speakers, "pre_emphasis": front_end.pre_emphasis, "seed": config.seed}
    options = {name: value for name, value in config.mixtures.items() if name != "in_memory"} | common
    noise, training_snr_db = Noise(speech, utterances, config.noise.kinds, config.noise.folder), None
    if config.noise.training_snr_db is not None:
        training_snr_db = tuple(config.noise.training_snr_db)
        options |= {"noise": noise, "snr_db": training_snr_db}
        noise.require(["train"], setup.n_speakers)
    if config.noise.evaluation_snr_db:
        noise.require(config.evaluation.splits, setup.n_speakers)

    def training_mixtures(split):
        return TrainingMixtures(speech, utterances[utterances["split"] == split], speakers, **options)

    def frozen_list(split, per_kind, seconds, level_range_db=0.0):
        return evaluation_list(speech, utterances, split, n_per_kind=per_kind, seconds=seconds,
                               level_range_db=level_range_db, **common)

    # The lists are drawn before the training, so that what is missing is told at once.
    validation = frozen_list("validation", config.validation.per_kind, config.validation.seconds)
    if training_snr_db is not None:
        validation = add_noise(validation, noise, training_snr_db, config.seed)
    mixtures = pd.concat([frozen_list(split, config.evaluation.per_kind, config.evaluation.seconds,
                                      config.evaluation.level_range_db) for split in config.evaluation.splits])
    noisy = [at_snr(mixtures, noise, snr_db, config.seed) for snr_db in config.noise.evaluation_snr_db]
    mixtures = pd.concat([mixtures, *noisy])
    held_out = utterances[utterances["split"] == "train-validation"]
    held_out_batches = []
    if held_out["speaker"].nunique() >= setup.n_speakers:
        held_out_batches = [training_mixtures("train-validation").batch(i) for i in range(config.validation.batches)]
    runs.open_folder(config, folder, utterances, command)

    train_systems(systems, training_mixtures("train"), held_out_batches,
                  lambda model: evaluation.validate(model, speech, validation, noise), settings, setup, folder)
    scores = score_systems(config, systems, front_end, speech, mixtures, noise, folder)
    summary = summarise(scores, config.seed)
    runs.write_csv(summary, folder / "summary.csv")
    runs.write_csv(paired_differences(scores, config.method.name, config.seed), folder / "differences.csv")
    write_figures(folder)
    write_report(folder)
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

    systems = {}
    for name, described in described_systems(config).items():
        keras.utils.set_random_seed(config.seed)  # so that no system depends on those before it
        try:
            systems[name] = instantiate(described.build, _partial_=True)(setup)
        except (TypeError, ValueError) as error:  # a setting that a layer refuses
            raise UserError(f"the system {name} cannot be built: {error}") from error
    for name, described in described_systems(config).items():
        path = str(described.build.get("path", ""))
        if path.startswith("systems/") and not isinstance(systems.get(path.removeprefix("systems/")), Method):
            raise UserError(f"the system {name} wants the model at {path}, but this run trains no such system; it "
                            f"trains {', '.join(n for n, system in systems.items() if isinstance(system, Method))}.")
    return systems


def train_systems(systems, mixtures, held_out_batches, validate, settings, setup, folder) -> None:
    """Train what can be trained, one after the other, each into `systems/<name>` of the run."""
    from lab41_sce import training
    from lab41_sce.article.voices import speakers_table
    from lab41_sce.methods.base import Method

    histories, facts = [], []
    for name, system in systems.items():
        if not isinstance(system, Method):
            continue
        logger.info("Training %s.", name)
        history = training.train(system, mixtures, held_out_batches,
                                 lambda model=system.model: validate(model), settings, folder / "systems" / name)
        logger.info("Trained %s: %d updates in %.1f minutes.", name, *history[["update", "minutes"]].iloc[-1])
        if hasattr(system, "speaker_vectors"):
            vectors = system.speaker_vectors(np.arange(len(setup.speakers))).numpy()
            table = speakers_table(vectors, setup.speech, setup.utterances, setup.speakers)
            runs.write_csv(table, folder / "systems" / name / "speakers.csv")
        histories.append(history.assign(system=name))
        facts.append({"system": name, "parameters": system.model.count_params()} | training.totals(history))
    if histories:
        runs.write_csv(pd.concat(histories), folder / "history.csv")
    runs.write_csv(pd.DataFrame(facts, columns=["system", "parameters", *training.TOTALS]), folder / "systems.csv")


def score_systems(config, systems, front_end, speech, mixtures, noise, folder) -> pd.DataFrame:
    """Score every system that this run has not scored yet; return the scores of all, which mixtures.csv keeps."""
    import keras

    from lab41_sce import evaluation
    from lab41_sce.lists import speech_split
    from lab41_sce.methods.base import Method
    from lab41_sce.methods.embedding import EmbeddingModel

    described, able = described_systems(config), {}
    for name, system in systems.items():
        splits = described[name].get("splits") or config.evaluation.splits
        if isinstance(system, Method):
            model = keras.saving.load_model(folder / "systems" / name / "model.keras")  # the best, not the last
            system = evaluation.trained_system(model)
            if isinstance(model, EmbeddingModel) and model.clusters:
                able[f"{name}_true_centres"] = evaluation.true_centres_system(model), splits
        able[name] = system, splits

    scores = runs.earlier_scores(folder, mixtures)
    # Those of saved models are made anew: their weights may have changed without a trace in this run.
    saved = [name for name, system in described.items() if system.build._target_.endswith(".saved.build")]
    scores = scores[~scores["system"].isin(saved)]
    runs.write_csv(scores, folder / "mixtures.csv")  # before the list, so that scores and list always agree
    runs.write_csv(mixtures, folder / "evaluation.csv")
    examples = evaluation.Examples(folder, config.method.name, config.evaluation.examples_per_kind,
                                   front_end.sample_rate_hz)
    for split, of_split in mixtures.groupby("split", sort=False):
        done = set(scores.loc[scores["split"] == split, "system"])
        missing = {name: system for name, (system, splits) in able.items()
                   if speech_split(split) in splits and name not in done}
        if missing:
            keep = examples.keep if config.method.name in missing else None
            added = evaluation.score_systems(front_end, missing, speech, of_split, config.evaluation.jobs, keep, noise)
            scores = pd.concat([scores, added]) if len(scores) else added
            runs.write_csv(scores, folder / "mixtures.csv")
    if examples.rows:
        runs.write_csv(examples.table(), folder / "examples.csv")
    return scores


def check_settings(config: DictConfig) -> None:
    """Raise UserError about a setting that is missing, of the wrong type or outside its range."""
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise UserError(f"{', '.join(missing)} must be given, like this: {missing[0]}=VALUE.")
    for name, least in LEAST.items():
        value, most = OmegaConf.select(config, name), 1 if name in FRACTIONS else float("inf")
        types = int if isinstance(least, int) else (int, float)
        fits = isinstance(value, types) and not isinstance(value, bool) and least <= value <= most
        if not fits and not (value is None and name in NULL_ALLOWED):
            raise UserError(f"{name}={value} is not possible; give a {'whole ' if types is int else ''}number of at "
                            f"least {least}{' and at most 1' if most == 1 else ''}"
                            f"{', or null' if name in NULL_ALLOWED else ''}.")
    for name in LISTS:
        value = OmegaConf.select(config, name)
        if not isinstance(value, ListConfig):
            raise UserError(f"{name}={value} is not possible; give a list: '{name}=[{value or ''}]'.")
    for name, system in config.others.items():
        if system.name != name:
            raise UserError(f"others.{name}.name={system.name} is not possible; give a system its own name, like "
                            f"this: +method@others.{system.name}={system.name}.")
    for name, choices in CHOICES.items():
        if OmegaConf.select(config, name) not in choices:
            raise UserError(f"{name}={OmegaConf.select(config, name)} is unknown; choose from {', '.join(choices)}.")
    if not config.evaluation.splits or set(config.evaluation.splits) - {"unseen", "in-set", "validation"}:
        raise UserError(f"evaluation.splits={list(config.evaluation.splits)} is not possible; "
                        "choose from unseen, in-set, validation.")
    check_noise(config.noise)
    able = config.method.get("splits") or config.evaluation.splits
    if not set(able) & set(config.evaluation.splits):
        raise UserError(f"evaluation.splits={list(config.evaluation.splits)} is not possible with "
                        f"{config.method.name}, which can be scored on {', '.join(able)} only.")
    if not isinstance(config.evaluation.jobs, int) or config.evaluation.jobs == 0:
        raise UserError(f"evaluation.jobs={config.evaluation.jobs} is not possible; "
                        "give a number of processes, or -1 for one each core.")


def check_noise(noise: DictConfig) -> None:
    """Raise UserError about settings of the noise that are not possible."""
    from lab41_sce.noise import KINDS

    training, evaluation = noise.training_snr_db, noise.evaluation_snr_db
    if training is not None and not (isinstance(training, ListConfig) and len(training) == 2 and _numbers(training)
                                     and training[0] <= training[1]):
        raise UserError(f"noise.training_snr_db={training} is not possible; give the lowest and the highest in dB, "
                        "like this: '[-5, 15]', or null.")
    if not _numbers(evaluation) or len(set(evaluation)) < len(evaluation):
        raise UserError(f"noise.evaluation_snr_db={evaluation} is not possible; give different numbers of dB.")
    if set(noise.kinds) - set(KINDS) or ((training or evaluation) and not noise.kinds):
        raise UserError(f"noise.kinds={noise.kinds} is not possible; choose from {', '.join(KINDS)}.")
    if "folder" in noise.kinds and noise.folder is None:
        raise UserError("noise.kinds has folder, but there is no noise.folder; give noise.folder=PATH.")


def _numbers(values) -> bool:
    """Tell whether all values are numbers."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


@hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name="config")
def main(config: DictConfig) -> None:
    """Run the configured experiment and print its table; tell a mistake in one sentence."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        run(config, folder, shlex.join(["python", "-m", "lab41_sce.experiment", *sys.argv[1:]]))
    except UserError as error:
        sys.exit(f"error: {error}")
    except InstantiationException as error:  # a setting that a layer refuses; the last cause says why
        sys.exit(f"error: {error.__cause__ or error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command with resume=true goes on from the last checkpoint")
    print(f"\n{(folder / 'table.md').read_text('utf-8')}\nReport: {(folder / 'report.html').resolve()}")


if __name__ == "__main__":
    main()
