"""The page meets its visitors: where it listens, how it looks, and that it asks nothing of any other host."""

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from lab41_sce.demo.page import Page

# Browsers enforce it: nothing is fetched from elsewhere, and nothing sent there. (plotly compiles its shaders' code.)
OWN_HOST_ONLY = ("default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; base-uri 'self'; form-action 'self'; "
                 "object-src 'none'")
SYSTEM_FONTS = ["system-ui", "sans-serif"]
STYLE = (Path(__file__).parent / "page.css").read_text("utf-8")


class Headers:
    """Add headers to every answer of an ASGI application."""

    def __init__(self, app, headers: dict[str, str]):
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope, receive, send):
        """Answer a request."""

        async def send_more(message):
            if message["type"] == "http.response.start":
                message = message | {"headers": [*message["headers"], *self._headers]}
            await send(message)

        await self._app(scope, receive, send_more if scope["type"] == "http" else send)


def serve(page: Page, host: str, port: int | None) -> None:
    """Show the page until it is interrupted, then delete what visitors have left.

    Args:
        page: what to show.
        host: to listen at.
        port: of it; None for the first free one from 7860.
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
