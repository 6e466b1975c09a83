"""Timing: steps take turns, times are medians, memory is that of the tensors, losses are those of the training."""

import json
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest

from lab41_sce import atomic_write
from lab41_sce.article import sizes, timed_steps, timing


def test_steps_take_turns():
    calls = []

    def step(name, seconds):
        def sleep():
            calls.append(name)
            time.sleep(seconds)
        return sleep

    seconds = timing.measure_seconds({"slow": step("slow", 0.03), "fast": step("fast", 0.01)}, rounds=3)
    assert calls == ["slow", "fast"] * 3
    assert len(seconds["slow"]) == 3 and min(seconds["slow"]) > 0.025 and min(seconds["fast"]) > 0.008


@pytest.mark.slow
def test_memory_is_what_the_tensors_take(monkeypatch):
    """Twice the batch takes twice the memory, and deep clustering takes more than SCE."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name, value in timing.FRUGAL.items():
        monkeypatch.setenv(name, value)
    listed = [("loss", {"batch": batch, "frames": 40, "speakers": 9, "systems": timing.SYSTEMS}) for batch in (8, 16)]
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        small, large = pool.submit(timing.measure_megabytes, listed).result()
    if np.isnan(small["sce"]):
        pytest.skip("this system does not report the peak memory of a process")
    embeddings = 4 * 16 * 40 * sizes.BINS * sizes.EMBEDDING_SIZE / 2**20
    assert 0.9 * embeddings < large["sce"] < large["deep_clustering"] < 10 * embeddings
    for system, megabytes in small.items():
        assert 1.5 < large[system] / megabytes < 3


def test_both_forms_of_deep_clustering_have_the_same_loss():
    steps = timed_steps.loss_steps(2, frames=3, speakers=9, negatives=4,
                              systems=("sce", "deep_clustering", "naive_deep_clustering"))
    loss, of_embeddings, of_speakers = steps["sce"]()  # and sums of the gradients
    assert np.isfinite([of_embeddings, of_speakers]).all() and of_embeddings != 0 and 0 < loss < 5
    low_rank, naive = steps["deep_clustering"](), steps["naive_deep_clustering"]()
    assert len(low_rank) == len(naive) == 2  # no speaker vectors in deep clustering
    assert low_rank[1] == pytest.approx(naive[1], rel=1e-3, abs=1e-7)  # the same loss in both forms


@pytest.mark.slow
def test_a_table_with_every_case(tmp_path, monkeypatch, capsys):
    small = {"FRAMES": 4, "EMBEDDING_SIZE": 3, "UNITS": 4, "SPEAKERS": 5, "MORE_FRAMES": (6,), "MORE_SPEAKERS": (7,),
             "MORE_NEGATIVES": (2,)}
    for name, value in small.items():
        monkeypatch.setattr(sizes, name, value)
    monkeypatch.setattr(timing, "ProcessPoolExecutor", lambda workers, context: ThreadPoolExecutor(workers))  # the same
    assert timing.main(["--out", str(tmp_path / "timing.csv"), "--batch", "2", "--rounds", "1"]) == 0
    table = pd.read_csv(tmp_path / "timing.csv")
    assert list(table.columns) == list(timing.COLUMNS)
    assert set(table["what"]) == {"update", "loss by batch", "loss by frames", "loss by speakers and negatives",
                                  "loss, with the naive form", "update, with the naive form"}
    naive = table.query("what == 'update, with the naive form'")
    assert set(naive["system"]) == set(timing.NAIVE)
    assert set(table.query("what == 'update'")["system"]) == {"sce", "deep_clustering"}
    assert "--batch 2" in json.loads((tmp_path / "timing.json").read_text())["command"]
    assert (table["fastest"] <= table["seconds"]).all() and (table["seconds"] <= table["slowest"]).all()
    assert (table["fastest"] > 0).all() and "naive_deep_clustering" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "wanted"), [
    (["--out", "x.csv", "--batch", "0"], "must be at least 1"),
    (["--out", "nowhere/x.csv"], "the folder nowhere does not exist"),
    (["--out", "x.json"], "a name that ends in .csv"),
])
def test_mistakes_get_an_error_message(arguments, wanted, capsys):
    assert timing.main(arguments) == 1
    assert wanted in capsys.readouterr().err


def test_two_calls_at_once_do_not_write_one_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "run", lambda batch, rounds: pd.DataFrame({"seconds": [1.0]}))
    out = tmp_path / "timing.csv"
    with atomic_write.lock(tmp_path / ".timing.csv.lock"):
        assert timing.main(["--out", str(out)]) == 1
    assert "another process measures times for" in capsys.readouterr().err and not out.exists()
    assert timing.main(["--out", str(out)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["timing.csv", "timing.json"]
