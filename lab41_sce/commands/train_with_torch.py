"""Train the method of an experiment by PyTorch, for a GPU on a machine without TensorFlow.

    python -m lab41_sce.train_with_torch FOLDER SPEECH SPLITS +exp=shipped [--minutes 17]

FOLDER receives the files of a run that separation needs: `systems/NAME/model.keras` (the best) and its
`history.csv`, `systems.csv`, `splits.csv`, `config.yaml`, `version.json`. SPEECH is a tree of LibriSpeech, or of the
corpus that `corpus=NAME` names. SPLITS is the `splits.csv` of another run, which names the utterances of SPEECH to
train on. The corpora of `corpus.added` join them:

    python -m lab41_sce.train_with_torch FOLDER SPEECH SPLITS +exp=shipped corpus=librispeech_speechocean762 \
        corpus.added.speechocean762.root=PATH
"""

import argparse
import importlib.util
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from lab41_sce.atomic_write import write_csv
from lab41_sce.command_line import Parser, command
from lab41_sce.errors import UserError
from lab41_sce.runs.config_schema import check, compose_config
from lab41_sce.runs.run_directory import describe_run, lock_run_directory, require_free
from lab41_sce.runs.versions import versions


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line; return 0, or 1 after one sentence about a mistake."""
    parser = Parser(prog="python -m lab41_sce.train_with_torch", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the new run")
    parser.add_argument("speech", type=Path, help="folder with SPEAKERS.TXT and the subsets")
    parser.add_argument("splits", type=Path, help="splits.csv of another run")
    parser.add_argument("overrides", nargs="+", help="settings, such as +exp=shipped")
    parser.add_argument("--minutes", type=float, help="limit of the training time, instead of the experiment's limits")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 2),
                        help="processes that draw batches")
    options = parser.parse_args(arguments)
    _train(options, shlex.join(["python", "-m", "lab41_sce.train_with_torch",
                                *(sys.argv[1:] if arguments is None else arguments)]))
    return 0


def _train(options: argparse.Namespace, command: str) -> None:
    """Train with parsed options."""
    if options.processes < 1:
        raise UserError(f"--processes {options.processes} is not possible; give at least 1.")
    if importlib.util.find_spec("torch") is None:
        raise UserError("this command needs PyTorch, which is not installed; pip install torch.")
    if not options.speech.is_dir() or not options.splits.is_file():
        raise UserError(f"{options.speech} is not a folder, or {options.splits} is not a file; give the folder of the "
                        "speech, and the splits.csv of another run.")
    chosen = any(override.startswith("corpus=") for override in options.overrides)
    limits = [] if options.minutes is None else [f"training.minutes={options.minutes}", "training.updates=null"]
    config = compose_config([*([] if chosen else ["corpus=librispeech"]), "corpus.check=headers", *options.overrides,
                             f"corpus.root={options.speech}", *limits])
    config.corpus.subsets = [folder.name for folder in sorted(options.speech.iterdir()) if folder.is_dir()]
    config.corpus.unseen_subsets = []
    settings = check(config)
    os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported, for the first time, below
    import torch

    from lab41_sce.runs.prepare import load_listed_speech, prepare
    from lab41_sce.runs.systems import build_method
    from lab41_sce.training import torch_trainer
    from lab41_sce.training.history import TOTALS, totals

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        listed = pd.read_csv(options.splits, dtype=str, keep_default_na=False)
    except ValueError:
        listed = pd.DataFrame()
    if missing := [name for name in ("utterance", "split") if name not in listed]:
        raise UserError(f"{options.splits} is no table with a column `{missing[0]}`; give the splits.csv of another "
                        "run.")
    recorded = load_listed_speech(settings, listed)
    prepared = prepare(config, settings, recorded)
    method = build_method(config, prepared.setup)

    with lock_run_directory(options.folder):
        require_free(options.folder)  # nothing is resumed
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
        describe_run(config, options.folder, versions(command, ("torch", "keras", "numpy")) | {"gpu": gpu})
        added = recorded[~recorded["utterance"].isin(listed["utterance"])]
        write_csv(pd.concat([listed, added])[listed.columns], options.folder / "splits.csv")
        name = config.method.name
        history = torch_trainer.train(method, prepared.mixtures("train"), partial(prepared.validate, method.model),
                                      settings.training, options.folder / "systems" / name, options.processes)
        facts = {"system": name, "parameters": method.model.count_params()} | totals(history)
        write_csv(pd.DataFrame([facts], columns=["system", "parameters", *TOTALS]), options.folder / "systems.csv")
