"""The page becomes a web server: address, style, and headers that allow no request to other hosts."""

from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from lab41_sce.demo.page import Page

# Browsers block every request to another host. plotly needs 'unsafe-eval' to compile its shaders.
OWN_HOST_ONLY = ("default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; base-uri 'self'; form-action 'self'; "
                 "object-src 'none'")
SYSTEM_FONTS = ["system-ui", "sans-serif"]
STYLE = (Path(__file__).parent / "page.css").read_text("utf-8")


class Headers:
    """Add headers, given by name, to every response of an ASGI application."""

    def __init__(self, app: Any, headers: dict[str, str]):
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        """Process a request."""

        async def send_more(message: dict) -> None:
            if message["type"] == "http.response.start":
                message = message | {"headers": [*message["headers"], *self._headers]}
            await send(message)

        await self._app(scope, receive, send_more if scope["type"] == "http" else send)


def serve(page: Page, host: str, port: int | None) -> None:
    """Serve the page until it is interrupted, then delete all files of visitors.

    Args:
        page: the page to serve.
        host: address of the server.
        port: port of the server; None for the first free one from 7860.
    """
    theme = gr.themes.Default(font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"])
    headers = {"Content-Security-Policy": OWN_HOST_ONLY, "Referrer-Policy": "no-referrer"}
    try:
        page.build().launch(
            server_name=host, server_port=port, share=False, quiet=False, theme=theme, css=STYLE, footer_links=[],
            allowed_paths=[str(page.visitors.root)], max_file_size=round(page.limits.megabytes * 1e6), ssr_mode=False,
            app_kwargs={"middleware": [Middleware(Headers, headers=headers)]})
    finally:
        page.visitors.close()
