"""Commands with TensorFlow, each in a separate process, write no messages of libraries."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from lab41_sce.examples import EXAMPLES
from lab41_sce.quiet import LEVEL_VARIABLE


def outcome(folder, *arguments):
    """Run a command in a folder; return what stdout and stderr received."""
    environment = {name: value for name, value in os.environ.items() if name != LEVEL_VARIABLE}
    done = subprocess.run([sys.executable, "-m", "lab41_sce", *map(str, arguments)], cwd=folder, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--jobs", "2"]])
def test_separate_writes_the_names_of_files_and_a_line_for_each_recording(tmp_path, more):
    files = EXAMPLES[:2] if more else EXAMPLES[:1]
    out, err = outcome(tmp_path, "separate", *files, "--speakers", "2", *more)
    assert out.splitlines() == [f"{file.stem}_{number}.wav" for file in files for number in (1, 2)]
    assert not [line for line in err.splitlines() if not line.startswith(tuple(file.name for file in files))]


@pytest.mark.slow
def test_score_store_export_and_download_write_results_only(tmp_path, corpus_root):
    sources = np.random.default_rng(0).standard_normal((2, 16_000)) * 0.1
    signals = {"mixtures/a": sources.sum(axis=0), "references/a_1": sources[0], "references/a_2": sources[1],
               "voices/a_1": sources[0] + 0.1 * sources[1], "voices/a_2": sources[1]}
    for name, signal in signals.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", signal, 16_000)
    for name, wanted in (("score mixtures references voices", "dB, 1 mixture\n"), ("download --help", "--verbose"),
                         ("export pretrained --format saved_model", "differs from the Keras model"),
                         (f"store {corpus_root} store --subsets train", "72 utterances")):
        out, err = outcome(tmp_path, *name.split())
        assert wanted in out and err == "", name


@pytest.mark.slow
def test_an_experiment_and_its_sweep_write_results_only(tmp_path):
    settings = ["training.updates=2", "run_dir=runs", "evaluation.per_kind=1", "evaluation.jobs=2"]
    out, err = outcome(tmp_path, "experiment", "--multirun", "+exp=smoke", *settings, "seed=0")
    assert "Report: " in out and err == ""
    out, err = outcome(tmp_path, "sweep", "runs")
    assert "SDRi" in out and err == ""
