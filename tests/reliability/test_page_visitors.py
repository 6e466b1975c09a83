"""A page with too many visitors, some of them rude: `python -m lab41_sce.demo` must serve the others.

    python tools/torture_page.py rows.csv [--quick]
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import numpy as np
import requests
import soundfile
from torture import Campaigns, part_main

from lab41_sce.examples import FOLDER

MOST_MEGABYTES, MOST_SECONDS = 1, 10  # of a recording
PATIENCE_SECONDS = 180
EXAMPLE, OWN, SOFT = "An example", "A recording of your own", "Soft, as the system makes them"
SECRET = "only for who runs the page"


def run(campaigns: Campaigns, quick: bool) -> None:
    """Run the campaigns against one server."""
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret.txt"
        secret.write_text(SECRET)
        with Server(Path(folder) / "tmp") as server:
            for turn in range(1, 2 if quick else 4):  # memory that grows from turn to turn would grow for ever
                visits(campaigns, server, Path(folder), turn, *((5, 8) if quick else (20, 60)))
            paths(campaigns, server, secret)
            uploads(campaigns, server, Path(folder))
            names(campaigns, server)
            assert server.process.poll() is None, "the page has ended by itself"
        left = [*server.tmp.iterdir()]
        campaigns.add("The page's files, after its end", 1, int(not left), lost=0, note="none is to be left")


class Server:
    """Run the page as anybody would, and watch its memory.

    Args:
        tmp: folder for its temporary files.
    """

    def __init__(self, tmp: Path):
        self.tmp, self.log, self.peak_bytes, self._ended = tmp, tmp.with_suffix(".log"), 0, threading.Event()
        tmp.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"

    def __enter__(self):
        with open(self.log, "wb") as log:  # Gradio tells there of all that it refuses
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lab41_sce.demo", "--port", self.url.rpartition(":")[2], "--max-seconds",
                 str(MOST_SECONDS), "--max-megabytes", str(MOST_MEGABYTES)],
                env=os.environ | {"TMPDIR": str(self.tmp)}, stdout=log, stderr=log)
        for _ in range(PATIENCE_SECONDS):
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(self.url, timeout=10).ok:
                    break
            if self.process.poll() is not None:
                sys.exit(f"error: the page did not start: {self.log.read_text()}")
            time.sleep(1)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)

    def bytes_used(self) -> int:
        """Return how much memory it has now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _watch(self):
        while not self._ended.wait(0.2) and self.process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                self.peak_bytes = max(self.peak_bytes, self.bytes_used())

    def get(self, path: str) -> requests.Response:
        """Ask for a path as it is: no `..` is resolved before it is sent."""
        request = requests.Request("GET", self.url).prepare()
        request.url = self.url + path
        with requests.Session() as session:
            return session.send(request, timeout=PATIENCE_SECONDS)

    def upload(self, name: str, content) -> requests.Response:
        """Send a file."""
        return requests.post(f"{self.url}/gradio_api/upload", files={"files": (name, content)},
                             timeout=PATIENCE_SECONDS)

    def check(self, recording: dict) -> str:
        """Let the page look at a recording, and return what it says, as the events that it sends."""
        call = f"{self.url}/gradio_api/call/check"
        event = requests.post(call, json={"data": [recording]}, timeout=PATIENCE_SECONDS)
        if not event.ok:
            return event.text
        return requests.get(f"{call}/{event.json()['event_id']}", timeout=PATIENCE_SECONDS).text


class Visitor:
    """Somebody who separates again and again.

    Args:
        url: of the page.
        number: of the visitor; every fifth is rude, of the others every second brings a recording.
        recording: to upload.
        garbage: what rude visitors upload.
    """

    def __init__(self, url: str, number: int, recording: Path, garbage: Path):
        self._url, self._rude, self._own = url, number % 5 == 4, number % 2 == 0
        self._file = garbage if self._rude else recording
        self.answers, self.slowest = {"right": 0, "wrong": 0, "failed": 0, "late": 0}, 0.0

    @property
    def rude(self) -> bool:
        """Whether it uploads garbage, and leaves before it is answered."""
        return self._rude

    def stay(self, seconds: float) -> None:
        """Separate for so long."""
        from gradio_client import Client, handle_file

        client = Client(self._url, verbose=False)
        system = next(component["props"]["value"] for component in client.config["components"]
                      if component["props"].get("label") == "System")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                kind, file = (OWN, handle_file(self._file)) if self._own or self._rude else (EXAMPLE, None)
                job = client.submit(kind, "A woman and a man", "3 (woman)", "13 (man)", 0, 1, file, "2", system, SOFT,
                                    api_name="/separate")
                if self._rude and self.answers["right"] % 2:
                    client.predict(api_name="/cancel")
                said = str(job.result(PATIENCE_SECONDS)[0])
            except TimeoutError:
                self.answers["late"] += 1
                continue
            except Exception as error:
                said = f"mistake in the program: {error!r}"
            expected = ("is not audio", "Cancelled") if self._rude else ("Done in",)
            right = any(words in said for words in expected)
            self.answers["right" if right else "failed" if "mistake" in said else "wrong"] += 1
            if not right:
                print(said, file=sys.stderr)
            self.slowest = max(self.slowest, time.monotonic() - started)


