"""Calls that write the same files at once: one set of files appears, whole, and the other call is refused."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import soundfile

from lab41_sce.commands import separate
from lab41_sce.errors import UserError
from lab41_sce.separation import voice_files
from lab41_sce.separation.output_paths import check_outputs
from lab41_sce.separation.separator import Separator
from lab41_sce.separation.staging import staged


@pytest.mark.parametrize("n_calls", [2, 5])
def test_one_of_several_calls_writes_all_files(tmp_path, n_calls):
    outputs = [tmp_path / "voices" / f"talk_{number}.wav" for number in (1, 2, 3)]
    ready = Barrier(n_calls)

    def call(name):
        try:
            with staged(outputs, lambda files: check_outputs([], files, replace=False)) as files:
                for file in files.values():
                    file.write_text(name)
                ready.wait()
        except UserError as error:
            return str(error)
        return name

    with ThreadPoolExecutor(n_calls) as threads:
        ended = [*threads.map(call, "abcde"[:n_calls])]
    (winner,) = (end for end in ended if len(end) == 1)
    assert sum("talk_1.wav exists already; add --force" in end for end in ended) == n_calls - 1
    assert [output.read_text() for output in outputs] == [winner] * 3
    assert len([*outputs[0].parent.iterdir()]) == 3


def test_files_of_killed_calls_are_deleted_and_those_of_living_ones_kept(tmp_path):
    with staged([tmp_path / "alive_1.wav"], lambda files: None) as alive:
        (file,) = alive.values()
        file.write_text("alive")
        abandoned = shutil.copytree(file.parent, tmp_path / ".lab41-sce-killed.part")  # nobody holds its lock
        with staged([tmp_path / "next_1.wav"], lambda files: None) as following:
            following[tmp_path / "next_1.wav"].write_text("next")
        assert not abandoned.exists() and file.read_text() == "alive"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alive_1.wav", "next_1.wav"]


def test_a_second_recording_of_the_same_name_does_not_change_the_voices_of_the_first(tiny_model, tmp_path, monkeypatch,
                                                                                     capsys):
    """The second command runs from start to end while the first writes."""
    monkeypatch.setattr(separate, "load_separator", lambda *_: Separator(tiny_model))
    out = tmp_path / "voices"

    def command(name):
        return separate.main([str(tmp_path / name / "talk.wav"), "--speakers", "2", "--out-dir", str(out), "--json"])

    recordings = {}
    for seed, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        recordings[name] = 0.1 * np.random.default_rng(seed).standard_normal(16000 + 800 * seed).astype(np.float32)
        soundfile.write(tmp_path / name / "talk.wav", recordings[name], 16000, "FLOAT")
    ended = []
    write_extras = voice_files.write_extras

    def interrupted(*arguments):
        if not ended:
            ended.append(None)
            ended.append(command("b"))
        write_extras(*arguments)

    monkeypatch.setattr(voice_files, "write_extras", interrupted)
    first = command("a")
    assert (first, ended[1]) == (1, 0)
    printed = capsys.readouterr()
    assert "talk_1.wav exists already; add --force" in printed.err and printed.out.count("talk_1.wav") == 1
    voices = sum(soundfile.read(out / f"talk_{number}.wav", dtype="float32")[0] for number in (1, 2))
    np.testing.assert_allclose(voices, recordings["b"], atol=1e-4)
    assert '"seconds": 1.05' in (out / "talk.json").read_text()
    assert sorted(path.name for path in out.iterdir()) == ["talk.json", "talk_1.wav", "talk_2.wav"]


def test_folders_of_equal_names_are_separated_once(tiny_model, tmp_path, monkeypatch, capsys):
    """Of several recordings, an output that appears during the call is accepted only with equal contents."""
    monkeypatch.setattr(separate, "load_separator", lambda *_: Separator(tiny_model))
    options = separate.parse(["in", "--speakers", "2", "--out-dir", str(tmp_path / "voices")])
    separate.check_choices(options)
    for seed, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "talk.wav", 0.1 * np.random.default_rng(seed).standard_normal(16000), 16000)
    first, other, again = (separate.separate_file(tmp_path / name / "talk.wav", options, [], existing=[])
                           for name in "aba")
    assert first == again and not first.error
    assert "talk_1.wav exists already" in other.error and not other.outputs


def test_an_error_names_the_output_and_leaves_no_new_folder(tmp_path):
    output = tmp_path / "new/talk.rttm"
    with pytest.raises(UserError, match="^" + re.escape(f"{output} could not be written")):
        with staged([output], lambda files: None) as files:
            raise UserError(f"{files[output]} could not be written")
    assert not output.parent.exists()
    output.parent.mkdir()
    with pytest.raises(KeyboardInterrupt), staged([output], lambda files: None):
        raise KeyboardInterrupt
    assert output.parent.is_dir()  # it was there before
