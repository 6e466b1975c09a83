"""What `torture.py` does its worst to: an experiment, a separation, a report, a download, a store; all small."""

import hashlib
import io
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from commands import Ended, distance, files, half_written, run, temporary

from lab41_sce import audio
from lab41_sce.data.librispeech import EMBEDDED_ROOT, EMBEDDED_SUBSET, load
from lab41_sce.examples import EXAMPLES

SUBSET = "train-clean-5"  # what the small corpus calls itself
TINY = ("+exp=smoke", "corpus=librispeech", f"corpus.subsets=[{SUBSET}]", "corpus.unseen_subsets=[]",
        "deterministic=true", "network.units=8", "mixtures.seconds=0.512", "training.updates=40",
        "training.validate_every=4", "validation.seconds=1.5", "evaluation.seconds=1.5",
        "evaluation.examples_per_kind=1")
DOWNLOAD = """
import sys
from lab41_sce.data import download, librispeech
from lab41_sce.errors import UserError
root, subset, download.OPENSLR_URL, checksum = sys.argv[1:]
download.ARCHIVES[subset] = download.Archive(31, checksum)
try:
    librispeech.load(root, [subset], download=True)  # what corpus.download=true calls
except UserError as error:
    sys.exit(f"error: {error}")
"""
STORE = """
import sys
from lab41_sce.data import store
store.SHARD_SECONDS = 20.0  # many shards
sys.exit(store.main(sys.argv[1:]))
"""


@dataclass
class Subject:
    """A command that can be stopped, and what it brings when nobody stops it.

    Args:
        name: for people.
        start: returns the command that works into a folder.
        again: returns the one that goes on there.
        phase: says how far it came in a folder.
        kill_at: patterns of names at whose first appearance it is killed, temporary ones of what takes a moment.
        reference: a folder in which it has ended undisturbed.
        apart: how far two undisturbed results differ (`commands.distance`).
        seconds: how long it takes.
    """

    name: str
    start: Callable[[Path], list]
    again: Callable[[Path], list]
    phase: Callable[[Path], str]
    kill_at: tuple[str, ...]
    reference: Path
    apart: float = 0.0
    seconds: float = np.inf

    def measure(self, times: int) -> "Subject":
        """Run it so often undisturbed; the first makes the reference."""
        for number in range(times):
            folder = self.reference.with_name(f"{self.reference.name}_{number}") if number else self.reference
            started = time.monotonic()
            ended = run(self.start(folder))
            self.seconds = min(self.seconds, time.monotonic() - started)
            if ended.code != 0 or half_written(folder):
                raise RuntimeError(f"{self.name} fails undisturbed: {half_written(folder)} {ended.said}")
            self.apart = max(self.apart, distance(folder, self.reference))
        return self

    def about(self) -> str:
        """Say how long it takes undisturbed, and how far two results are apart."""
        return f"undisturbed {self.seconds:.0f} s, two of them {self.apart:.2g} apart"

    def unlike(self, ended: Ended, folder: Path) -> list[str]:
        """Say in what an ended command and its folder differ from an undisturbed one."""
        if ended.code != 0:
            return [f"exit status {ended.code}"]
        broken = [f"{name} is half written" for name in half_written(folder)]
        there = sorted(files(folder) ^ files(self.reference))
        apart = distance(folder, self.reference)
        return broken + there + ([f"results {apart:.3g} apart"] if apart > self.apart else [])


def make_corpus(root: Path) -> Path:
    """Make a small corpus of the embedded one: 6 women and 6 men, 6 utterances each, every other one FLAC and WAV."""
    table = load(None, [EMBEDDED_SUBSET], check="headers")
    speakers = [name for _, of_sex in table.groupby("sex") for name in sorted(of_sex["speaker"].unique())[:6]]
    for speaker in speakers:
        longest = table[table["speaker"] == speaker].nlargest(6, "seconds")
        for number, row in enumerate(longest.itertuples()):
            path = root / SUBSET / speaker / "1" / f"{row.utterance}{('.flac', '.wav')[number % 2]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, *soundfile.read(row.path))
    (root / "SPEAKERS.TXT").write_bytes((EMBEDDED_ROOT / "SPEAKERS.TXT").read_bytes())
    return root


