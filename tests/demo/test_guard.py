"""The guard in front of the page: whose requests it answers, for which routes, with which headers."""

import asyncio
import socket

import pytest

pytest.importorskip("starlette", reason="the page needs Gradio; make test-browser installs it")
from lab41_sce.demo import guard
from lab41_sce.demo.guard import Guard, host_name, is_loopback
from lab41_sce.errors import UserError

OWN = {"host": "127.0.0.1:7860"}
JSON = {"content-length": "2"}


def status(headers, method="GET", path="/", listens_at="127.0.0.1", allowed=()):
    """Send a request to the guard of an application that answers 200; return the status of the answer."""
    answers = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        answers.append(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(Guard(app, listens_at, allowed, 1000)(scope, receive, send))
    protection = dict(answers[0]["headers"])
    assert protection[b"x-content-type-options"] == b"nosniff"
    assert b"frame-ancestors 'none'" in protection[b"content-security-policy"]
    return answers[0]["status"]


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "127.0.0.1", "localhost:1", "LOCALHOST", "localhost.:80",
                                  "[::1]:7860", "proxy.example"])
def test_the_page_answers_under_its_own_names(host):
    assert status({"host": host}, allowed=["Proxy.example:443"]) == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "localhost.evil.example",
                                  "127.0.0.1.evil.example", "evil.example@localhost", "localhost@evil.example",
                                  "127.0.0.1/evil", "192.168.1.5", "0.0.0.0", "2130706433", "[::2]", "", ":7860",
                                  "localhost:x", "localhost:7860:1", "localhost,evil.example", "l\xf6calhost",
                                  "xn--lcalhost-n4a", "proxy.example"])
def test_other_hosts_are_refused(host):
    assert status({"host": host}) == 421


def test_all_names_of_a_request_must_be_the_pages_own():
    assert status({}) == 421
    assert status(OWN | {"x-forwarded-host": "evil.example"}) == 421
    assert status(OWN | {"x-forwarded-host": "proxy.example"}, allowed=["proxy.example"]) == 200


def test_a_page_for_the_network_answers_under_every_address():
    """An address in place of a name cannot be the result of DNS rebinding."""
    for host in ("192.168.1.5:7860", "[fe80::1]", "localhost", socket.gethostname()):
        assert status({"host": host}, listens_at="0.0.0.0") == 200
    assert status({"host": "evil.example"}, listens_at="0.0.0.0") == 421
    assert status({"host": "192.168.1.5"}, listens_at="192.168.1.5") == 200
    assert status({"host": "192.168.1.6"}, listens_at="192.168.1.5") == 421


def test_ipv6_addresses_have_brackets_in_requests_only():
    assert status({"host": "[2001:db8::5]:7860"}, listens_at="2001:DB8::5") == 200
    assert status({"host": "[2001:db8::6]:7860"}, listens_at="2001:db8::5") == 421
    assert status({"host": "[fd00::1]"}, allowed=["fd00::1"]) == 200


def test_what_is_no_host_is_not_allowed():
    with pytest.raises(UserError, match="--allow-host https://page.example is no name of a host"):
        status(OWN, allowed=["https://page.example"])


def post(origin, host="127.0.0.1:7860", allowed=()):
    """Send a request for a separation from a site."""
    return status({"host": host, "origin": origin} | JSON, "POST", "/gradio_api/queue/join", allowed=allowed)


def test_the_page_answers_its_own_requests():
    assert post("http://127.0.0.1:7860") == 200
    assert post("HTTP://LOCALHOST:8000", "localhost:8000") == 200  # through a tunnel with another port
    assert post("https://proxy.example", "proxy.example", ["proxy.example"]) == 200
    assert post("https://proxy.example:8443", "127.0.0.1:7860", ["proxy.example"]) == 200  # the proxy changes the host
    assert status(OWN | JSON, "POST", "/gradio_api/queue/join") == 200  # a program sends no origin


@pytest.mark.parametrize("origin", ["http://evil.example", "https://evil.example:7860", "null", "", "file://",
                                    "http://localhost:7860", "http://127.0.0.1:3000",
                                    "http://127.0.0.1:7860.evil.example", "http://127.0.0.1:7860@evil.example",
                                    "chrome-extension://127.0.0.1:7860"])
def test_requests_of_other_sites_are_refused(origin):
    assert post(origin) == 403
    assert status(OWN | {"origin": origin}, path="/config") == 403  # their scripts cannot read the page, either


@pytest.mark.parametrize("path", ["/gradio_api/call/check", "/gradio_api/process_recording",
                                  "/gradio_api/component_server", "/gradio_api/vibe-edit/", "/gradio_api/run/separate",
                                  "/gradio_api/stream/1", "/login", "/", "/config", "/voices/a/voice_1.wav"])
def test_routes_that_the_page_does_not_use_are_closed_for_post(path):
    assert status(OWN | JSON, "POST", path) == 404


@pytest.mark.parametrize("path", ["/gradio_api/proxy=http://evil.example", "/gradio_api/openapi.json",
                                  "/gradio_api/runs", "/gradio_api/vibe-code", "/gradio_api/deep_link",
                                  "/gradio_api/token", "/monitoring", "/gradio_api/custom_component/a/client/a/b",
                                  "/docs", "/config/", "//config", "/voices/", "/gradio_api/upload",
                                  "/gradio_api/file/etc/passwd", "/gradio_api/queue/join"])
def test_routes_that_the_page_does_not_use_are_closed_for_get(path):
    assert status(OWN, path=path) == 404


def test_methods_and_sizes_have_limits():
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "SEARCH"):
        assert status(OWN, method) == 405
    assert status(OWN, "HEAD") == 200
    for length, expected in (("1000", 200), ("1001", 413), ("-1", 411), ("1e3", 411), ("", 411)):
        assert status(OWN | {"content-length": length}, "POST", "/gradio_api/upload") == expected
    assert status(OWN, "POST", "/gradio_api/upload") == 411


def test_names_and_addresses():
    assert [host_name(text) for text in ("a.B:1", "[::1]", "::1", "a b", "a:")] == ["a.b", "::1", "", "", ""]
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.5", "example.org", "")))


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/no/such/address"])
def test_a_request_that_stays_incomplete_is_ended(monkeypatch, path):
    monkeypatch.setattr(guard, "MAX_BODY_SECONDS", 0.2)
    answers, cancelled = [], []

    async def app(scope, receive, send):
        try:
            while (await receive())["more_body"]:
                pass
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def receive():  # a byte every 20 ms
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message):
        answers.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [
        (name.encode(), value.encode()) for name, value in (OWN | {"content-length": "500"}).items()]}
    asyncio.run(asyncio.wait_for(Guard(app, "127.0.0.1", (), 1000)(scope, receive, send), 20))
    assert answers[0]["status"] == 408 and answers[1]["body"] == b"This request was not complete after 0.2 seconds."
    assert cancelled == ([True] if path.endswith("upload") else [])


def test_a_long_answer_to_a_complete_request_is_not_ended(monkeypatch):
    monkeypatch.setattr(guard, "MAX_BODY_SECONDS", 0.1)
    answers = []

    async def app(scope, receive, send):
        assert not (await receive())["more_body"]
        await asyncio.sleep(0.3)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message):
        answers.append(message)

    scope = {"type": "http", "method": "POST", "path": "/gradio_api/queue/join", "headers": [
        (name.encode(), value.encode()) for name, value in (OWN | JSON).items()]}
    asyncio.run(Guard(app, "127.0.0.1", (), 1000)(scope, receive, send))
    assert answers[0]["status"] == 200
