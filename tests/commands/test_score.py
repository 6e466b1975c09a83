"""The score command: one table, whatever the number of processes, to which the same command adds."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from lab41_sce import audio
from lab41_sce.commands import score
from lab41_sce.evaluation.metrics import METRICS


@pytest.fixture
def folder(tmp_path):
    """Make four mixtures with their references and, except for mixture b, their separated voices."""
    rng = np.random.default_rng(0)
    for name in ("mixtures", "references", "voices"):
        (tmp_path / name).mkdir()
    for stem in "abcd":
        sources = 0.1 * rng.standard_normal((2, 4000))
        audio.write(tmp_path / "mixtures" / f"{stem}.wav", sources.sum(axis=0), 8000, "FLOAT")
        for number, source in enumerate(sources, start=1):
            audio.write(tmp_path / "references" / f"{stem}_{number}.wav", source, 8000, "FLOAT")
            voice = source + 0.2 * sources[2 - number]
            if stem != "b":
                audio.write(tmp_path / "voices" / f"{stem}_{3 - number}.wav", voice, 8000, "FLOAT")
    return tmp_path


def test_scores_do_not_depend_on_the_number_of_processes(folder, capsys, caplog):
    command = [*(str(folder / name) for name in ("mixtures", "references", "voices")), "--out"]
    assert score.main([*command, str(folder / "serial.csv"), "--jobs", "1"]) == 1
    printed = capsys.readouterr()
    assert "b.wav has 2 references" in printed.err and "and 0 voices" in printed.err
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines] == list(METRICS) and lines[0].endswith("], 3 mixtures")
    assert score.main([*command, str(folder / "parallel.csv"), "--jobs", "2"]) == 1
    serial, parallel = (pd.read_csv(folder / f"{name}.csv") for name in ("serial", "parallel"))
    pd.testing.assert_frame_equal(parallel, serial, check_exact=True)
    assert set(serial["mixture"]) == {"a.wav", "c.wav", "d.wav"}
    assert serial[serial["metric"] == "SI-SDR"]["value"].between(13, 15).all()  # a fifth of the other voice: 14 dB
    for number in (1, 2):
        shutil.copy(folder / "references" / f"b_{number}.wav", folder / "voices")
    (folder / "voices" / "a_1.wav").unlink()  # mixture a has its scores already
    assert score.main([*command, str(folder / "serial.csv"), "--jobs", "1"]) == 0
    assert "3 of 4 mixtures are skipped" in caplog.text
    assert set(pd.read_csv(folder / "serial.csv")["mixture"]) == {"a.wav", "b.wav", "c.wav", "d.wav"}


def test_two_mixtures_with_the_same_name_are_refused(folder, capsys):
    mixture = str(folder / "mixtures" / "a.wav")
    table = folder / "scores.csv"
    names = [str(folder / name) for name in ("mixtures", "references", "voices")]
    shutil.copytree(folder / "mixtures", folder / "more")
    assert score.main([mixture, str(folder / "more"), *names[1:], "--out", str(table), "--jobs", "1"]) == 1
    assert "1 names belong to several mixtures (a.wav)" in capsys.readouterr().err and not table.exists()


def test_an_engine_that_is_not_installed_is_reported(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    audio.write(tmp_path / "a.wav", np.zeros(100), 8000)
    assert score.main([str(tmp_path)] * 3 + ["--out", str(tmp_path / "s.csv"), "--parallel-backend", "ray"]) == 1
    assert 'ray is not installed; pip install "lab41_sce[ray]"' in capsys.readouterr().err


def test_no_mean_is_printed_if_nothing_could_be_scored(folder, capsys):
    command = [str(folder / name) for name in ("mixtures", "references")]
    (folder / "empty").mkdir()
    assert score.main([*command, str(folder / "empty"), "--out", str(folder / "none.csv"), "--jobs", "1"]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("error: ") == 4 and not printed.out


@pytest.mark.parametrize("jobs", ["0", "-2"])
def test_an_impossible_number_of_processes_is_refused(folder, jobs, capsys):
    assert score.main([str(folder / "mixtures")] * 3 + ["--jobs", jobs]) == 1
    assert f"--jobs {jobs} is not possible" in capsys.readouterr().err


def test_a_file_that_is_no_table_of_scores_is_refused(folder, capsys):
    (folder / "other.csv").write_text("a,b\n1,2\n")
    assert score.main([str(folder / "mixtures")] * 3 + ["--out", str(folder / "other.csv"), "--jobs", "1"]) == 1
    assert "other.csv is not a table of scores" in capsys.readouterr().err
    assert (folder / "other.csv").read_text() == "a,b\n1,2\n"
