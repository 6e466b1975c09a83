"""Peers: the shipped recipe's update in PyTorch, and separation by networks of asteroid and speechbrain.

They get an environment of their own, `build/peers`, made once from the package index (PyTorch is large); where that
fails, the table goes without them. `--quick` measures those that are there already.
"""

import json
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np
from bench import part_main
from hydra import compose, initialize_config_dir

from lab41_sce import audio
from lab41_sce.examples import EXAMPLES
from lab41_sce.runs.config_schema import CONFIG_PATH
from lab41_sce.separation.separator import Separator

ENVIRONMENT = Path(__file__).parent.parent / "build" / "peers"
PACKAGES = ("torch==2.11.0", "torchaudio==2.11.0", "asteroid==0.7.0", "speechbrain==1.1.2", "soundfile")


def install() -> bool:
    """Make the peers' environment, if there is none; tell whether there is one."""
    stamp = ENVIRONMENT / ".installed"
    if not stamp.exists():
        print(f"installing {', '.join(PACKAGES)} into {ENVIRONMENT}", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        made = subprocess.run([ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "-q", *PACKAGES])
        if made.returncode:
            return False
        stamp.touch()
    return True


def measure(rows, quick: bool) -> None:
    """Measure the peers, and this project's separation in one process, as theirs is."""
    if (quick and not (ENVIRONMENT / ".installed").exists()) or not install():
        print("there is no environment for peers: they are left out", file=sys.stderr)
    else:
        with initialize_config_dir(str(CONFIG_PATH.resolve()), version_base="1.3"):
            network = compose("config", ["+exp=pretrained"]).network
        options = {"network": {name: network[name] for name in ("n_layers", "units", "bottleneck_rank")},
                   "sizes": [(1, 10)] if quick else [(8, 100), (16, 100), (32, 40), (32, 100), (64, 100)],
                   "seconds": [1] if quick else [10, 60], "rounds": 1 if quick else 5}
        told = subprocess.run([ENVIRONMENT / "bin" / "python", Path(__file__).with_name("peers.py"),
                               json.dumps(options)], check=True, stdout=subprocess.PIPE)
        for row in json.loads(told.stdout.splitlines()[-1]):
            rows.add(*row)
    separator = Separator.from_pretrained()
    channels, rate_hz = audio.read(EXAMPLES[0])
    for seconds in (1,) if quick else (10, 60):
        signal = np.resize(channels, (1, seconds * rate_hz))
        for _ in range(2):  # the first one compiles the network
            start = time.perf_counter()
            separator.separate(signal, rate_hz, n_speakers=2)
            taken = time.perf_counter() - start
        rows.add(f"lab41_sce, the shipped model, separation of {seconds} s", seconds / taken, "times real time")


if __name__ == "__main__":
    part_main(measure)
