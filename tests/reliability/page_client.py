"""The page as a process, and visitors without a browser, who send what the page's script would never send, too."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import requests

PATIENCE_SECONDS = 180


class PageServer:
    """The page as a command, and its memory.

    Args:
        tmp: folder for its temporary files; `page_NUMBER.log` beside it receives the output.
        options: of the command.
    """

    def __init__(self, tmp: Path, options: Sequence = ()):
        self.tmp, self.peak_bytes, self._ended = tmp, 0, threading.Event()
        tmp.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tmp.with_name(f"page_{self.port}.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lab41_sce.demo", "--port", str(self.port), *map(str, options)],
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

    def stored(self) -> set[Path]:
        """Return the files of all visitors."""
        return {path for path in self.tmp.rglob("*") if path.is_file() and path.name != ".lock"}


class PageClient:
    """A visitor of a running page.

    Args:
        url: address of the page, without a slash at its end.
    """

    def __init__(self, url: str):
        self.url, self.session = url, secrets.token_hex(8)

    def request(self, method: str, path: str, **options: object) -> requests.Response:
        """Send a request whose path is taken literally: no `..` is resolved before it is sent."""
        request = requests.Request(method, self.url, **options).prepare()
        request.url = self.url + path
        with requests.Session() as session:
            return session.send(request, timeout=PATIENCE_SECONDS, allow_redirects=False)

    def upload(self, name: str, content: bytes, **options: object) -> requests.Response:
        """Send a file."""
        return requests.post(f"{self.url}/gradio_api/upload", files={"files": (name, content)},
                             timeout=PATIENCE_SECONDS, **options)

    def call(self, function: str, *inputs: object) -> list:
        """Call a function behind a button; return its last outputs, or one text about what went wrong."""
        config = requests.get(f"{self.url}/config", timeout=PATIENCE_SECONDS).json()
        [number] = [each["id"] for each in config["dependencies"] if each["api_name"] == function]
        event = {"fn_index": number, "data": inputs, "session_hash": self.session}
        joined = requests.post(f"{self.url}/gradio_api/queue/join", json=event, timeout=PATIENCE_SECONDS)
        if not joined.ok:
            return [joined.text]
        with requests.get(f"{self.url}/gradio_api/queue/data", {"session_hash": self.session}, stream=True,
                          timeout=PATIENCE_SECONDS) as messages:
            for line in messages.iter_lines():
                message = json.loads(line.removeprefix(b"data: ") or b"{}")
                if message.get("msg") == "process_completed":
                    return message["output"].get("data", ["an error in the program"])
        raise AssertionError(f"the page closed the connection before {function} was done")

    def check(self, path: str, **more: object) -> str:
        """Let the page look at an uploaded recording; return its status message."""
        from lab41_sce.demo.layout import OWN  # needs Gradio

        file = {"path": path, "meta": {"_type": "gradio.FileData"}} | more
        outputs = self.call("choose", OWN, None, None, None, 0, 1, file, None)
        return str(outputs[1 if len(outputs) > 1 else 0])
