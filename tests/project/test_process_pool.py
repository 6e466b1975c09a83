"""Many processes return the results of one process; a job that fails stops no other job."""

import os
import signal
from pathlib import Path

import joblib
import numpy as np
import pytest
import soundfile

from lab41_sce import audio, process_pool
from lab41_sce.commands import separate
from lab41_sce.errors import UserError
from lab41_sce.separation import voice_files
from lab41_sce.separation.output_paths import is_copy
from lab41_sce.separation.separator import Separator


def test_a_cluster_without_processes_is_reported(monkeypatch):
    def wait(self):
        raise TimeoutError("no worker after 10 seconds")

    monkeypatch.setattr(joblib.Parallel, "__enter__", wait)
    with pytest.raises(UserError, match="no worker process"), process_pool.workers("loky", 2):
        pass


@pytest.mark.slow
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
    def fail_at_b(recording, *_):
        if recording.name.endswith("b.wav"):
            raise RuntimeError("out of memory")
        return separate.Outcome([Path(recording.name)], [])

    monkeypatch.setattr(separate, "load_separator", lambda *_: Separator(tiny_model))
    monkeypatch.setattr(separate, "separate_recording", fail_at_b)
    for stem in "abc":
        audio.write(tmp_path / f"{stem}.wav", np.zeros(800), 8000)
    assert separate.main([str(tmp_path), "--speakers", "2", "--out-dir", str(tmp_path / "voices")]) == 1
    said = capsys.readouterr()
    assert said.out.split() == [str(tmp_path / "a.wav"), str(tmp_path / "c.wav")]
    assert "b.wav could not be separated (RuntimeError: out of memory)" in said.err
    with pytest.raises(RuntimeError):
        separate.main([str(tmp_path / "b.wav"), "--speakers", "2", "--out-dir", str(tmp_path / "voices")])


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_files_of_the_same_samples_are_copies_whenever_they_were_written(subtype, tmp_path):
    """The header of a WAV file of floats holds the second of its writing: here, bytes 60 to 63."""
    one, later, other, sound = (tmp_path / f"{name}.wav" for name in ("one", "later", "other", "sound"))
    signal = 0.1 * np.random.default_rng(0).standard_normal(1000)
    soundfile.write(one, signal, 8000, subtype)
    contents = bytearray(one.read_bytes())
    contents[60] ^= subtype == "FLOAT"
    later.write_bytes(contents)
    soundfile.write(other, signal + 1e-3, 8000, subtype)
    assert is_copy(later, one) and not is_copy(other, one) and not is_copy(sound, one)
    sound.write_bytes(b"no sound")
    assert not is_copy(sound, one)
