"""Many jobs in many processes: the results of one; a job that fails or dies stops no other."""

import os
import shutil
import signal

import joblib
import numpy as np
import pandas as pd
import pytest

from lab41_sce import audio, parallel, score, separate
from lab41_sce.errors import UserError

ENGINES = ["loky", "dask"]


def start(engine):
    """Skip what is not installed."""
    if engine == "dask":
        pytest.importorskip("distributed", reason='dask is not installed: pip install -e ".[dask]"')


@pytest.fixture
def folder(tmp_path):
    """Make three mixtures with their voices, and one whose voices are missing."""
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


@pytest.mark.parametrize("engine", ENGINES)
def test_scores_are_those_of_one_process(folder, engine, capsys):
    start(engine)
    command = [*(str(folder / name) for name in ("mixtures", "references", "voices")), "--out"]
    assert score.main([*command, str(folder / "serial.csv"), "--jobs", "1"]) == 1
    said = capsys.readouterr()
    assert "b.wav has 2 references" in said.err and "and 0 voices" in said.err and "3 mixtures" in said.out
    assert score.main([*command, str(folder / "spread.csv"), "--parallel-backend", engine, "--jobs", "2"]) == 1
    serial, spread = (pd.read_csv(folder / f"{name}.csv") for name in ("serial", "spread"))
    pd.testing.assert_frame_equal(spread, serial, check_exact=True)
    assert set(serial["mixture"]) == {"a.wav", "c.wav", "d.wav"}
    sdr = serial[serial["metric"] == "SI-SDR"]["value"]
    assert sdr.between(13, 15).all()  # a fifth of the other voice: 14 dB
    for number in (1, 2):
        shutil.copy(folder / "references" / f"b_{number}.wav", folder / "voices")
    (folder / "voices" / "a_1.wav").unlink()  # has been scored, so is not looked at
    assert score.main([*command, str(folder / "serial.csv"), "--jobs", "1"]) == 0
    assert set(pd.read_csv(folder / "serial.csv")["mixture"]) == {"a.wav", "b.wav", "c.wav", "d.wav"}


def square(number, once):
    """Square a number; the first time that it is 3, die."""
    if number == 3 and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_process(tmp_path, engine):
    """Dask gives its job to another; loky says so."""
    start(engine)

    def squares():
        with parallel.workers(engine, 2) as run:
            return [*run(joblib.delayed(square)(number, tmp_path / "once") for number in range(8))]

    if engine == "loky":
        with pytest.raises(UserError, match="a process was killed"):
            squares()
    assert squares() == [number**2 for number in range(8)] and (tmp_path / "once").exists()


def test_an_engine_that_is_not_installed_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    audio.write(tmp_path / "a.wav", np.zeros(100), 8000)
    assert score.main([str(tmp_path)] * 3 + ["--out", str(tmp_path / "s.csv"), "--parallel-backend", "ray"]) == 1
    assert 'ray is not installed; pip install "lab41_sce[ray]"' in capsys.readouterr().err


def test_voices_are_those_of_one_process(tiny_model, tmp_path, capsys):
    """A folder in two processes of their own, with a file that is no audio."""
    tiny_model.predict_on_batch(np.zeros((1, 1000), np.float32))
    tiny_model.save(tmp_path / "model.keras")
    (tmp_path / "in").mkdir()
    for seed, stem in enumerate("abc"):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(8000)
        audio.write(tmp_path / "in" / f"{stem}.wav", noise, 8000)
    (tmp_path / "in" / "b.wav").write_bytes(b"no audio")
    for name, jobs in (("serial", "1"), ("spread", "2")):
        assert separate.main([str(tmp_path / "in"), "--model", str(tmp_path / "model.keras"), "--speakers", "2",
                              "--out-dir", str(tmp_path / name), "--jobs", jobs]) == 1
        said = capsys.readouterr()
        assert said.out.split() == [str(tmp_path / name / f"{stem}_{number}.wav") for stem in "ac" for number in (1, 2)]
        assert "error:" in said.err and "b.wav is not audio" in said.err
    for path in (tmp_path / "serial").iterdir():
        np.testing.assert_array_equal(*(audio.read(file)[0] for file in (path, tmp_path / "spread" / path.name)))