def make_archive(corpus: Path) -> bytes:
    """Pack a corpus as OpenSLR does."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(corpus, "LibriSpeech")
    return archive.getvalue()


def make_recordings(folder: Path, n: int) -> Path:
    """Write n recordings of the shipped mixtures, by turns as WAV and FLAC."""
    folder.mkdir()
    for number in range(n):
        signal, rate_hz = audio.read(EXAMPLES[number % len(EXAMPLES)])
        audio.write(folder / f"talk{number}{('.wav', '.flac')[number % 2]}", signal, rate_hz)
    return folder


def experiment(corpus: Path, scratch: Path, times: int, *more: str) -> Subject:
    """Train and score a tiny network; `more` are settings."""

    def start(folder):
        return ["-m", "lab41_sce.experiment", *TINY, f"corpus.root={corpus}", f"run_dir={folder}", *more]

    def phase(folder):
        if not (folder / "config.yaml").exists():
            return "preparing"
        if (folder / "history.csv").exists():
            return "reporting" if (folder / "summary.csv").exists() else "evaluating"
        if temporary(folder / "systems"):
            return "writing a checkpoint"
        return "training" if (folder / "systems/sce/checkpoint.npz").exists() else "before the first checkpoint"

    kill_at = ("config.yaml", "splits.csv", ".model.part.keras", ".checkpoint.part.npz", ".history.part.csv",
               ".estimate_1.part.wav", "examples.csv", ".mixtures.part.csv", "summary.csv", ".*.part.png",
               ".report.part.html")
    reference = scratch / f"run_{len(more)}"
    return Subject("an experiment", start, lambda folder: [*start(folder), "resume=true"], phase, kill_at,
                   reference).measure(times)


def separation(recordings: Path, scratch: Path, times: int) -> Subject:
    """Separate a folder of recordings with the shipped model."""

    def start(folder):
        return ["-m", "lab41_sce.separate", recordings, "--out-dir", folder, "--plot", "--json", "--rttm"]

    def phase(folder):
        if not folder.exists():
            return "starting"
        return "writing a recording's files" if temporary(folder) else "between two recordings"

    kill_at = (".talk0_1.part.wav", ".talk1_2.part.flac", ".*.part.rttm", ".*.part.json", ".*.part.png")
    return Subject("a separation of a folder", start, start, phase, kill_at, scratch / "voices").measure(times)


def article(run_folder: Path, scratch: Path, times: int) -> Subject:
    """Judge the article's claims by a run."""

    def start(folder):
        return ["-m", "lab41_sce.article", run_folder, "--out", folder]

    def phase(folder):
        if not (folder / "figures").exists():
            return "judging"
        return "writing" if (folder / "report.html").exists() else "drawing"

    kill_at = (".*.part.png", ".*.part.svg", ".report.part.html", ".REPORT.part.md")
    return Subject("the article's report", start, start, phase, kill_at, scratch / "article").measure(times)


def download(url: str, archive: bytes, corpus: Path) -> Subject:
    """Download the small corpus from an address, given what is served there, and what was packed."""

    def start(folder):
        return ["-c", DOWNLOAD, folder, SUBSET, url, f"sha256:{hashlib.sha256(archive).hexdigest()}"]

    return Subject("a download", start, start, lambda folder: "", (), corpus)


def store(corpus: Path, scratch: Path, times: int) -> Subject:
    """Store the small corpus in many shards."""

    def start(folder):
        return ["-c", STORE, corpus, folder, "--subsets", SUBSET]

    def phase(folder):
        if not (folder / "store.json").exists():
            return "starting"
        return "storing" if not (folder / "shards.csv").exists() else "writing the index"

    kill_at = (".store.part.json", ".shard_00000.part.wav", ".shard_00005.part.wav", ".shard_*.part.json",
               ".shards.part.csv", ".index.part.csv")
    return Subject("making a store", start, start, phase, kill_at, scratch / "store").measure(times)
