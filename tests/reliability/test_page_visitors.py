"""A page with too many visitors, some of them hostile: `python -m lab41_sce.demo` must serve the others."""

import contextlib
import io
import itertools
import re
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
import soundfile

from lab41_sce.examples import FOLDER
from reliability.campaign import Campaign
from reliability.page_client import PATIENCE_SECONDS, PageClient, PageServer

pytestmark = pytest.mark.torture(part="page")
RECORDING = FOLDER / "mixture.wav"
MAX_MEGABYTES, MAX_SECONDS = 1, 10  # of a recording
OPTIONS = ("--max-seconds", MAX_SECONDS, "--max-megabytes", MAX_MEGABYTES, "--allow-host", "proxy.example")
MAX_SAMPLES = 200_000 * MAX_SECONDS  # of all its channels
SECRET = "the administrator's secret"
ROUTES = ("/file=", "/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/gradio_api/stream/", "/")
UPWARDS = ("../", "..%2f", "%2e%2e/", "....//", "..\\", "/..", "%252e%252e/")
MARKUP = ("<b>bold", "<img src=x onerror=alert(1)>", "<script>alert(1)<", "\"><svg onload=alert(1)>", "a&lt;b>",
          "'><iframe src=javascript:alert(1)>", "<a href=javascript:alert(1)>x", "{{7*7}}", "ü<i>", "%3Cb%3E")
OWN_HOSTS = ("127.0.0.1", "localhost", "LocalHost", "localhost.", "[::1]", "proxy.example", "PROXY.example")
FOREIGN_HOSTS = ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost", "0.0.0.0", "0",
                 "192.168.1.5", "10.0.0.1", "127.1", "2130706433", "0x7f000001", "[::2]", "[::ffff:10.0.0.1]", "proxy",
                 "evil.proxy.example", "user@localhost", "localhost@evil.example", "localhost/",
                 "localhost,evil.example", "localhost evil", "%6cocalhost", "xn--lcalhost-n4a", "localhost:", ":")
FOREIGN_ORIGINS = ("http://evil.example", "https://evil.example", "http://localhost.evil.example", "null", "file://",
                   "http://localhost:1", "http://127.0.0.1", "http://127.0.0.1:{port}.evil.example", "127.0.0.1:{port}",
                   "http://evil.example:{port}", "http://user@127.0.0.1:{port}", "ftp://127.0.0.1:{port}",
                   "chrome-extension://127.0.0.1:{port}", "http://127.0.0.1:{port}/", "http://[::1]:{port}",
                   "http://127.0.0.1:{port} http://evil.example", "http://evil.proxy.example")
CLOSED = ("/login", "/logout", "/docs", "/openapi.json", "/monitoring", "/monitoring/summary", "/robots.txt",
          "/svelte/svelte.js", "/gradio_api/token", "/gradio_api/user", "/gradio_api/app_id",
          "/gradio_api/openapi.json", "/gradio_api/runs", "/gradio_api/run-history/buckets",
          "/gradio_api/deep_link?session_hash=a",
          "/gradio_api/proxy=http://evil.example/", "/gradio_api/call/check", "/gradio_api/call/v2/check",
          "/gradio_api/run/separate", "/gradio_api/api/separate", "/gradio_api/component_server", "/gradio_api/reset",
          "/gradio_api/process_recording", "/gradio_api/vibe-edit/", "/gradio_api/vibe-code/", "/gradio_api/stream/1",
          "/gradio_api/stream/a/b/1/playlist.m3u8", "/gradio_api/custom_component/a/client/component/style.css",
          "/gradio_api/startup-events", "/gradio_api/queue/status", "/gradio_api/profiling/traces",
          "/gradio_api/dev/reload")
NO_SOUND = {"text": b"hello", "page": b"<!DOCTYPE html><script>alert(1)</script>", "settings": b"{}",
            "picture": b"\x89PNG\r\n\x1a\n" + bytes(99), "drawing": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "archive": b"PK\x03\x04" + bytes(99), "program": b"\x7fELF" + bytes(99), "document": b"%PDF-1.7\n",
            "nothing": b"", "zeros": bytes(5000), "head of a WAV": b"RIFF\x24\0\0\0WAVEfmt ", "head of a FLAC": b"fLaC",
            "head of an OGG": b"OggS" + bytes(30), "tag of an MP3": b"ID3\x04" + bytes(99)}
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".html", "")


