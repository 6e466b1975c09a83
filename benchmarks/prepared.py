"""The overrides of an experiment become its configuration and its training mixtures, from one subset of a corpus."""

from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from lab41_sce.data.corpus import EMBEDDED_SUBSET, load_corpus
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.runs.config_schema import check, compose_config
from lab41_sce.runs.prepare import Prepared, prepare, split_speakers


def prepare_experiment(overrides: list[str], root: str | Path | None = None,
                       subset: str = EMBEDDED_SUBSET) -> tuple[DictConfig, Prepared]:
    """Prepare an experiment with one subset of a corpus; None is the embedded corpus."""
    config = compose_config([*overrides, "corpus=embedded"])
    settings = check(config)
    recorded = split_speakers(settings, load_corpus(root, [subset], check="headers"))
    return config, prepare(config, settings, recorded)


def training_mixtures(prepared: Prepared, batch: int, frames: int) -> TrainingMixtures:
    """Return the training mixtures of an experiment, with batches of another size and without a curriculum."""
    front_end, settings = prepared.setup.front_end, prepared.settings
    excerpt_seconds = frames * front_end.hop_length / front_end.sample_rate_hz
    changed = replace(settings.mixtures, batch_size=batch, seconds=excerpt_seconds, curriculum_batches=0)
    return replace(prepared, settings=replace(settings, mixtures=changed)).mixtures("train")