def visits(campaigns: Campaigns, server: Server, folder: Path, turn: int, n_visitors: int, seconds: float) -> None:
    """Let visitors separate, all at once."""
    garbage, recording = folder / "garbage.wav", FOLDER / "mixture.wav"
    garbage.write_bytes(np.random.default_rng(0).bytes(100_000))
    visitors = [Visitor(server.url, number, recording, garbage) for number in range(n_visitors)]
    with ThreadPoolExecutor(n_visitors) as pool:
        before = server.bytes_used()
        for done in [pool.submit(visitor.stay, seconds) for visitor in visitors]:
            done.result()
    total = {name: sum(visitor.answers[name] for visitor in visitors) for name in visitors[0].answers}
    polite = [visitor for visitor in visitors if not visitor.rude]
    campaigns.add(
        f"{n_visitors} visitors of the page at once, for {seconds} s, turn {turn}", sum(total.values()), total["right"],
        tracebacks=total["failed"], hangs=total["late"],
        note=f"of the {len(polite)} that are not rude, each was served {min(v.answers['right'] for v in polite)} to "
             f"{max(v.answers['right'] for v in polite)} times, at last after {max(v.slowest for v in polite):.0f} s; "
             f"{before / 1e6:.0f} MB of memory before, at most {server.peak_bytes / 1e6:.0f} MB, "
             f"{server.bytes_used() / 1e6:.0f} MB after")


def paths(campaigns: Campaigns, server: Server, secret: Path) -> None:
    """Ask for files that are nobody's business, by address and as a "recording" to separate."""
    asked = []
    up = [12 * step for step in ("../", "..%2f", "%2e%2e/", "....//", "..\\", "/..", "%252e%252e/")]
    for route in ("/file=", "/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/gradio_api/stream/",
                  "/"):
        for target in ("/etc/passwd", str(secret), f"{server.tmp}", "/proc/self/environ", "file:///etc/passwd"):
            asked += [route + target, route + quote(target, safe=""), *(route + dots + target[1:] for dots in up)]
    refused = 0
    for path in asked:
        answer = server.get(path)
        readable = any(word in answer.text for word in (SECRET, "root:", "TMPDIR=", "lab41_sce_demo_"))
        refused += not readable and answer.status_code < 500
        if readable or answer.status_code >= 500:
            print(path, answer.status_code, answer.text[:200], file=sys.stderr)
    campaigns.add("Addresses that lead out of the page's folders", len(asked), refused, lost=len(asked) - refused)

    with decoy() as (elsewhere, asked_of):
        recordings = [{"path": path, "meta": {"_type": "gradio.FileData"}} | more
                      for path in ("/etc/passwd", str(secret), f"{server.tmp}/../secret.txt", f"{elsewhere}/sound.wav",
                                   "file:///etc/passwd", "/dev/zero", "\0")
                      for more in ({}, {"orig_name": "a.wav"}, {"url": f"{elsewhere}/sound.wav"},
                                   {"url": "file:///etc/passwd"}, {"is_stream": True})]
        said = [server.check(recording) for recording in recordings]
    refused = sum(SECRET not in text and "root:" not in text and "Press Separate" not in text for text in said)
    campaigns.add("Recordings that are files of the server, or addresses of others", len(said), refused,
                  lost=len(said) - refused, note=f"{len(asked_of)} other addresses were asked by the page")


@contextlib.contextmanager
def decoy():
    """Serve something on this machine; yield its address and the list of what was asked of it."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def uploads(campaigns: Campaigns, server: Server, folder: Path) -> None:
    """Send what is too large or too long."""
    refused, sizes = 0, (1_000_001, 1_100_000, 2_000_000, 10_000_000, 100_000_000)
    for size in sizes:
        answer = server.upload("large.wav", bytes(size))
        kept = sum(file.stat().st_size for file in server.tmp.rglob("*large*"))
        refused += answer.status_code == 413 and not kept
    long = folder / "long.flac"
    soundfile.write(long, np.zeros((MOST_SECONDS + 1) * 8000), 8000)
    said = server.check(_data(server.upload(long.name, long.read_bytes()).json()[0]))
    refused += f"takes {MOST_SECONDS} s at most" in said
    campaigns.add("Uploads that are too large or too long", len(sizes) + 1, refused, note="nothing of them is kept")


def names(campaigns: Campaigns, server: Server) -> None:
    """Send files whose names are markup: what the page says of them must hold no other element than usually."""
    sound, escaped = (FOLDER / "mixture.wav").read_bytes(), 0
    marked = ("<b>bold", "<img src=x onerror=alert(1)>", "<script>alert(1)<", "\"><svg onload=alert(1)>", "a&lt;b>",
              "'><iframe src=javascript:alert(1)>", "<a href=javascript:alert(1)>x", "{{7*7}}", "ü<i>", "%3Cb%3E")
    cases = [(name, content) for name in marked for content in (sound, b"no sound")]
    usual = elements(server.check(_data(server.upload("plain.wav", sound).json()[0])))
    for name, content in cases:
        path = server.upload(f"{name}.wav", content).json()[0]
        said = server.check(_data(path, f"{name}.wav"))
        escaped += elements(said) == usual and "event: complete" in said
    campaigns.add("Markup in the names of files", len(cases), escaped)


def _data(path, name=None):
    """Say to Gradio that a file was uploaded."""
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def elements(html: str) -> set[str]:
    """List the elements of a piece of HTML."""
    found, parser = set(), HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.add(tag)
    parser.feed(html)
    return found


if __name__ == "__main__":
    try:
        import gradio  # noqa: F401
        import gradio_client  # noqa: F401
    except ModuleNotFoundError:
        sys.exit('error: the page needs Gradio; install it: pip install -c constraints.txt -e ".[demo]"')
    part_main(run)