class Visitor:
    """A visitor who separates again and again.

    Args:
        url: of the page.
        number: of the visitor; every fifth is rude (uploads garbage, cancels), of the others every second uploads.
        garbage: what rude visitors upload.
    """

    def __init__(self, url: str, number: int, garbage: bytes):
        self._url, self._garbage, self.rude, self._uploads = url, garbage, number % 5 == 4, number % 2 == 0
        self.answers, self.slowest_seconds = {"right": 0, "wrong": 0, "failed": 0, "late": 0}, 0.0

    def stay(self, seconds: float) -> None:
        """Separate for a time."""
        from gradio_client import Client, handle_file

        from lab41_sce.demo.layout import EXAMPLE, OWN, SOFT

        client = Client(self._url, verbose=False)
        system = next(component["props"]["value"] for component in client.config["components"]
                      if component["props"].get("label") == "System")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                if self.rude and self.answers["right"] % 2 == 0:
                    expected = ("is not audio",)
                    answer = PageClient(self._url).upload("garbage.wav", self._garbage).text
                else:
                    kind, file = (OWN, handle_file(RECORDING)) if self._uploads else (EXAMPLE, None)
                    job = client.submit(kind, "A woman and a man", "3 (woman)", "13 (man)", 0, 1, file, None, "2",
                                        system, SOFT, None, "", api_name="/separate")
                    if self.rude:
                        client.predict(api_name="/cancel")
                    expected = ("Cancelled", "Done in") if self.rude else ("Done in",)
                    answer = str(job.result(PATIENCE_SECONDS)[0])
            except TimeoutError:
                self.answers["late"] += 1
                continue
            except Exception as error:
                answer, expected = f"error in the program: {error!r}", ()
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
    server = PageServer(folder / "tmp", OPTIONS)
    yield server
    assert server.process.poll() is None, "the page has ended by itself"
    server.close()
    Campaign("page", results, 1, int(not [*server.tmp.iterdir()])).record("The page's files, after its end",
                                                                         "none must be left")


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_many_visitors(campaign, page, quick, turn):
    """Memory that grows from turn to turn would grow for ever."""
    if quick and turn > 1:
        pytest.skip("--quick")
    n_visitors, seconds = (5, 8) if quick else (20, 60)
    garbage = np.random.default_rng(0).bytes(100_000)
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
                answer = PageClient(page.url).request("GET", route + path)
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
                answer = PageClient(page.url).check(path, **more)
                accepted = any(words in answer for words in (SECRET, "root:", "Press Separate"))
                campaign.count(not accepted, lost=accepted)
    campaign.record("Recordings that are files of the server, or addresses of others",
                    f"the page requested {len(requested)} other addresses")


def test_large_uploads(campaign, page):
    for size in (1_000_001, 1_100_000, 2_000_000, 10_000_000, 100_000_000):
        answer = PageClient(page.url).upload("large.wav", bytes(size))
        kept = sum(file.stat().st_size for file in page.tmp.rglob("*large*"))
        campaign.count(answer.status_code == 413 and not kept)
    campaign.record("Uploads that are too large", "nothing of them is kept")


def elements(html: str) -> set[str]:
    """Return the names of the elements in a piece of HTML."""
    found, parser = set(), HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.add(tag)
    parser.feed(html)
    return found


def test_markup_in_names(campaign, page):
    """The page's answer about a file has no other elements than usual, and a refusal is plain text."""
    client, sound = PageClient(page.url), RECORDING.read_bytes()
    usual = elements(client.check(client.upload("plain.wav", sound).json()[0]))
    for name in MARKUP:
        answer = client.check(client.upload(f"{name}.wav", sound).json()[0], orig_name=f"{name}.wav")
        campaign.count("Press Separate" in answer and elements(answer) == usual)
        refused = client.upload(f"{name}.wav", b"no sound")
        campaign.count(refused.status_code == 415 and refused.headers["Content-Type"].startswith("text/plain")
                       and refused.headers["X-Content-Type-Options"] == "nosniff")
    campaign.record("Markup in the names of files")


def test_hosts_of_requests(campaign, page):
    """Each with and without the page's port, in the request's and in a proxy's header."""
    client = PageClient(page.url)
    for own, hosts in ((True, OWN_HOSTS), (False, FOREIGN_HOSTS)):
        for host, port in itertools.product(hosts, ("", f":{page.port}")):
            for headers in ({"Host": host + port}, {"Host": "localhost", "X-Forwarded-Host": host + port}):
                for path in ("/", "/config"):
                    answer = client.request("GET", path, headers=headers)
                    campaign.count(answer.ok if own else answer.status_code == 421)
    campaign.record("Hosts in requests", f"{len(OWN_HOSTS)} names of the page, {len(FOREIGN_HOSTS)} others")


