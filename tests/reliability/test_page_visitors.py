"""A page with too many visitors, some of them hostile: `python -m lab41_sce.demo` must serve the others."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import requests
import soundfile

from lab41_sce.examples import FOLDER
from reliability.campaign import Campaign

pytestmark = pytest.mark.torture(part="page")
RECORDING = FOLDER / "mixture.wav"
MAX_MEGABYTES, MAX_SECONDS = 1, 10  # of a recording
PATIENCE_SECONDS = 180
SECRET = "the administrator's secret"
ROUTES = ("/file=", "/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/gradio_api/stream/", "/")
UPWARDS = ("../", "..%2f", "%2e%2e/", "....//", "..\\", "/..", "%252e%252e/")
MARKUP = ("<b>bold", "<img src=x onerror=alert(1)>", "<script>alert(1)<", "\"><svg onload=alert(1)>", "a&lt;b>",
          "'><iframe src=javascript:alert(1)>", "<a href=javascript:alert(1)>x", "{{7*7}}", "ü<i>", "%3Cb%3E")


class Server:
    """The page as a command, and its memory.

    Args:
        tmp: folder for its temporary files.
    """

    def __init__(self, tmp: Path):
        self.tmp, self.log, self.peak_bytes, self._ended = tmp, tmp.with_suffix(".log"), 0, threading.Event()
        tmp.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lab41_sce.demo", "--port", self.url.rpartition(":")[2], "--max-seconds",
                 str(MAX_SECONDS), "--max-megabytes", str(MAX_MEGABYTES)],
                env=os.environ | {"TMPDIR": str(tmp)}, stdout=log, stderr=log)
        for _ in range(PATIENCE_SECONDS):
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(self.url, timeout=10).ok:
                    break
            if self.process.poll() is not None:
                raise RuntimeError(f"the page did not start: {self.log.read_text()}")
            time.sleep(1)
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """End the page."""
        self._ended.set()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)

    def used_bytes(self) -> int:
        """Return its present memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _watch(self):
        while not self._ended.wait(0.2) and self.process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                self.peak_bytes = max(self.peak_bytes, self.used_bytes())

    def get(self, path: str) -> requests.Response:
        """Request a path literally: no `..` is resolved before it is sent."""
        request = requests.Request("GET", self.url).prepare()
        request.url = self.url + path
        with requests.Session() as session:
            return session.send(request, timeout=PATIENCE_SECONDS)

    def upload(self, name: str, content: bytes) -> requests.Response:
        """Send a file."""
        return requests.post(f"{self.url}/gradio_api/upload", files={"files": (name, content)},
                             timeout=PATIENCE_SECONDS)

    def check(self, path: str, **more: object) -> str:
        """Let the page look at an uploaded recording; return the events of its answer."""
        call, recording = f"{self.url}/gradio_api/call/check", {"path": path, "meta": {"_type": "gradio.FileData"}}
        event = requests.post(call, json={"data": [recording | more]}, timeout=PATIENCE_SECONDS)
        if not event.ok:
            return event.text
        return requests.get(f"{call}/{event.json()['event_id']}", timeout=PATIENCE_SECONDS).text


class Visitor:
    """A visitor who separates again and again.

    Args:
        url: of the page.
        number: of the visitor; every fifth is rude (uploads garbage, cancels), of the others every second uploads.
        garbage: what rude visitors upload.
    """

    def __init__(self, url: str, number: int, garbage: Path):
        self._url, self.rude, self._uploads = url, number % 5 == 4, number % 2 == 0 or number % 5 == 4
        self._file = garbage if self.rude else RECORDING
        self.answers, self.slowest_seconds = {"right": 0, "wrong": 0, "failed": 0, "late": 0}, 0.0

    def stay(self, seconds: float) -> None:
        """Separate for a time."""
        from gradio_client import Client, handle_file

        from lab41_sce.demo.page import EXAMPLE, OWN, SOFT

        client = Client(self._url, verbose=False)
        system = next(component["props"]["value"] for component in client.config["components"]
                      if component["props"].get("label") == "System")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                kind, file = (OWN, handle_file(self._file)) if self._uploads else (EXAMPLE, None)
                job = client.submit(kind, "A woman and a man", "3 (woman)", "13 (man)", 0, 1, file, "2", system, SOFT,
                                    api_name="/separate")
                if self.rude and self.answers["right"] % 2:
                    client.predict(api_name="/cancel")
                answer = str(job.result(PATIENCE_SECONDS)[0])
            except TimeoutError:
                self.answers["late"] += 1
                continue
            except Exception as error:
                answer = f"error in the program: {error!r}"
            expected = ("is not audio", "Cancelled") if self.rude else ("Done in",)
            right = any(words in answer for words in expected)
            self.answers["right" if right else "failed" if "error in the program" in answer else "wrong"] += 1
            if not right:
                print(answer, file=sys.stderr)
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "secret.txt").write_text(SECRET)
    return folder


