"""Visitors of the page without a browser: they send what the page's script would send, or what it never would."""

import json
import secrets

import requests

PATIENCE_SECONDS = 180


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
        """Call a function behind a button; return its last outputs, or an empty list if it raised an error."""
        config = requests.get(f"{self.url}/config", timeout=PATIENCE_SECONDS).json()
        [number] = [each["id"] for each in config["dependencies"] if each["api_name"] == function]
        event = {"fn_index": number, "data": inputs, "session_hash": self.session}
        requests.post(f"{self.url}/gradio_api/queue/join", json=event, timeout=PATIENCE_SECONDS).raise_for_status()
        with requests.get(f"{self.url}/gradio_api/queue/data", {"session_hash": self.session}, stream=True,
                          timeout=PATIENCE_SECONDS) as messages:
            for line in messages.iter_lines():
                message = json.loads(line.removeprefix(b"data: ") or b"{}")
                if message.get("msg") == "process_completed":
                    return message["output"].get("data", [])
        raise AssertionError(f"the page closed the connection before {function} was done")

    def check(self, path: str, **more: object) -> str:
        """Let the page look at an uploaded recording; return its status message, empty if it raised an error."""
        return "".join(self.call("check", {"path": path, "meta": {"_type": "gradio.FileData"}} | more))
