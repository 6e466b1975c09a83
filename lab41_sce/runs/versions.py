"""The facts for repeating a run: versions, command, machine, time, licences; and the removal of paths from texts."""

import json
import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lab41_sce import __version__
from lab41_sce.atomic_write import write_text

PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "mir_eval")

logger = logging.getLogger(__name__)


def versions(command: str | None = None, packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Collect the versions of this package and of others, the machine, the time and the command.

    Args:
        command: the command line that started the run, if any.
        packages: installed distributions.
    """
    checkout, commit = Path(__file__).parent.parent.parent, "unknown"
    if (checkout / ".git").exists() and shutil.which("git"):
        described = subprocess.run(["git", "-C", checkout, "describe", "--always", "--dirty"], capture_output=True,
                                   text=True, check=False)
        commit = described.stdout.strip() or commit
    return {
        "lab41_sce": __version__,
        "git_commit": commit,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **({"command": command} if command else {}),
    }


def read_versions(path: Path) -> dict[str, Any]:
    """Read what `write_versions` wrote; return an empty dict if the file is missing or damaged."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) and isinstance(values.get("resumed", []), list) else {}


def write_versions(path: Path, about: Mapping[str, Any]) -> None:
    """Write `version.json`; if an earlier command has written it, add this one to the list `resumed` in it.

    Args:
        path: of the file.
        about: versions, command, machine and time (`versions`).
    """
    if earlier := read_versions(path):
        about = earlier | {"resumed": [*earlier.get("resumed", []), about]}
    elif path.exists():
        logger.warning("%s cannot be read: it is written again, without the versions of the beginning.", path)
        about = {**about, "beginning": "unknown, since version.json was damaged"}
    write_text(path, json.dumps(about, indent=2))


def licences(corpus: Mapping[str, Any]) -> list[str]:
    """List source and licence of the speech of a run: of `corpus.root`, then of each corpus in `corpus.added`.

    Args:
        corpus: the group `corpus` of the settings of the run, perhaps of an earlier version.
    """
    corpora = [corpus, *(corpus.get("added") or {}).values()]
    return [one.get("licence") or f"{one['name']}: no licence stated (corpus.licence)" for one in corpora]


def redact_paths(text: str, config: Mapping[str, Any], folder: Path) -> str:
    """Remove the paths of one machine from a text about a run.

    Args:
        text: such as a command, or the settings.
        config: settings of the run; its `corpus.root` becomes $LIBRISPEECH, and that of a corpus in `corpus.added` its
            name in capitals, such as $SPEECHOCEAN762.
        folder: of the run, which becomes runs/NAME, as do others beside it. Of every other absolute path, the last part
            stays.
    """
    name, beside = f"runs/{folder.resolve().name}", folder.resolve().parent
    places = {str(folder.resolve()): name, str(folder): name, str(config["run_dir"]): name,
              str(beside) if beside.name == "runs" else "": "runs",
              str(config["corpus"]["root"] or ""): "$LIBRISPEECH"}
    for added, corpus in (config["corpus"].get("added") or {}).items():
        places[str(corpus["root"] or "")] = f"${added.upper()}"
    for place in sorted(places, key=len, reverse=True):
        if len(place) > 1:  # not an empty text, "." or "/"
            shown = places[place].replace("\\", r"\\")
            text = re.sub(rf"(?<![\w/.-]){re.escape(place)}(?![\w-])", shown, text)
    return re.sub(r"(?<![\w/.$:-])/(?:[^\s/'\",]+/)+([^\s/'\",]+)", r"\1", text)
