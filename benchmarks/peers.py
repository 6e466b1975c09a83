"""Other programs: the shipped recipe's update in PyTorch, separation by networks of asteroid and speechbrain.

They run in an environment of their own, `build/peers`, which is installed once (PyTorch is large). Where the
installation fails, their rows are left out. `--quick` measures an installed environment only.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

from benchmarks.timing import part_main, seconds
from lab41_sce import audio
from lab41_sce.examples import EXAMPLES
from lab41_sce.runs.config_schema import compose_config
from lab41_sce.separation.separator import Separator

ENVIRONMENT = Path(__file__).parents[1] / "build" / "peers"
STAMP, PYTHON = ENVIRONMENT / ".installed", ENVIRONMENT / "bin" / "python"
PACKAGES = ("torch==2.11.0", "torchaudio==2.11.0", "asteroid==0.7.0", "speechbrain==1.1.2", "soundfile")
SIZES = [(8, 100), (16, 100), (32, 40), (32, 100), (64, 100)]


def install() -> None:
    """Make the environment, unless it exists."""
    if not STAMP.exists():
        print(f"installing {', '.join(PACKAGES)} into {ENVIRONMENT}", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        if subprocess.run([PYTHON, "-m", "pip", "install", "-q", *PACKAGES]).returncode == 0:
            STAMP.touch()


def measure(rows, quick: bool) -> None:
    """Measure the other programs, and this project's separation in one process like theirs."""
    if not quick:
        install()
    lengths = [1] if quick else [10, 60]
    if STAMP.exists():
        network = compose_config(["+exp=cpu_hours"]).network
        options = {"network": {name: network[name] for name in ("n_layers", "units", "bottleneck_rank")},
                   "sizes": [(1, 10)] if quick else SIZES, "seconds": lengths, "rounds": 1 if quick else 5}
        script = Path(__file__).with_name("peers_torch.py")
        output = subprocess.run([PYTHON, script, json.dumps(options)], check=True, stdout=subprocess.PIPE).stdout
        for row in json.loads(output.splitlines()[-1]):
            rows.add(*row)
    else:
        print(f"{ENVIRONMENT} is not installed: other programs are left out", file=sys.stderr)
    separator = Separator.from_pretrained()
    channels, rate_hz = audio.read(EXAMPLES[0])
    for length in lengths:
        signal = np.resize(channels, (1, length * rate_hz))
        separator.separate(signal, rate_hz, 2)  # compiles the network
        rows.add(f"lab41_sce, the shipped model, separation of {length} s",
                 length / seconds(separator.separate, signal, rate_hz, 2), "times real time")


if __name__ == "__main__":
    part_main(measure)
