"""From a configuration to a report: corpus, splits, mixtures, training, scores, page.

    python -m lab41_sce.experiment +exp=two_speaker corpus=librispeech corpus.root=PATH training.minutes=60

A run is one folder (`run_dir`): `config.yaml`, `version.json`, `splits.csv`, `checkpoint.npz`, `model.keras`,
`history.csv`, `evaluation.csv` (the frozen mixtures), `mixtures.csv` (their scores), `summary.csv`, `table.md`,
`examples/`, `report.html`. The same command with `resume=true` goes on where it was interrupted.
"""

import json
import logging
import platform
import shlex
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import hydra
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lab41_sce import __version__
from lab41_sce.errors import UserError
from lab41_sce.files import write_whole

_INSTALLED = Path(__file__).parent / "experiments"
CONFIG_PATH = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parent.parent / "experiments"
# Settings that may differ between a run and its resumption.
FREE_ON_RESUME = ("resume", "overwrite", "run_dir", "evaluation")
FREE_TRAINING = ("updates", "minutes", "patience", "tensorboard")
RUN_FILES = ("checkpoint.npz", "splits.csv", "model.keras", "history.csv", "evaluation.csv", "mixtures.csv",
             "summary.csv", "examples.csv", "table.md", "report.html")
RUN_FOLDERS = ("tensorboard", "examples")

logger = logging.getLogger(__name__)


def run(config: DictConfig, folder: Path) -> pd.DataFrame:
    """Run an experiment into a folder.

    Args:
        config: the composed configuration (`experiments/config.yaml`).
        folder: of the run.

    Returns:
        The summary: columns `system`, `split`, `kind`, `metric`, `mean`, `low`, `high`, `n`.

    Raises:
        UserError: a setting, the corpus or the folder does not allow it.
    """
    claim_folder(config, folder)
    # TensorFlow is imported only now, so that a mistake in the configuration is told at once.
    import keras
    from hydra.utils import instantiate

    from lab41_sce import evaluation, training
    from lab41_sce.corpora import librispeech, splits
    from lab41_sce.metrics import summarise
    from lab41_sce.mixtures import Speech, TrainingMixtures, evaluation_list
    from lab41_sce.report import markdown_table, write_report

    settings = training.TrainingSettings(**{name: value for name, value in config.training.items()
                                            if name != "validation_per_kind"})
    keras.utils.set_random_seed(config.seed)
    corpus = {name: value for name, value in config.corpus.items() if name != "name"}
    utterances = splits.split(librispeech.load(**corpus), config.mixtures.n_speakers, config.corpus.unseen_subsets,
                              **config.splits)
    keep_splits(utterances, folder / "splits.csv")

    front_end = instantiate(config.front_end)
    options = {name: value for name, value in config.mixtures.items() if name != "in_memory"}
    common = {"n_speakers": config.mixtures.n_speakers, "pre_emphasis": front_end.pre_emphasis, "seed": config.seed}
    speech = Speech(utterances, front_end.sample_rate_hz, config.mixtures.in_memory)
    speakers = splits.trained_speakers(utterances)

    def training_mixtures(split):
        of_split = utterances[utterances["split"] == split]
        if of_split["speaker"].nunique() < config.mixtures.n_speakers:
            return None
        return TrainingMixtures(speech, of_split, speakers, **options | common)

    def frozen_list(split, per_kind, seconds, level_range_db):
        return evaluation_list(speech, utterances, split, n_per_kind=per_kind, seconds=seconds,
                               level_range_db=level_range_db, **common)

    method = instantiate(config.method.build, front_end=front_end, network=instantiate(config.network),
                         n_known_speakers=len(speakers))
    validation = frozen_list("validation", config.training.validation_per_kind, config.evaluation.seconds, 0.0)
    history = training.train(
        method, training_mixtures("train"), training_mixtures("train-validation"),
        lambda: evaluation.validate(method.model, speech, validation), settings, folder,
    )
    logger.info("Trained %d updates in %.1f minutes.", history["update"].iloc[-1], history["minutes"].iloc[-1])

    model = keras.saving.load_model(folder / "model.keras")
    mixtures = pd.concat([frozen_list(split, config.evaluation.per_kind, config.evaluation.seconds,
                                      config.evaluation.level_range_db) for split in config.evaluation.splits])
    write_csv(mixtures, folder / "evaluation.csv")
    systems = {config.method.name: evaluation.trained_system(model),
               f"{config.method.name}_true_centres": evaluation.true_centres_system(model),
               **evaluation.reference_systems(front_end)}
    examples = evaluation.Examples(folder, config.method.name, config.evaluation.examples_per_kind,
                                   front_end.sample_rate_hz)
    scores = evaluation.score_systems(front_end, systems, speech, mixtures, config.evaluation.jobs, examples.keep)
    write_csv(scores, folder / "mixtures.csv")
    write_csv(examples.table(), folder / "examples.csv")
    summary = summarise(scores, config.seed)
    write_csv(summary, folder / "summary.csv")
    report = write_report(folder)
    print(f"\n{markdown_table(summary)}\n\nReport: {report.resolve()}")
    return summary


