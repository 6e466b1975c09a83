"""Train an experiment's method by Keras's PyTorch backend, for a GPU on a machine without TensorFlow.

    python tools/train_with_torch.py FOLDER SPEECH SPLITS +exp=pretrained_gpu [--minutes 17]

FOLDER becomes the folder of a run, as far as separation wants one: `systems/NAME/model.keras` (the best) and its
`history.csv`, `systems.csv`, `splits.csv`, `config.yaml`, `version.json`. SPEECH is a tree of LibriSpeech, perhaps one
that `pack_speech.py` made; SPLITS is the `splits.csv` of another run, which says who is trained on. Networks, losses,
mixtures and validation are the package's own. Batches are drawn by as many processes as there are cores. What differs
from `lab41_sce.training` is that Adam is PyTorch's, and that there are no checkpoints.
"""

import argparse
import json
import math
import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lab41_sce.atomic_write import write_text, write_whole
from lab41_sce.data import librispeech, splits
from lab41_sce.data.evaluation_set import add_noise, draw_evaluation_set
from lab41_sce.data.noise import Noise
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.speech import Speech
from lab41_sce.evaluation import scoring
from lab41_sce.methods.base import Setup
from lab41_sce.runs.config_schema import CONFIG_PATH

MONITOR = "validation_si_sdri_db"


class Batches(torch.utils.data.Dataset):
    """Number the batches of some `TrainingMixtures`, for PyTorch's processes to draw."""

    def __init__(self, mixtures):
        self.mixtures = mixtures

    def __getitem__(self, index):
        """Draw batch number `index`: a dict of tensors."""
        return {name: torch.from_numpy(values) for name, values in self.mixtures.batch(index).items()}


class Training:
    """Hold what an experiment trains, and the speech that it hears.

    Args:
        config: the composed configuration.
        table: of utterances, with their splits.
    """

    def __init__(self, config, table: pd.DataFrame):
        self.config = config
        self.table = splits.perturb_speed(table, config.mixtures.speeds)
        self.speakers = splits.trained_speakers(self.table)
        front_end = instantiate(config.front_end)
        self.speech = Speech(self.table, front_end.sample_rate_hz)
        noise = self.noise = Noise(self.speech, self.table, config.noise.kinds)
        keras.utils.set_random_seed(config.seed)
        setup = Setup(front_end, instantiate(config.network), config.mixtures.n_speakers, tuple(self.speakers),
                      self.speech, self.table)
        self.method = instantiate(config.method.build, _partial_=True)(setup)
        options = {name: value for name, value in config.mixtures.items() if name not in ("in_memory", "speeds")}
        snr_db = config.noise.training_snr_db
        if snr_db is not None:
            options |= {"noise": noise, "snr_db": tuple(snr_db)}
        common = {"n_speakers": config.mixtures.n_speakers, "pre_emphasis": front_end.pre_emphasis, "seed": config.seed}
        self.mixtures = TrainingMixtures(self.speech, self.table[self.table["split"] == "train"], self.speakers,
                                         **options | common)
        self.validation = draw_evaluation_set(self.speech, self.table, "validation", n_per_kind=config.validation.per_kind,
                                          seconds=config.validation.seconds, **common)
        if snr_db is not None:
            self.validation = add_noise(self.validation, noise, tuple(snr_db), config.seed)
        on_gpu({name: torch.from_numpy(values) for name, values in self.mixtures.batch(0).items()}, self.method)

    def run(self, folder: Path, minutes: float, n_workers: int) -> None:
        """Train for some minutes, the validations included, and write the folder."""
        settings, place = self.config.training, folder / "systems" / self.config.method.name
        place.mkdir(parents=True, exist_ok=True)
        batches = torch.utils.data.DataLoader(Batches(self.mixtures), batch_size=None, sampler=range(10**9),
                                              pin_memory=True, num_workers=n_workers, prefetch_factor=4)
        adam = optimizer(self.method, settings)
        weights = [weight.value for weight in self.method.trainable_variables]
        start, history, losses, waited = time.monotonic(), [], [], 0.0
        drawn = iter(batches)
        for number in range(10**9):
            done = (time.monotonic() - start) / 60 / minutes
            rate = settings.learning_rate * min(1.0, (number + 1) / settings.warmup_updates)
            adam.param_groups[0]["lr"] = rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))
            began = time.monotonic()
            batch = next(drawn)
            waited += time.monotonic() - began
            losses.append(update(self.method, batch, adam, weights, settings.clip_norm))
            if number % 100 == 99 and not math.isfinite(losses[-1].item()):
                raise SystemExit(f"error: the loss is no finite number after update {number + 1}")
            if (number + 1) % settings.validate_every and done < 1:
                continue
            loss, losses = torch.stack(losses).mean().item(), []
            passed = (time.monotonic() - start) / 60
            row = {"update": number + 1, "minutes": round(passed, 3), "learning_rate": adam.param_groups[0]["lr"],
                   "seconds_per_update": round(60 * passed / (number + 1), 4), "loss": loss,
                   "waited_minutes": round(waited / 60, 3)}
            with torch.no_grad():
                row |= scoring.validate(self.method.model, self.speech, self.validation, self.noise)
            history.append(row)
            if row[MONITOR] >= max(earlier[MONITOR] for earlier in history):
                write_whole(place / "model.keras", self.method.model.save)
            table = pd.DataFrame(history)
            write_whole(place / "history.csv", lambda path, table=table: table.to_csv(path, index=False))
            print({name: round(value, 4) for name, value in row.items()}, flush=True)
            if done >= 1:
                break
        last, best = history[-1], max(history, key=lambda row: row[MONITOR])
        facts = {"system": self.config.method.name, "parameters": self.method.model.count_params()}
        facts |= {name: last[name] for name in ("update", "minutes", "seconds_per_update")}
        facts = pd.DataFrame([facts | {"best_update": best["update"]}]).rename(columns={"update": "updates"})
        write_whole(folder / "systems.csv", lambda path: facts.to_csv(path, index=False))


