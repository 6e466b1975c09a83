"""Many processes return the results of one process; a job that fails stops no other job."""

import os
import shutil
import signal
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from lab41_sce import audio, process_pool, score
from lab41_sce.commands import separate
from lab41_sce.errors import UserError
from lab41_sce.separation import voice_files
from lab41_sce.separation.separator import Separator


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


def test_scores_are_those_of_one_process(folder, capsys, caplog):
    command = [*(str(folder / name) for name in ("mixtures", "references", "voices")), "--out"]
    assert score.main([*command, str(folder / "serial.csv"), "--jobs", "1"]) == 1
    said = capsys.readouterr()
    assert "b.wav has 2 references" in said.err and "and 0 voices" in said.err and "3 mixtures" in said.out
    assert score.main([*command, str(folder / "spread.csv"), "--jobs", "2"]) == 1
    serial, cluster_variance = (pd.read_csv(folder / f"{name}.csv") for name in ("serial", "spread"))
    pd.testing.assert_frame_equal(cluster_variance, serial, check_exact=True)
    assert set(serial["mixture"]) == {"a.wav", "c.wav", "d.wav"}
    assert serial[serial["metric"] == "SI-SDR"]["value"].between(13, 15).all()  # a fifth of the other voice: 14 dB
    for number in (1, 2):
        shutil.copy(folder / "references" / f"b_{number}.wav", folder / "voices")
    (folder / "voices" / "a_1.wav").unlink()  # has been scored, so is not looked at
    assert score.main([*command, str(folder / "serial.csv"), "--jobs", "1"]) == 0
    assert "3 of 4 mixtures are left out" in caplog.text
    assert set(pd.read_csv(folder / "serial.csv")["mixture"]) == {"a.wav", "b.wav", "c.wav", "d.wav"}


def test_mixtures_of_one_name_are_refused(folder, capsys):
    mixture = str(folder / "mixtures" / "a.wav")
    table = folder / "scores.csv"
    names = [str(folder / name) for name in ("mixtures", "references", "voices")]
    shutil.copytree(folder / "mixtures", folder / "more")
    assert score.main([mixture, str(folder / "more"), *names[1:], "--out", str(table), "--jobs", "1"]) == 1
    assert "1 mixtures have the name of another one (a.wav)" in capsys.readouterr().err and not table.exists()


def test_a_cluster_without_processes_is_reported(monkeypatch):
    def wait(self):
        raise TimeoutError("no worker after 10 seconds")

    monkeypatch.setattr(joblib.Parallel, "__enter__", wait)
    with pytest.raises(UserError, match="no worker process"), process_pool.workers("loky", 2):
        pass


@pytest.mark.parametrize("engine", ["loky", "dask"])
def test_a_killed_process(tmp_path, engine):
    """Dask runs its job in another process; loky reports it, and the next call starts new processes."""
    if engine == "dask":
        pytest.importorskip("distributed", reason='dask is not installed: pip install -e ".[dask]"')

    def square(number, once):  # in here, so that it travels without this module and all that it imports
        if number == 3 and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    def squares():
        with process_pool.workers(engine, 2) as run:
            return [*run(joblib.delayed(square)(number, tmp_path / "once") for number in range(8))]

    if engine == "loky":
        with pytest.raises(UserError, match="a process was killed"):
            squares()
    assert squares() == [number**2 for number in range(8)] and (tmp_path / "once").exists()


def test_an_engine_that_is_not_installed_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    audio.write(tmp_path / "a.wav", np.zeros(100), 8000)
    assert score.main([str(tmp_path)] * 3 + ["--out", str(tmp_path / "s.csv"), "--parallel-backend", "ray"]) == 1
    assert 'ray is not installed; pip install "lab41_sce[ray]"' in capsys.readouterr().err


def test_a_job_may_be_done_twice(tiny_model, tmp_path, monkeypatch, capsys):
    """What a process wrote before it was lost is written anew; what was there before is not replaced."""
    monkeypatch.setattr(separate, "load_separator", lambda *_: Separator(tiny_model))
    path, voices = tmp_path / "a.wav", tmp_path / "voices"
    audio.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
    options = separate.parse([str(path), "--speakers", "2", "--out-dir", str(voices), "--jobs", "2"])
    separate.check_choices(options)
    first, again = (separate.separate_file(path, options, [path], existing=[]) for _ in range(2))
    assert first == again and [output.name for output in again.outputs] == ["a_1.wav", "a_2.wav"]
    kept = separate.separate_file(path, options, [path], existing=first.outputs[1:])
    assert "a_1.wav exists already; add --force" in kept.error


def test_recordings_of_one_stem_have_places_of_their_own(tiny_model, tmp_path, monkeypatch):
    places = set()
    monkeypatch.setattr(separate, "load_separator", lambda *_: Separator(tiny_model))
    monkeypatch.setattr(voice_files, "write_extras", lambda *_: places.update(tmp_path.glob("voices/.*")))
    for name in ("a.wav", "a.flac"):
        audio.write(tmp_path / name, 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
    command = [*(str(tmp_path / name) for name in ("a.wav", "a.flac")), "--speakers", "2"]
    assert separate.main([*command, "--out-dir", str(tmp_path / "voices")]) == 0
    assert len(places) == 2


def test_what_nobody_expected_stops_no_other_recording(tiny_model, tmp_path, monkeypatch, capsys):
    def fail_at_b(separator, recording, *_):
        if recording.name.endswith("b.wav"):
            raise RuntimeError("out of memory")
        return separate.Outcome([Path(recording.name)], [])

    monkeypatch.setattr(separate, "load_separator", lambda *_: Separator(tiny_model))
    monkeypatch.setattr(separate, "separate_recording", fail_at_b)
    for stem in "abc":
        audio.write(tmp_path / f"{stem}.wav", np.zeros(800), 8000)
    assert separate.main([str(tmp_path), "--out-dir", str(tmp_path / "voices")]) == 1
    said = capsys.readouterr()
    assert said.out.split() == [str(tmp_path / "a.wav"), str(tmp_path / "c.wav")]
    assert "b.wav could not be separated (RuntimeError: out of memory)" in said.err
    with pytest.raises(RuntimeError):
        separate.main([str(tmp_path / "b.wav"), "--out-dir", str(tmp_path / "voices")])