def claim_folder(config: DictConfig, folder: Path) -> None:
    """Make sure that a folder is this run's: new, resumed with the same settings, or to be overwritten."""
    stored, begun = folder / "config.yaml", (folder / "checkpoint.npz").exists()
    if begun and not (config.resume or config.overwrite):
        raise UserError(f"{folder} already holds a run; go on with resume=true, start again with overwrite=true, "
                        "or choose another run_dir.")
    if begun and not config.overwrite:
        earlier, now = comparable(OmegaConf.load(stored)), comparable(config)
        different = sorted(name for name in earlier.keys() | now.keys() if earlier.get(name) != now.get(name))
        if different:
            raise UserError(f"{folder} holds a run with other settings ({', '.join(different)}); resume with the same "
                            "ones, set overwrite=true, or choose another run_dir.")
    else:  # what an earlier run left, and nothing else: the folder may be shared with other files
        for name in RUN_FILES:
            (folder / name).unlink(missing_ok=True)
        for name in RUN_FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    stored.write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
    (folder / "version.json").write_text(json.dumps(versions(), indent=2), encoding="utf-8")


def comparable(config: DictConfig) -> dict:
    """Flatten the settings that a resumed run must share with its beginning: dotted name to value."""
    flat = {}

    def flatten(name, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                flatten(f"{name}.{key}" if name else key, inner)
        elif name.split(".")[0] not in FREE_ON_RESUME and name not in [f"training.{free}" for free in FREE_TRAINING]:
            flat[name] = value

    flatten("", OmegaConf.to_container(config, resolve=True))
    return flat


def versions() -> dict[str, str]:
    """Collect what a reader needs to repeat a run: versions, command, machine, time."""
    commit = subprocess.run(["git", "-C", Path(__file__).parent, "describe", "--always", "--dirty"],
                            capture_output=True, text=True, check=False)
    packages = {name: version(name) for name in ("tensorflow", "keras", "numpy", "scikit-learn", "mir_eval")}
    return {
        "lab41_sce": __version__,
        "git_commit": commit.stdout.strip() or "unknown",
        "python": platform.python_version(),
        **packages,
        "platform": platform.platform(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "lab41_sce.experiment", *sys.argv[1:]]),
    }


def keep_splits(utterances: pd.DataFrame, path: Path) -> None:
    """Write who is in which split, or check that a resumed run has the same."""
    table = utterances[["utterance", "speaker", "sex", "subset", "split"]]
    if path.exists() and not pd.read_csv(path, dtype=str).equals(table.astype(str)):
        raise UserError(f"the corpus or its splits differ from {path}; bring the same speech, or set overwrite=true.")
    write_csv(table, path)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all."""
    write_whole(path, lambda temporary: table.to_csv(temporary, index=False))


@hydra.main(version_base="1.3", config_path=str(CONFIG_PATH), config_name="config")
def main(config: DictConfig) -> None:
    """Run the configured experiment; tell a mistake in one sentence."""
    try:
        run(config, Path(HydraConfig.get().runtime.output_dir))
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command with resume=true goes on from the last checkpoint")


if __name__ == "__main__":
    main()