def test_origins_of_requests(campaign, page):
    """Another site reads nothing, uploads nothing and starts nothing."""
    client, before = PageClient(page.url), page.stored()
    for origin in (origin.format(port=page.port) for origin in FOREIGN_ORIGINS):
        headers = {"Origin": origin}
        event = {"fn_index": 2, "data": [], "session_hash": client.session}
        for answer in (client.request("GET", "/config", headers=headers), client.request("GET", "/", headers=headers),
                       client.upload("talk.wav", RECORDING.read_bytes(), headers=headers),
                       client.request("POST", "/gradio_api/queue/join", json=event, headers=headers),
                       client.request("OPTIONS", "/gradio_api/upload",
                                      headers=headers | {"Access-Control-Request-Method": "POST"})):
            campaign.count(answer.status_code == 403 and "Access-Control-Allow-Origin" not in answer.headers
                           and page.stored() == before)
    for origin in (page.url, page.url.upper(), "https://proxy.example", "http://proxy.example:8080"):
        campaign.count(client.request("GET", "/config", headers={"Origin": origin}).ok)
        campaign.count(client.upload("talk.wav", RECORDING.read_bytes(), headers={"Origin": origin}).ok)
    campaign.record("Origins of requests", f"{len(FOREIGN_ORIGINS)} other sites, 4 of the page")


