"""The same seed gives the same bits: mixtures, training, weights, scores."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lab41_sce.separation.separator import Separator

TWICE = """
import sys
from pathlib import Path
from lab41_sce.article import draw
from lab41_sce.commands import experiment
from lab41_sce.reporting import report
from lab41_sce.runs.config_schema import compose_config
draw.write_figures = report.write_report = lambda *arguments, **more: None  # slow, and not compared
for folder in sys.argv[1:3]:
    experiment.run(compose_config([*sys.argv[3:], f"run_dir={folder}"]), Path(folder))
"""


@pytest.mark.slow
def test_two_deterministic_runs_are_alike_to_the_last_bit(corpus_root, tmp_path):
    """In a process of its own, since TensorFlow cannot leave its deterministic mode."""
    folders = [tmp_path / "one", tmp_path / "other"]
    result = subprocess.run(
        [sys.executable, "-c", TWICE, *folders, "+exp=smoke", "corpus=librispeech", f"corpus.root={corpus_root}",
         "corpus.subsets=[train]", "corpus.unseen_subsets=[]", "mixtures.seconds=0.5", "validation.seconds=1.5",
         "evaluation.seconds=1.5", "evaluation.splits=[unseen]", "evaluation.jobs=1", "training.updates=6",
         "training.validate_every=3", "training.tensorboard=false", "deterministic=true"],
        capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for name in ("splits.csv", "evaluation.csv", "mixtures.csv", "summary.csv", "systems/sce/speakers.csv"):
        one, other = ((folder / name).read_bytes() for folder in folders)
        assert one == other, name
    histories = [pd.read_csv(folder / "history.csv").drop(columns=["minutes", "seconds_per_update"])
                 for folder in folders]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    models = [Separator.load(folder, runtime="keras").model for folder in folders]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
