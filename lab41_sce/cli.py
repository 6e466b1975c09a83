"""The console command: `lab41-sce COMMAND ARGUMENTS` runs one command of the package.

Only the chosen command is imported, so that `lab41-sce --help` and mistakes are answered at once.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from lab41_sce import __version__
from lab41_sce.command_line import VERBOSE, command
from lab41_sce.commands.experiment_help import HELP, experiment_help
from lab41_sce.suggestion import did_you_mean

COMMANDS = {
    "separate": "separate recordings into one file for each speaker",
    "score": "score separated voices against their references",
    "benchmark": "score systems on Libri2Mix, WSJ0-2mix, WHAM! or any folders",
    "export-mixtures": "write the evaluation mixtures of a run as audio files",
    "experiment": "train and score systems, and write a report",
    "calibrate": "teach a trained model to count speakers, from other speech",
    "export": "write a trained model as ONNX or as a SavedModel",
    "rooms": "draw simulated rooms, in which training mixtures sound",
    "store": "pack a corpus into a few large files that load fast",
    "download": "download parts of LibriSpeech, and metadata of LibriMix",
    "sweep": "summarise the runs of a sweep in one table",
    "demo": "serve a web page that separates recordings",
}


@command()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names.

    Args:
        arguments: the command and its arguments; None takes those of the process.

    Returns:
        The exit status: 0 for success, 2 for an unknown command, otherwise that of the command.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) > 1 and given[0] in VERBOSE:
        given[:2] = given[1], given[0]  # every command has this option
    name, *rest = given or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"lab41-sce {__version__}")
        return 0
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"; choose from {', '.join(COMMANDS)}."
        print(f"error: there is no command {name}{hint}", file=sys.stderr)
        return 2
    if name == "experiment" and rest in HELP:  # its module takes seconds to import
        print(experiment_help())
        return 0
    # Hydra reads its overrides from sys.argv only, and argparse takes the name of the program from it.
    sys.argv = [f"lab41-sce {name}", *rest]
    place = "demo.__main__" if name == "demo" else f"commands.{name.replace('-', '_')}"
    module = import_module(f"lab41_sce.{place}")
    return module.main() or 0


def _help() -> str:
    """Return the help text: one line for each command."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {purpose}" for name, purpose in COMMANDS.items())
    return f"""usage: lab41-sce COMMAND [ARGUMENTS]
       lab41-sce COMMAND --help
       lab41-sce --help | --version

COMMAND --verbose shows the messages of TensorFlow and of decoders, too.

Separate recordings of several speakers, and reproduce the experiments.

commands:
{commands}"""
