"""An upload within the limits of the page becomes a file in its own folder; other uploads are refused.

The two routes replace Gradio's, which store any file and show it in the browser. Requests for a separation contain the
path of an upload; those with another path go no further.
"""

import json
import mimetypes
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, UploadFile
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab41_sce.demo.sessions import Visitors
from lab41_sce.demo.sounds import Limits, check_sound
from lab41_sce.errors import UserError

UPLOAD_ROUTE = "/gradio_api/upload"
MAX_NAME_LENGTH = 60  # characters; a file system allows 255 bytes, and a character has up to 4


def add_routes(app: FastAPI, visitors: Visitors, limits: Limits) -> None:
    """Add the routes that receive an upload, and send it to the player of the visitor.

    Args:
        app: receives the routes.
        visitors: keeps the uploads.
        limits: of an upload.
    """

    @app.post(UPLOAD_ROUTE)
    def receive(files: list[UploadFile]) -> Response:
        """Store an upload; answer with its path, or with a sentence that explains the refusal."""
        if len(files) != 1:
            return PlainTextResponse("upload one recording at a time.", 400)
        try:
            file = visitors.new_upload(safe_name(files[0].filename or ""))
        except UserError as error:
            return PlainTextResponse(str(error), 507)
        try:
            with open(file, "wb") as stored:
                shutil.copyfileobj(files[0].file, stored)
            check_sound(file, limits)
        except OSError as error:
            visitors.delete_upload(file)
            return PlainTextResponse(f"{file.name} could not be stored ({error.strerror}); try again later.", 507)
        except UserError as error:
            visitors.delete_upload(file)
            too_large = (files[0].size or 0) > limits.megabytes * 1e6
            return PlainTextResponse(str(error), 413 if too_large else 415)
        return JSONResponse([str(file)])

    @app.api_route("/gradio_api/file={path:path}", methods=["GET", "HEAD"])
    def send(path: str) -> FileResponse:
        """Send an upload. As an attachment it is played by a player, but never shown as a page."""
        file = Path(path)
        if not visitors.is_upload(file):
            raise HTTPException(404, "There is no such upload.")
        kind = mimetypes.guess_type(file.name)[0] or ""
        return FileResponse(file, media_type=kind if kind.startswith("audio/") else "application/octet-stream",
                            filename=file.name, content_disposition_type="attachment")


class OnlyUploads:
    """Refuse requests with the path of a file that is no upload, because Gradio would copy or download the file.

    Args:
        app: the ASGI application behind.
        visitors: keeps the uploads.
    """

    def __init__(self, app: ASGIApp, visitors: Visitors):
        self._app, self._visitors = app, visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] == UPLOAD_ROUTE:
            return await self._app(scope, receive, send)
        body = await Request(scope, receive).body()
        try:
            uploads_only = all(self._visitors.is_upload(Path(path)) for path in _paths(json.loads(body)))
        except (ValueError, TypeError, RecursionError):
            return await _refusal("This is no request of the page.", 400)(scope, receive, send)
        if not uploads_only:
            return await _refusal("The recording is not there any more; upload it again.", 403)(scope, receive, send)
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, receive_again, send)


def _refusal(sentence: str, status: int) -> Response:
    """Answer an event, such as that of a button, with the sentence in the form that Gradio shows."""
    return JSONResponse({"error": sentence}, status)


def _paths(content: Any) -> Iterator[Any]:
    """Yield the paths of all files in the content of a request."""
    if isinstance(content, dict) and content.get("path") is not None:
        yield content["path"]
    if isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _paths(part)


def safe_name(name: str) -> str:
    """Return the last part of a file's name, shortened at its start, with letters, digits and some signs only."""
    return re.sub(r"[^\w .,()+-]", "_", Path(name).name)[-MAX_NAME_LENGTH:].strip(". ") or "recording"