def compose_config(overrides):
    """Compose the configuration of an experiment."""
    with initialize_config_dir(str(CONFIG_PATH.resolve()), version_base="1.3"):
        return compose("config", overrides)


def describe_machine() -> dict:
    """Say where this runs, and with which versions."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions = {name: version(name) for name in ("torch", "keras", "numpy")}
    return {"gpu": gpu, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def optimizer(method, settings):
    """Return Adam as `keras.optimizers.Adam` has it."""
    weights = [weight.value for weight in method.trainable_variables]
    return torch.optim.Adam(weights, settings.learning_rate, (0.9, settings.beta_2), eps=1e-7)


def on_gpu(batch, method):
    """Compute the loss of a batch of the CPU's."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return method({name: values.to(device, non_blocking=True) for name, values in batch.items()}, training=True)


def update(method, batch, adam, weights, clip_norm):
    """Make an update; return its loss, a tensor that nobody has waited for."""
    loss = on_gpu(batch, method)
    adam.zero_grad()
    loss.backward()
    if clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(weights, clip_norm)
    adam.step()
    return loss.detach()


def main():
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("splits", type=Path)
    parser.add_argument("overrides", nargs="+", help="of the configuration, such as +exp=large")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    config, listed = compose_config(options.overrides), pd.read_csv(options.splits, dtype=str)
    subsets = [folder.name for folder in sorted(options.speech.iterdir()) if folder.is_dir()]
    table = librispeech.load(options.speech, subsets, check="headers")
    training = Training(config, table.merge(listed[["utterance", "split"]], on="utterance"))
    options.folder.mkdir(parents=True, exist_ok=True)
    write_text(options.folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    about = describe_machine() | {"command": shlex.join(["python", *sys.argv])}
    write_text(options.folder / "version.json", json.dumps(about, indent=2))
    write_text(options.folder / "splits.csv", options.splits.read_text("utf-8"))
    training.run(options.folder, options.minutes, options.workers)


if __name__ == "__main__":
    main()
