"""What is timed is what it says: turns, medians, memory, the same losses as in training."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from lab41_sce.article import timing


def test_steps_take_turns_and_count_by_their_medians():
    calls = []

    def step(name, seconds):
        def sleep():
            calls.append(name)
            time.sleep(seconds)
        return sleep

    table = timing.measure({"slow": step("slow", 0.03), "fast": step("fast", 0.01)}, rounds=3).set_index("system")
    assert calls[-6:] == ["slow", "fast"] * 3
    assert table.loc["slow", "seconds"] > 0.025 and table.loc["slow", "seconds"] > table.loc["fast", "seconds"] > 0.008
    assert (table["fastest"] <= table["seconds"]).all() and (table["seconds"] <= table["slowest"]).all()


def test_memory_is_what_a_call_adds():
    megabytes = timing.extra_megabytes(lambda: np.ones(50 * 2**20 // 8).sum())
    if np.isnan(megabytes):
        pytest.skip("this system does not tell a process's peak of memory")
    assert 45 < megabytes < 120


def test_losses_alone_are_those_of_a_small_case():
    steps = timing.loss_steps(2, frames=3, speakers=9, negatives=4,
                              systems=("sce", "deep_clustering", "naive_deep_clustering"))
    of_embeddings, of_speakers = steps["sce"]()  # sums of the gradients
    assert np.isfinite([of_embeddings, of_speakers]).all() and of_embeddings != 0
    low_rank, naive = steps["deep_clustering"](), steps["naive_deep_clustering"]()
    assert len(low_rank) == len(naive) == 1  # no speaker vectors in deep clustering
    assert low_rank[0] == pytest.approx(naive[0], rel=1e-3, abs=1e-7)  # the same loss in two forms


def test_a_table_with_every_case(tmp_path, monkeypatch, capsys):
    sizes = {"FRAMES": 4, "SIZE": 3, "UNITS": 4, "SPEAKERS": 5, "MORE_FRAMES": (6,), "MORE_SPEAKERS": (7,),
             "MORE_NEGATIVES": (2,)}
    for name, value in sizes.items():
        monkeypatch.setattr(timing, name, value)
    assert timing.main(["--out", str(tmp_path / "timing.csv"), "--batch", "2", "--rounds", "1"]) == 0
    table = pd.read_csv(tmp_path / "timing.csv")
    assert list(table.columns) == list(timing.COLUMNS)
    assert set(table["what"]) == {"update", "loss by batch", "loss by frames", "loss by speakers and negatives",
                                  "loss, with the naive form", "update, with the naive form"}
    naive = table.query("what == 'update, with the naive form'")
    assert set(naive["system"]) == set(timing.NAIVE)
    assert set(table.query("what == 'update'")["system"]) == {"sce", "deep_clustering"}
    assert "--batch 2" in json.loads((tmp_path / "timing.json").read_text())["command"]
    assert (table["seconds"] > 0).all() and "naive_deep_clustering" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "wanted"), [
    (["--out", "x.csv", "--batch", "0"], "must be at least 1"),
    (["--out", "nowhere/x.csv"], "nowhere is no folder"),
])
def test_mistakes_get_one_sentence(arguments, wanted, capsys):
    assert timing.main(arguments) == 1
    assert wanted in capsys.readouterr().err
