"""Several workers: each draws its rows of a batch, the loss is that of one process, a killed worker restarts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from lab41_sce.data import splits
from lab41_sce.data.corpus import load_corpus
from lab41_sce.data.sampler import TrainingMixtures
from lab41_sce.data.settings import MixtureSettings
from lab41_sce.data.speech import Speech
from lab41_sce.errors import UserError
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.training import callbacks, distributed, launcher, trainer
from lab41_sce.training.settings import TrainingSettings
from lab41_sce.yaml_defaults import with_yaml_defaults


def draw(root, rows=slice(None), **options):
    utterances = splits.split(load_corpus(root, ["train"], check="headers"), 2)
    return TrainingMixtures(Speech(utterances, 10000, in_memory=False), utterances[utterances["split"] == "train"],
                            splits.trained_speakers(utterances),
                            MixtureSettings(seconds=0.5, batch_size=4, **options), pre_emphasis=0.95, seed=0, rows=rows)


def network(n_bins, n_outputs):
    features = keras.Input((None, n_bins))
    bins = keras.layers.Dense(n_bins * n_outputs)(keras.layers.Dense(8, activation="tanh")(features))
    return keras.Model(features, keras.layers.Reshape((-1, n_bins, n_outputs))(bins))


def train(root, folder, together):
    """Train a tiny network for eight updates, each worker with a seed of its own."""
    keras.utils.set_random_seed(together.rank)
    setup = Setup(FrontEnd(), network, 2, speakers=tuple(range(20)))
    build = with_yaml_defaults("method/sce_article", embedding_size=3, loss_range_db=20.0, weight_power=1.0,
                               centroid_loss_weight=0.5, seed=0)
    method = build(setup)
    settings = TrainingSettings(updates=8, minutes=60, validate_every=2, learning_rate=0.003, warmup_updates=0,
                                decay="none", clip_norm=0.01, tensorboard=False)
    return trainer.train(method, draw(root, together.rows(4)), [], lambda: {"validation_si_sdri_db": 0.0}, settings,
                          folder, together)


def main(root, folder):
    """Train as one worker; the second one kills itself, once, as soon as there is a checkpoint."""
    together = distributed.Workers("mirrored")
    together.connect()
    if together.rank == 1 and "resume=true" not in sys.argv:
        end = callbacks.UpdateCounter.on_train_batch_end

        def die(self, batch, logs=None):
            end(self, batch, logs)
            if self.state.update == 5:
                os.kill(os.getpid(), signal.SIGKILL)

        callbacks.UpdateCounter.on_train_batch_end = die
    try:
        train(root, folder, together)
    except distributed.WorkerLost as error:
        (Path(folder).parent / "error.txt").write_text(str(error))
        launcher.restart_process()
        raise


@pytest.mark.slow
def test_two_workers_train_as_one_process_and_a_killed_one_restarts(corpus_root, tmp_path):
    status = launcher.launch([sys.executable, __file__, str(corpus_root), str(tmp_path / "two")], count=2)
    assert status == 0
    one = train(corpus_root, tmp_path / "one", distributed.Workers())
    two = pd.read_csv(tmp_path / "two" / "history.csv")
    assert two["update"].to_list() == [2, 4, 6, 8]
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    assert one["loss"].iloc[-1] < one["loss"].iloc[0] * 0.999
    assert "does not answer" in (tmp_path / "error.txt").read_text()


@pytest.mark.parametrize("options", [{}, {"response_db": 6, "telephone": 0.5, "level_range_db": 5}])
def test_workers_draw_the_rows_of_one_batch(corpus_root, options):
    whole = draw(corpus_root, **options).batch(3)
    for rank in range(2):
        for name, values in draw(corpus_root, slice(rank, None, 2), **options).batch(3).items():
            np.testing.assert_array_equal(values, whole[name][rank::2])


def test_a_worker_finds_its_place(monkeypatch):
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    for job, index, rank in [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)]:
        place = {"cluster": cluster, "task": {"type": job, "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(place))
        found = distributed.Workers("multi_worker")
        assert (found.rank, found.count, found.is_chief) == (rank, 3, rank == 0)
    with pytest.raises(UserError, match="multiple of 3"):
        found.rows(32)
    assert found.rows(6) == slice(2, None, 3)


@pytest.mark.parametrize("place", [
    "", "{}", "[1]", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}'])
def test_a_description_of_the_workers_that_cannot_be_parsed_is_refused(monkeypatch, place):
    monkeypatch.setenv("TF_CONFIG", place)
    with pytest.raises(UserError, match="TF_CONFIG, a list of the workers"):
        distributed.Workers("multi_worker")


def test_a_machine_without_gpus_needs_a_number_of_workers(monkeypatch):
    monkeypatch.setattr(launcher, "_gpus", list)
    with pytest.raises(UserError, match="training.workers=N"):
        launcher.launch(["true"])


FAIL_OR_WAIT = """
import json, os, pathlib, signal, sys, time
there = pathlib.Path(sys.argv[1])
if json.loads(os.environ["TF_CONFIG"])["task"]["index"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as TensorFlow does
    there.touch()
    time.sleep(120)
while not there.exists():
    time.sleep(0.05)
sys.exit(3)
"""
DIE_OR_FINISH = """
import json, os, pathlib, signal, sys, time
folder, rank = pathlib.Path(sys.argv[1]), json.loads(os.environ["TF_CONFIG"])["task"]["index"]
again = "resume=true" in sys.argv
(folder / f"{rank}_{again}").touch()
while not again and rank == 0:
    if (folder / "1_False").exists():
        time.sleep(0.3)  # until it has ended
        os.kill(os.getpid(), signal.SIGKILL)
end = time.monotonic() + 20
while again and not (folder / f"{1 - rank}_True").exists():
    if time.monotonic() > end:
        sys.exit(4)
"""


def test_the_first_failure_ends_all(monkeypatch, tmp_path):
    monkeypatch.setattr(launcher, "_gpus", list)
    start = time.monotonic()
    assert launcher.launch([sys.executable, "-c", FAIL_OR_WAIT, str(tmp_path / "there")], count=2) == 3
    assert time.monotonic() - start < 60


def test_a_finished_worker_restarts_with_one_that_was_killed(monkeypatch, tmp_path):
    """The chief scores when the others have ended; killed then, it restarts and waits for them."""
    monkeypatch.setattr(launcher, "_gpus", list)
    assert launcher.launch([sys.executable, "-c", DIE_OR_FINISH, str(tmp_path)], count=2) == 0
    assert (tmp_path / "1_True").exists()


COMMAND = """
import os, pandas
from lab41_sce.commands import experiment
experiment.launch = lambda command, count: print("launched", *command[3:]) or int(os.environ.get("STATUS", 0))
experiment.run = lambda config, folder, command: print("resume", config.resume) or pandas.DataFrame()
raise SystemExit(experiment.main())
"""


def command(*arguments, **environment):
    """Run the command of experiments with nothing behind it; return its status and what it printed."""
    ended = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True,
                           env=os.environ | environment, check=False)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.slow
def test_every_run_of_a_sweep_starts_workers_and_they_find_all_settings(tmp_path):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "mine.yaml").write_text("# @package _global_\ntraining: {updates: 1}\n")
    sweep = ["+exp=smoke", f"run_dir={tmp_path}/sweep", "seed=0,1", "training.strategy=mirrored"]
    status, printed = command("-m", *sweep)
    assert status == 0 and [printed.count(f"run_dir={tmp_path}/sweep/{number}") for number in (0, 1)] == [1, 1], printed
    status, printed = command("-m", *sweep, STATUS="1")
    assert status == 1 and "ended with exit status 1" in printed and printed.count("launched") == 2, printed
    status, printed = command("--config-dir", str(tmp_path), "+exp=mine", "training.strategy=mirrored")
    assert status == 0 and f"launched --config-dir={tmp_path} +exp=mine" in printed, printed


@pytest.mark.slow
def test_a_restarted_worker_resumes_its_own_run_and_not_an_earlier_one(tmp_path):
    (tmp_path / "config.yaml").touch()
    (tmp_path / "version.json").write_text('{"command_identifier": "mine"}')
    place = json.dumps({"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}})
    for identifier, expected in (("another", "resume False"), ("mine", "resume True"), ("any", "resume True")):
        _, printed = command("+exp=smoke", f"run_dir={tmp_path}", "training.strategy=multi_worker", "overwrite=true",
                          "resume=true", LAB41_SCE_COMMAND=identifier, TF_CONFIG=place)
        assert expected in printed, printed


if __name__ == "__main__":
    main(*sys.argv[1:3])
