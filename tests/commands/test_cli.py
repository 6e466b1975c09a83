"""`lab41-sce` finds the command, passes its arguments on, and explains mistakes without importing the command."""

import os
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

import lab41_sce
from lab41_sce import cli
from lab41_sce.commands.experiment_help import experiment_help
from lab41_sce.examples import EXAMPLES

# Packages that take a good part of a second to import; a separation with the shipped model needs h5py and onnxruntime.
HEAVY_TO_SEPARATE = ["tensorflow", "keras", "pandas", "scipy", "sklearn", "hydra", "matplotlib", "mir_eval", "av",
                     "joblib"]
HEAVY = [*HEAVY_TO_SEPARATE, "onnx", "onnxruntime", "h5py", "omegaconf"]


def run_and_list_loaded(arguments, packages):
    """Run a command in a process that prints at the end which packages it has imported, and its memory on stderr."""
    # The peak in `resource.getrusage` includes that of the process that has started this one.
    code = ("import atexit, sys; "
            f"atexit.register(lambda: print('loaded:', [name for name in {packages} if name in sys.modules])); "
            "atexit.register(lambda: print(open('/proc/self/status').read(), file=sys.stderr)); "
            f"from lab41_sce.cli import main; sys.exit(main({arguments}))")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.fixture(autouse=True)
def same_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lab41-sce"])


@pytest.mark.parametrize(("command", "module"), [
    ("separate", "lab41_sce.commands.separate"), ("experiment", "lab41_sce.commands.experiment"),
    ("demo", "lab41_sce.demo.__main__"),
])
def test_a_command_gets_its_arguments_and_gives_the_exit_status(monkeypatch, command, module):
    received = []

    def stand_in():
        received.append(list(sys.argv))
        return {"separate": 3, "experiment": None, "demo": 0}[command]

    monkeypatch.setitem(sys.modules, module, SimpleNamespace(main=stand_in))
    assert cli.main([command, "a.wav", "--speakers", "2"]) == (3 if command == "separate" else 0)
    assert received == [[f"lab41-sce {command}", "a.wav", "--speakers", "2"]]


def test_verbose_may_come_before_the_command(monkeypatch):
    received = []
    monkeypatch.setitem(sys.modules, "lab41_sce.commands.separate",
                        SimpleNamespace(main=lambda: received.append(list(sys.argv))))
    assert cli.main(["-v", "separate", "a.wav"]) == 0
    assert received == [["lab41-sce separate", "-v", "a.wav"]]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_has_a_line_for_each_command(capsys, arguments):
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    for command, purpose in cli.COMMANDS.items():
        assert [line for line in lines if line.split()[:1] == [command] and line.endswith(purpose)]
    assert list(cli.COMMANDS) == ["separate", "score", "benchmark", "export-mixtures", "experiment", "calibrate",
                                  "export", "rooms", "store", "download", "sweep", "demo"]


def test_the_version_is_that_of_the_package(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"lab41-sce {lab41_sce.__version__}\n"


@pytest.mark.parametrize(("given", "hint"), [
    ("seperate", "did you mean separate?"), ("experiments", "did you mean experiment?"),
    ("x", "choose from separate, score, benchmark, export-mixtures, experiment, calibrate, export, rooms, store, "
          "download, sweep, demo."),
])
def test_an_unknown_command_is_answered_in_one_sentence(capsys, given, hint):
    assert cli.main([given, "--help"]) == 2
    assert capsys.readouterr().err == f"error: there is no command {given}; {hint}\n"


def test_every_command_has_a_module():
    for command in cli.COMMANDS:
        module = "demo.__main__" if command == "demo" else f"commands.{command.replace('-', '_')}"
        assert find_spec(f"lab41_sce.{module}")


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_the_help_of_a_command_loads_no_heavy_package(command):
    result = run_and_list_loaded([command, "--help"], HEAVY)
    assert result.returncode == 0, result.stderr
    assert command in result.stdout and result.stdout.endswith("loaded: []\n")


def test_the_help_of_an_experiment_is_the_same_as_a_module_and_loads_no_heavy_package():
    command = [sys.executable, "-X", "importtime", "-m", "lab41_sce.experiment", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == experiment_help() + "\n"
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "lab41_sce.config_path" in loaded and not loaded & {*HEAVY, "numpy"}


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is measured on Linux only")
def test_a_separation_needs_no_heavy_package_and_little_memory(tmp_path):
    arguments = ["separate", str(EXAMPLES[0]), "--json", "--out-dir", str(tmp_path)]
    result = run_and_list_loaded(arguments, HEAVY_TO_SEPARATE)
    assert result.returncode == 0, result.stderr
    *voices, loaded = result.stdout.splitlines()
    assert len(voices) == 3 and loaded == "loaded: []"
    assert int(result.stderr.partition("VmHWM:")[2].split()[0]) < 300 * 1024


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "lab41_sce", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == f"lab41-sce {lab41_sce.__version__}\n"