@pytest.fixture(scope="module")
def page(folder, results):
    """The running page; after its end, its temporary files are counted."""
    pytest.importorskip("gradio")
    server = Server(folder / "tmp")
    yield server
    assert server.process.poll() is None, "the page has ended by itself"
    server.close()
    Campaign("page", results, 1, int(not [*server.tmp.iterdir()])).record("The page's files, after its end",
                                                                         "none must be left")


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_many_visitors(campaign, page, folder, quick, turn):
    """Memory that grows from turn to turn would grow for ever."""
    if quick and turn > 1:
        pytest.skip("--quick")
    n_visitors, seconds = (5, 8) if quick else (20, 60)
    garbage = folder / "garbage.wav"
    garbage.write_bytes(np.random.default_rng(0).bytes(100_000))
    visitors, before = [Visitor(page.url, number, garbage) for number in range(n_visitors)], page.used_bytes()
    with ThreadPoolExecutor(n_visitors) as pool:
        for done in [pool.submit(visitor.stay, seconds) for visitor in visitors]:
            done.result()
    total = {name: sum(visitor.answers[name] for visitor in visitors) for name in visitors[0].answers}
    polite = [visitor for visitor in visitors if not visitor.rude]
    served = [visitor.answers["right"] for visitor in polite]
    campaign.tried, campaign.survived = sum(total.values()), total["right"]
    campaign.tracebacks, campaign.hangs = total["failed"], total["late"]
    campaign.record(
        f"{n_visitors} visitors of the page at once, for {seconds} s, turn {turn}",
        f"each of the {len(polite)} that are not rude was served {min(served)} to {max(served)} times, after at most "
        f"{max(visitor.slowest_seconds for visitor in polite):.0f} s; {before / 1e6:.0f} MB of memory before, at most "
        f"{page.peak_bytes / 1e6:.0f} MB, {page.used_bytes() / 1e6:.0f} MB after")


def test_addresses_outside_of_the_page(campaign, page, folder):
    targets = ("/etc/passwd", str(folder / "secret.txt"), str(page.tmp), "/proc/self/environ", "file:///etc/passwd")
    for route in ROUTES:
        for target in targets:
            for path in (target, quote(target, safe=""), *(12 * step + target[1:] for step in UPWARDS)):
                answer = page.get(route + path)
                readable = any(word in answer.text for word in (SECRET, "root:", "TMPDIR=", "lab41_sce_demo_"))
                broken = readable or answer.status_code >= 500
                campaign.count(not broken, lost=broken)
    campaign.record("Addresses that lead out of the page's folders")


@contextlib.contextmanager
def decoy():
    """Serve nothing on this machine; yield the address and the list of requests."""
    requested = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requested
    finally:
        server.shutdown()
        server.server_close()


def test_recordings_that_are_other_files(campaign, page, folder):
    with decoy() as (elsewhere, requested):
        for path in ("/etc/passwd", str(folder / "secret.txt"), f"{page.tmp}/../secret.txt", f"{elsewhere}/sound.wav",
                     "file:///etc/passwd", "/dev/zero", "\0"):
            for more in ({}, {"orig_name": "a.wav"}, {"url": f"{elsewhere}/sound.wav"}, {"url": "file:///etc/passwd"},
                         {"is_stream": True}):
                answer = page.check(path, **more)
                accepted = any(words in answer for words in (SECRET, "root:", "Press Separate"))
                campaign.count(not accepted, lost=accepted)
    campaign.record("Recordings that are files of the server, or addresses of others",
                    f"the page requested {len(requested)} other addresses")


def test_large_and_long_uploads(campaign, page, folder):
    for size in (1_000_001, 1_100_000, 2_000_000, 10_000_000, 100_000_000):
        answer = page.upload("large.wav", bytes(size))
        kept = sum(file.stat().st_size for file in page.tmp.rglob("*large*"))
        campaign.count(answer.status_code == 413 and not kept)
    long = folder / "long.flac"
    soundfile.write(long, np.zeros((MAX_SECONDS + 1) * 8000), 8000)
    answer = page.check(page.upload(long.name, long.read_bytes()).json()[0])
    campaign.count(f"accepts at most {MAX_SECONDS} s" in answer)
    campaign.record("Uploads that are too large or too long", "nothing of them is kept")


def elements(html: str) -> set[str]:
    """Return the names of the elements in a piece of HTML."""
    found, parser = set(), HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.add(tag)
    parser.feed(html)
    return found


def test_markup_in_names(campaign, page):
    """The page's answer about a file has no other elements than usual."""
    sound = RECORDING.read_bytes()
    usual = elements(page.check(page.upload("plain.wav", sound).json()[0]))
    for name in MARKUP:
        for content in (sound, b"no sound"):
            answer = page.check(page.upload(f"{name}.wav", content).json()[0], orig_name=f"{name}.wav")
            campaign.count(elements(answer) == usual and "event: complete" in answer)
    campaign.record("Markup in the names of files")