def test_methods_and_routes(campaign, page):
    """Gradio's routes that the page does not use are closed, and no others change anything."""
    client, before = PageClient(page.url), page.stored()
    for path, method in itertools.product(CLOSED, ("GET", "HEAD", "POST")):
        campaign.count(client.request(method, path, data=b"{}").status_code == 404)
    for path, method in itertools.product(("/", "/config", "/gradio_api/upload", "/gradio_api/file=a", "/voices/a/b"),
                                          ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")):
        campaign.count(client.request(method, path).status_code == 405)
    for path in ("/", "/config", "/theme.css", "/voices/a/b.wav", "/gradio_api/queue/data", "/gradio_api/file=a"):
        campaign.count(client.request("POST", path, data=b"{}").status_code == 404)
    for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/run/predict"):
        for body in (b"", b"{", b"[]", b"{}", b"null", 100 * b"[", b"\xff\xfe", b'{"fn_index": 99, "data": []}'):
            answer = client.request("POST", path, data=body, headers={"Content-Type": "application/json"})
            campaign.count(400 <= answer.status_code <= 500 and "Traceback" not in answer.text)
        chunked = client.request("POST", path, data=iter([b"{}"]))
        campaign.count(chunked.status_code == 411)
    assert page.stored() == before
    campaign.record("Methods and routes that the page does not use", f"{len(CLOSED)} routes of Gradio")


def test_uploads_by_sample_count(campaign, page, quick):
    """Kilobytes can hold many samples: recordings around the limits, of all channels together."""
    rng, accepted, client = np.random.default_rng(30), 0, PageClient(page.url)
    before, page.peak_bytes = page.used_bytes(), 0
    for number in range(10 if quick else 100):
        kind = ("FLAC", "OGG", "WAV")[number % 3]
        n_channels = int(rng.integers(1, {"FLAC": 9, "OGG": 17, "WAV": 65}[kind]))
        rate_hz = int(rng.choice([8000, 16000, 44100, 48000]))
        rate_hz = int(rng.choice([500, 990, 1000, 96000, 192000, 200000])) if kind == "WAV" else rate_hz
        seconds = min(rng.uniform(0.2, 1.3) * MAX_SECONDS, rng.uniform(0.1, 1.2) * MAX_SAMPLES / rate_hz / n_channels)
        n_samples, sound = max(1, round(seconds * rate_hz)), io.BytesIO()
        if kind == "WAV":  # one byte for each sample
            n_samples = min(n_samples, 900_000 // n_channels)
        subtype = "PCM_U8" if kind == "WAV" else None
        soundfile.write(sound, np.zeros((n_samples, n_channels)), rate_hz, subtype, format=kind)
        possible = (1000 <= rate_hz <= 192_000 and n_samples <= MAX_SECONDS * rate_hz
                    and n_samples * n_channels <= MAX_SAMPLES and len(sound.getvalue()) <= MAX_MEGABYTES * 1e6)
        stored = page.stored()
        answer = client.upload(f"{number}.{kind.lower()}", sound.getvalue())
        kept = page.stored() - stored
        right = answer.ok and len(kept) == 1 if possible else answer.status_code == 415 and not kept
        if right and possible and number % 5 == 0:
            right = "Press Separate" in client.check(answer.json()[0])
        campaign.count(right)
        accepted += possible
    campaign.record("Uploads by sample count", f"{accepted} are within the limits; memory grew by at most "
                                               f"{max(0, page.peak_bytes - before) / 1e6:.0f} MB")


def test_uploads_that_are_no_sound(campaign, page):
    """They are refused whatever their name, and a sound with the name of a page is never shown as one."""
    client, before = PageClient(page.url), page.stored()
    for (kind, content), suffix in itertools.product(NO_SOUND.items(), SUFFIXES):
        answer = client.upload(f"{kind}{suffix}", content)
        campaign.count(answer.status_code == 415 and page.stored() == before and "Traceback" not in answer.text)
    for suffix in (".html", ".svg", ".xml", ".js", ".css", ".txt", ".json", ".pdf", ".png", ".xhtml", ".wav", ""):
        [path] = client.upload(f"sound{suffix}", RECORDING.read_bytes()).json()
        for headers in ({}, {"Range": "bytes=0-99"}, {"Range": "bytes=5-"}, {"Accept": "text/html"}):
            answer = client.request("GET", f"/gradio_api/file={path}", headers=headers)
            kind = answer.headers["Content-Type"]
            campaign.count(answer.ok and answer.headers["Content-Disposition"].startswith("attachment")
                           and kind.startswith(("audio/", "application/octet-stream"))
                           and answer.headers["X-Content-Type-Options"] == "nosniff")
    campaign.record("Uploads that are no sound, and sounds that are named like pages")


def test_visitors_at_once_have_files_of_their_own(campaign, page, quick):
    """Each gets voices as long as the own recording, at addresses that no other visitor has."""
    from lab41_sce.demo.layout import OWN, SOFT
    from lab41_sce.demo.systems import SHIPPED

    def separate(number: int) -> tuple[list[str], list[float]]:
        client, sound = PageClient(page.url), io.BytesIO()
        noise = np.random.default_rng(number).uniform(-0.1, 0.1, 8000 + 800 * number)
        soundfile.write(sound, noise, 8000, format="WAV")
        [path] = client.upload("talk.wav", sound.getvalue()).json()
        recording = {"path": path, "meta": {"_type": "gradio.FileData"}}
        html = client.call("separate", OWN, None, None, None, 0, 1, recording, None, "2", SHIPPED, SOFT, None, "")[4]
        addresses = re.findall(r'data-source="([^"]+)"', html)
        answers = [client.request("GET", f"/{address}") for address in addresses]
        return addresses, [soundfile.info(io.BytesIO(answer.content)).duration for answer in answers]

    n_visitors = 3 if quick else 12
    with ThreadPoolExecutor(n_visitors) as pool:
        results = [*pool.map(separate, range(n_visitors))]
    addresses = [address for own, _ in results for address in own]
    for number, (own, durations) in enumerate(results):
        alone = all(addresses.count(address) == 1 for address in own)
        campaign.count(alone and durations == 3 * [1 + number / 10], lost=not alone)
    campaign.record("Visitors at once with recordings of their own")


def test_killed_pages(campaign, folder, quick):
    """The next page deletes the files of a killed page, and not those of a page that runs."""
    runs = PageServer(folder / "shared", OPTIONS)
    kept = PageClient(runs.url).upload("kept.wav", RECORDING.read_bytes()).json()[0]
    for _ in range(1 if quick else 2):
        killed = PageServer(folder / "shared", OPTIONS)
        gone = PageClient(killed.url).upload("gone.wav", RECORDING.read_bytes()).json()[0]
        killed.process.kill()
        killed.process.wait()
        left = Path(gone).exists()
        following = PageServer(folder / "shared", OPTIONS)
        campaign.count(left and not Path(gone).exists() and Path(kept).exists(), lost=not Path(kept).exists())
        following.close()
    runs.close()
    campaign.count(not [*(folder / "shared").iterdir()])
    campaign.record("Files of killed pages", "gone when the next page starts; those of a page that runs stay")
