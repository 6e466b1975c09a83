"""The page becomes a web server: Gradio's page, the visitors' uploads and voices, and a guard in front of them."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from markdown import markdown
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from lab41_sce.demo.guard import EVERY_ADDRESS, Guard, is_loopback
from lab41_sce.demo.page import Page
from lab41_sce.demo.player import VOICES_ROUTE
from lab41_sce.demo.sessions import Visitors
from lab41_sce.demo.uploads import OnlyUploads, add_routes
from lab41_sce.errors import UserError

SYSTEM_FONTS = ["system-ui", "sans-serif"]
FOLDER = Path(__file__).parent
STYLE = (FOLDER / "page.css").read_text("utf-8")
SCRIPT = f"<script>{(FOLDER / 'page.js').read_text('utf-8')}</script>"
HELP = ('<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>Help: separate voices</title><style>:root { color-scheme: light dark; } body { font-family: system-ui; "
        "line-height: 1.5; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }</style>"
        f"{markdown((FOLDER / 'help.md').read_text('utf-8'), extensions=['tables'])}</html>")
PORTS = range(7860, 7960)  # the first free one is used
FORM_BYTES = 2**16  # of a request, around the file in it
CHECKS_PER_AGE = 60  # how often the visitors' files are checked while they may be stored
GOODBYE_SECONDS = 1  # for running requests when the page ends


def make_app(page: Page, host: str, allowed_hosts: Iterable[str] = ()) -> Guard:
    """Combine all that the server answers.

    Args:
        page: the page to serve.
        host: address at which the server listens.
        allowed_hosts: further names of the page, such as that of a proxy in front of it.

    Returns:
        The ASGI application.
    """
    blocks = page.build()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        expiring = asyncio.create_task(_expire_regularly(page.visitors))
        yield
        expiring.cancel()

    app = FastAPI(openapi_url=None, lifespan=lifespan)
    add_routes(app, page.visitors, page.limits)
    app.get("/help")(lambda: HTMLResponse(HELP))
    app.mount(f"/{VOICES_ROUTE}", StaticFiles(directory=page.visitors.voices))
    theme = gr.themes.Default(font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"])
    # Gradio 6 checks paths, and keeps idle connections open, only of a page that its own `launch` has started.
    blocks.has_launched = blocks.is_running = True
    # Gradio's history would keep the voices in the browser.
    gr.mount_gradio_app(app, blocks, "/", theme=theme, css=STYLE, head=SCRIPT, footer_links=[], run_history=False,
                        ssr_mode=False, mcp_server=False, enable_monitoring=False, pwa=False, show_error=False,
                        max_file_size=round(page.limits.megabytes * 1e6))
    return Guard(OnlyUploads(app, page.visitors), host, allowed_hosts, round(page.limits.megabytes * 1e6) + FORM_BYTES)


def serve(page: Page, host: str, port: int | None, allowed_hosts: Iterable[str] = ()) -> None:
    """Serve the page until it is interrupted, then delete all files of visitors.

    Args:
        page: the page to serve.
        host: address of the server.
        port: port of the server; None for the first free one of `PORTS`.
        allowed_hosts: see `make_app`.

    Raises:
        UserError: the server cannot listen at this address.
    """
    host = host.strip("[]")
    try:
        app = make_app(page, host, allowed_hosts)
        with listen(host, port) as listener:
            if not is_loopback(host):
                print(f"warning: with --host {host}, everybody who reaches this computer over the network can use the "
                      "page, which has no password and no encryption.", file=sys.stderr)
            shown = "localhost" if host in EVERY_ADDRESS else f"[{host}]" if ":" in host else host
            print(f"The page is at http://{shown}:{listener.getsockname()[1]}/ until you press Ctrl-C.", flush=True)
            config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GOODBYE_SECONDS)
            server = uvicorn.Server(config)
            # uvicorn 0.54 logs a traceback for each connection that a browser still has when the page ends.
            logging.getLogger("uvicorn.error").addFilter(lambda record: not server.should_exit)
            server.run([listener])
    finally:
        page.visitors.close()


def listen(host: str, port: int | None) -> socket.socket:
    """Open the socket of the server; arguments and errors as in `serve`."""
    reason = ""
    for candidate in PORTS if port is None else [port]:
        try:
            return socket.create_server((host, candidate), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            reason = error.strerror or str(error)
    ports = f"{PORTS[0]} to {PORTS[-1]}" if port is None else port
    raise UserError(f"the page cannot listen at {host}, port {ports} ({reason}); choose "
                    "another --host or --port.")


async def _expire_regularly(visitors: Visitors) -> None:
    """Delete old files of visitors again and again."""
    while True:
        await asyncio.sleep(visitors.max_age_seconds / CHECKS_PER_AGE)
        await run_in_threadpool(visitors.expire)
