"""Libraries in C are quiet, unless their messages are asked for, and nothing is lost when they fail."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from lab41_sce import examples
from lab41_sce.audio.decoder import Decoder
from lab41_sce.quiet import LEVEL_VARIABLE, held_stderr
from lab41_sce.separation.output_paths import is_voice


def test_held_lines_of_a_library_are_discarded_and_others_written(capfd):
    with held_stderr("libnoise", "Warning: noise"):
        os.write(2, b"libnoise: a false alarm\nanother line\nWarning: noise\n")
        assert capfd.readouterr().err == ""
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "another line\nafter\n"


def test_all_held_lines_are_written_after_an_exception(capfd):
    with pytest.raises(ZeroDivisionError), held_stderr(), held_stderr():
        os.write(2, b"the reason\n")
        raise ZeroDivisionError
    assert capfd.readouterr().err == "the reason\n"


def test_a_closed_stderr_stays_closed():
    code = "import os; os.close(2)\nfrom lab41_sce.quiet import held_stderr\nwith held_stderr(): print('done')"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout == "done\n"


@pytest.fixture
def outcome(tmp_path):
    """Return a function that runs code beside a noisy stand-in for TensorFlow: status, and what stderr received."""
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import os, sys\nos.write(2, b'noise\\n')\nif 'fail' in sys.argv: raise ImportError('no AVX')\n"
        "level = os.environ.get('TF_CPP_MIN_LOG_LEVEL')")

    def run(code, *arguments, level=None):
        environment = {name: value for name, value in os.environ.items() if name != LEVEL_VARIABLE}
        environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment.get("PYTHONPATH", "")])
        environment |= {LEVEL_VARIABLE: level} if level else {}
        done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


COMMAND = """
import sys
from lab41_sce.command_line import Parser, command
@command()
def main(arguments):
    Parser().parse_known_args()
    import tensorflow
    print(tensorflow.level)
    return 0
sys.exit(main())
"""
LIBRARY = """
import os, sys
import lab41_sce
lab41_sce.load_audio
import tensorflow
print(tensorflow.level, os.environ.get("TF_CPP_MIN_LOG_LEVEL"))
"""


def test_commands_are_quiet_unless_messages_are_asked_for(outcome):
    assert outcome(COMMAND) == (0, "3\n", "")
    assert outcome(COMMAND, "--verbose") == outcome(COMMAND, "-v", level="3") == (0, "0\n", "noise\n")
    assert outcome(COMMAND, level="1") == (0, "1\n", "noise\n")


def test_the_package_is_quiet_and_leaves_the_environment_as_it_is(outcome):
    assert outcome(LIBRARY) == (0, "3 None\n", "")
    assert outcome(LIBRARY, level="0") == (0, "0 0\n", "noise\n")


def test_the_import_of_the_package_alone_changes_nothing(outcome):
    code = "import lab41_sce, tensorflow; print(tensorflow.level)"
    assert outcome(code) == (0, "None\n", "noise\n")
    assert outcome(code, level="3") == (0, "3\n", "")  # as in the processes that a command starts


def test_a_failed_import_keeps_its_messages_and_its_traceback(outcome):
    status, _, messages = outcome(COMMAND, "fail")
    assert status == 1 and messages.startswith("noise\n") and messages.endswith("ImportError: no AVX\n")


@pytest.fixture(scope="module")
def mp3(tmp_path_factory):
    """Return a sound MP3 file without its first frames, as broadcasts are cut: libmpg123 reports errors in it."""
    path = tmp_path_factory.mktemp("mp3") / "cut.mp3"
    signal, rate_hz = soundfile.read(examples.EXAMPLES[0])
    soundfile.write(path, np.tile(signal, 3), rate_hz, format="MP3")
    data = path.read_bytes()
    starts = [place for place in range(len(data) - 1) if data[place] == 0xFF and data[place + 1] & 0xE0 == 0xE0]
    path.write_bytes(data[starts[40]:])
    return path


def test_an_mp3_file_that_was_cut_is_opened_quietly(tmp_path, capfd, monkeypatch):
    """libmpg123 writes that the length in the first frame is wrong."""
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    signal, rate_hz = soundfile.read(examples.EXAMPLES[0])
    soundfile.write(tmp_path / "whole.mp3", np.tile(signal, 3), rate_hz, format="MP3")
    data = (tmp_path / "whole.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(data[: len(data) // 2])
    with soundfile.SoundFile(tmp_path / "cut.mp3"):
        assert "Xing" in capfd.readouterr().err
    assert not is_voice(tmp_path / "cut.mp3")
    with Decoder(tmp_path / "cut.mp3", "mix"):
        assert not capfd.readouterr().err


@pytest.mark.parametrize(("level", "quiet"), [(None, True), ("3", True), ("0", False)])
def test_false_alarms_about_mp3_files_are_not_written(mp3, monkeypatch, capfd, level, quiet):
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    if level:
        monkeypatch.setenv(LEVEL_VARIABLE, level)
    with Decoder(mp3, "mix") as decoder:
        assert decoder.read(0, decoder.n_samples).shape == (1, decoder.n_samples)
    assert ("libmpg123" not in capfd.readouterr().err) is quiet
