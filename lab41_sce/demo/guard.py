"""Requests that the page did not ask for become refusals; all answers receive headers that protect the visitor.

    request -> the application's answer, or a status and one sentence

A browser sends requests in the name of its user for every site that the user visits. Two headers show this abuse:

    Host    the name that the browser looked up. A foreign name may lead to this computer (DNS rebinding).
    Origin  the site whose script or form sends the request (cross-site request forgery).

Gradio has many more routes than the page needs: histories, editors, a proxy, converters. `ROUTES` lists those needed.

A request with a body has `MAX_BODY_SECONDS` to be complete. uvicorn 0.54 has no such limit, and none for slow headers.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab41_sce.errors import UserError

MAX_BODY_SECONDS = 300.0  # until a request is complete: 20 MB at 0.6 Mbit/s
LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
EVERY_ADDRESS = {"", "0.0.0.0", "::"}  # a server with this address listens at all addresses of the computer
ROUTES = {
    "GET": re.compile(r"/(help|config|theme\.css|favicon\.ico|manifest\.json|(static|assets|voices)/.+"
                      r"|gradio_api/(info|upload_progress|queue/data|heartbeat/[^/]+|file=.+))?"),
    "POST": re.compile(r"/gradio_api/(upload|queue/join|run/predict|cancel)"),
}
ROUTES["HEAD"] = ROUTES["GET"]
# Browsers block every request to another host, and show the page in no frame of another page. plotly needs
# 'unsafe-eval' to compile its shaders.
CONTENT_SECURITY_POLICY = ("default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; base-uri 'self'; "
                           "form-action 'self'; object-src 'none'; frame-ancestors 'none'")
PROTECTION = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cross-Origin-Resource-Policy": "same-origin",
              "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:\d{1,5})?")


def host_name(authority: str) -> str:
    """Return the name or address in an authority such as `localhost:7860` or `[::1]:7860`; empty if it is none."""
    match = _AUTHORITY.fullmatch(authority.strip().lower())
    return match["name"].strip("[]").rstrip(".") if match else ""


def in_brackets(host: str) -> str:
    """Return an IPv6 address as it stands in an authority, in brackets; other hosts as they are."""
    try:
        return f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        return host


def is_loopback(host: str) -> bool:
    """Return whether only this computer reaches a server with this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Refuse requests of other sites, of other hosts, for routes that are not needed, and with large bodies.

    Args:
        app: the ASGI application behind the guard.
        host: address at which the server listens.
        allowed_hosts: further names of the page, such as that of a proxy in front of it.
        max_body_bytes: maximum size of a request's body.

    Raises:
        UserError: an allowed host is no name or address.
    """

    def __init__(self, app: ASGIApp, host: str, allowed_hosts: Iterable[str], max_body_bytes: int):
        self._app, self._max_body_bytes = app, max_body_bytes
        names = {name: host_name(in_brackets(name)) for name in allowed_hosts}
        if wrong := [given for given, name in names.items() if not name]:
            raise UserError(f"--allow-host {wrong[0]} is no name of a host; give one such as page.example.org, without "
                            "https:// and path.")
        self._allowed = {*names.values()}
        self._names = {*self._allowed, *LOOPBACK_NAMES, host_name(in_brackets(host))}
        self._every_address = host in EVERY_ADDRESS
        if self._every_address:
            self._names |= {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        started = False

        async def send_protected(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(PROTECTION)
            await send(message)

        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        if refusal is None and scope["method"] != "POST":
            return await self._app(scope, receive, send_protected)
        if await _in_time(lambda receive: self._answer(refusal, scope, receive, send_protected), receive):
            return
        if not started:
            sentence = f"This request was not complete after {MAX_BODY_SECONDS:g} seconds."
            await PlainTextResponse(sentence, 408, {"Connection": "close"})(scope, receive, send_protected)

    async def _answer(self, refusal: tuple[int, str] | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may pass, or refuse it with a status and a sentence."""
        if refusal is None:
            return await self._app(scope, receive, send)
        while (await receive()).get("more_body"):  # a client that is still sending would not read the answer
            pass
        status, sentence = refusal
        await PlainTextResponse(sentence, status)(scope, receive, send)

    def _refusal(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        """Return the status and the sentence of a refusal; None for a request that may pass."""
        hosts = [host.strip().lower() for name in ("host", "x-forwarded-host") for value in headers.getlist(name)
                 for host in value.split(",")]
        foreign = [host for host in hosts if not self._is_own(host)]
        if foreign or not hosts:
            name = "".join(foreign[:1]) or "without a name"
            return 421, (f"This page does not answer for the host {name}; open the address that it printed, or start "
                         "it with --allow-host NAME for each further name.")
        for origin in headers.getlist("origin"):
            scheme, _, authority = origin.lower().partition("://")
            own = authority in hosts or host_name(authority) in self._allowed
            if scheme not in ("http", "https") or not own:
                return 403, (f"This page answers no requests of the other site {origin}; open the page's own address, "
                             "or start it with --allow-host NAME if a proxy is in front of it.")
        if method not in ROUTES:
            return 405, "This page answers GET, HEAD and POST only."
        if not ROUTES[method].fullmatch(path):
            return 404, "This page has no such address."
        length = headers.get("content-length", "")
        if method == "POST" and not length.isdecimal():
            return 411, "A request to this page must state its length in Content-Length."
        if length.isdecimal() and int(length) > self._max_body_bytes:
            return 413, f"This request exceeds the maximum allowed size of {self._max_body_bytes:,} bytes."
        return None

    def _is_own(self, authority: str) -> bool:
        """Return whether a request for this host is for the page."""
        name = host_name(authority)
        return bool(name) and (name in self._names or self._every_address and _is_address(name))


async def _in_time(answer: Callable[[Receive], Coroutine[Any, Any, None]], receive: Receive) -> bool:
    """Answer a request; cancel the answer and return False if its body is not complete after `MAX_BODY_SECONDS`."""
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    async def receive_part() -> Message:
        part = await receive()
        if not part.get("more_body"):
            timer.cancel()
        return part

    task = asyncio.ensure_future(answer(receive_part))
    timer = asyncio.get_running_loop().call_later(MAX_BODY_SECONDS, expire)
    try:
        await task
    except asyncio.CancelledError:
        if not expired:
            raise
    finally:
        timer.cancel()
    return not expired


def _is_address(name: str) -> bool:
    """Return whether a name is an IP address, which DNS rebinding cannot forge."""
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False
