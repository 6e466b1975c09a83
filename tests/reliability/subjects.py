"""The commands that campaigns disturb: an experiment, a separation, a report, a download, a store; all small."""

import hashlib
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import soundfile

from lab41_sce import audio
from lab41_sce.data.corpus import EMBEDDED_ROOT, EMBEDDED_SUBSET, load_corpus
from lab41_sce.examples import EXAMPLES
from reliability.processes import Ended, distance, files, half_written, run, temporary

SUBSET = "train-clean-5"  # the name of the small corpus
TINY = ("+exp=smoke", "corpus=librispeech", f"corpus.subsets=[{SUBSET}]", "corpus.unseen_subsets=[]",
        "deterministic=true", "network.units=8", "mixtures.seconds=0.512", "training.updates=40",
        "training.validate_every=4", "validation.seconds=1.5", "evaluation.seconds=1.5",
        "evaluation.examples_per_kind=1")
DOWNLOAD = """
import sys
from lab41_sce.commands.download import main
from lab41_sce.data.download import ARCHIVES, Archive
root, subset, url, checksum = sys.argv[1:]
ARCHIVES[subset] = Archive(31, checksum)
sys.exit(main([subset, "--root", root, "--mirror", url]))
"""
STORE = """
import sys
from lab41_sce.data import store_writer
from lab41_sce.commands.store import main
store_writer.SHARD_SECONDS = 20.0  # many shards
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Subject:
    """A command that can be stopped, and its undisturbed result.

    Args:
        name: shown in the table.
        start: returns the command that writes into a folder.
        again: returns the command that continues there.
        phase: returns how far the command came in a folder.
        kill_at: patterns of names at whose first appearance it is killed; temporary names of files written quickly.
        fill_at: names of files at whose appearance the disk is filled.
        reference: folder of an undisturbed result.
        tolerance: largest difference of two undisturbed results (`processes.distance`).
        seconds: duration.
    """

    name: str
    start: Callable[[Path], list]
    again: Callable[[Path], list]
    phase: Callable[[Path], str]
    kill_at: tuple[str, ...]
    fill_at: tuple[str, ...]
    reference: Path
    tolerance: float = 0.0
    seconds: float = np.inf

    def measure(self, repeats: int) -> "Subject":
        """Run the command undisturbed; the first run becomes the reference."""
        for number in range(repeats):
            folder = self.reference.with_name(f"{self.reference.name}_{number}") if number else self.reference
            started = time.monotonic()
            ended = run(self.start(folder))
            self.seconds = min(self.seconds, time.monotonic() - started)
            if ended.code != 0 or half_written(folder):
                raise RuntimeError(f"{self.name} fails undisturbed: {half_written(folder)} {ended.output}")
            self.tolerance = max(self.tolerance, distance(folder, self.reference))
        return self

    def differences(self, ended: Ended, folder: Path) -> list[str]:
        """Describe how an ended command and its folder differ from an undisturbed one."""
        if ended.code != 0:
            return [f"exit status {ended.code}"]
        broken = [f"{name} is half written" for name in half_written(folder)]
        names = sorted(files(folder) ^ files(self.reference))
        apart = distance(folder, self.reference)
        return broken + names + ([f"results {apart:.3g} apart"] if apart > self.tolerance else [])


def make_corpus(root: Path) -> Path:
    """Make a small corpus from the embedded one: 6 women and 6 men, 6 utterances each, alternately FLAC and WAV."""
    table = load_corpus(None, [EMBEDDED_SUBSET], check="headers")
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
    """Write n recordings of the shipped mixtures, alternately as WAV and FLAC."""
    folder.mkdir()
    for number in range(n):
        signal, rate_hz = audio.read(EXAMPLES[number % len(EXAMPLES)])
        audio.write(folder / f"talk{number}{('.wav', '.flac')[number % 2]}", signal, rate_hz)
    return folder


def experiment(corpus: Path, reference: Path, *more: str) -> Subject:
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
    return Subject("an experiment", start, lambda folder: [*start(folder), "resume=true"], phase, kill_at,
                   ("config.yaml", "systems/sce/history.csv", "history.csv", "summary.csv"), reference)


def separation(recordings: Path, reference: Path) -> Subject:
    """Separate a folder of recordings with the shipped model."""

    def start(folder):
        return ["-m", "lab41_sce.separate", recordings, "--out-dir", folder, "--plot", "--json", "--rttm"]

    def phase(folder):
        if not folder.exists():
            return "starting"
        return "writing a recording's files" if temporary(folder) else "between two recordings"

    kill_at = (".talk0_1.part.wav", ".talk1_2.part.flac", ".*.part.rttm", ".*.part.json", ".*.part.png")
    return Subject("a separation of a folder", start, start, phase, kill_at,
                   (".talk0_1.part.wav", "talk0_1.wav"), reference)


def article(run_folder: Path, reference: Path) -> Subject:
    """Judge the article's claims by a run."""

    def start(folder):
        return ["-m", "lab41_sce.article", run_folder, "--out", folder]

    def phase(folder):
        if not (folder / "figures").exists():
            return "judging"
        return "writing" if (folder / "report.html").exists() else "drawing"

    kill_at = (".*.part.png", ".*.part.svg", ".report.part.html", ".REPORT.part.md")
    return Subject("the article's report", start, start, phase, kill_at, ("figures", "figures/figure_3_masking.png"),
                   reference)


def store(corpus: Path, reference: Path) -> Subject:
    """Store the small corpus in many shards."""

    def start(folder):
        return ["-c", STORE, corpus, folder, "--subsets", SUBSET]

    def phase(folder):
        if not (folder / "store.json").exists():
            return "starting"
        return "storing" if not (folder / "shards.csv").exists() else "writing the index"

    kill_at = (".store.part.json", ".shard_00000.part.wav", ".shard_00005.part.wav", ".shard_*.part.json",
               ".shards.part.csv", ".index.part.csv")
    return Subject("making a store", start, start, phase, kill_at, ("shard_00002.wav",), reference)


def download(server: "Server", corpus: Path) -> Subject:
    """Download the small corpus from a server of this machine."""

    def start(folder):
        return ["-c", DOWNLOAD, folder, SUBSET, server.url, f"sha256:{hashlib.sha256(server.content).hexdigest()}"]

    return Subject("a download", start, start, lambda folder: "", (), (), corpus)


class Server(ThreadingHTTPServer):
    """Serve `content` from the requested offset until `max_bytes` were sent; then close the connection, or stall."""

    def __init__(self, content: bytes):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.sent, self.stalls = content, 0, False
        self.max_bytes = self.unlimited = len(content) * 10**6
        self.stalled, self.released = threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answer one request of a `Server`."""

    def do_GET(self):
        """Send the rest of the content, or close the connection without an answer, like a lost network."""
        server, asked = self.server, self.headers.get("Range", "bytes=0-")
        start, room = int(asked.removeprefix("bytes=").removesuffix("-")), server.max_bytes - server.sent
        if not room:
            self.close_connection = True
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        sent = server.content[start : start + min(room, len(server.content))]
        with suppress(ConnectionError):  # a full disk ends the other side
            self.wfile.write(sent)
        server.sent += len(sent)
        if server.sent == server.max_bytes and server.stalls:  # the connection stays open, but no byte follows
            server.stalled.set()
            server.released.wait()

    def log_message(self, *args):
        """Log nothing."""


@contextmanager
def serving(content: bytes) -> Iterator[Server]:
    """Serve an archive on this machine."""
    server = Server(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
