"""An upload becomes a file in a folder of its own, if it is a sound within the limits of the page.

The two routes replace Gradio's, which store any file and show it in the browser.
"""

import mimetypes
import re
import shutil
from pathlib import Path

from fastapi import FastAPI, HTTPException, UploadFile
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from lab41_sce.demo.sessions import Visitors
from lab41_sce.demo.sounds import Limits, check_sound
from lab41_sce.errors import UserError

MAX_NAME_LENGTH = 60  # characters; a file system allows 255 bytes, and a character has up to 4


def add_routes(app: FastAPI, visitors: Visitors, limits: Limits) -> None:
    """Add the routes that receive an upload, and send it to the player of the visitor.

    Args:
        app: receives the routes.
        visitors: keeps the uploads.
        limits: of an upload.
    """

    @app.post("/gradio_api/upload")
    def receive(files: list[UploadFile]) -> Response:
        """Store an upload; answer with its path, or with a sentence that explains the refusal."""
        if len(files) != 1:
            return PlainTextResponse("upload one recording at a time.", 400)
        try:
            file = visitors.new_upload(safe_name(files[0].filename or ""))
            with open(file, "wb") as stored:
                shutil.copyfileobj(files[0].file, stored)
        except (UserError, OSError) as error:
            return PlainTextResponse(f"the upload could not be stored: {error}", 507)
        try:
            check_sound(file, limits)
        except UserError as error:
            visitors.delete_upload(file)
            return PlainTextResponse(str(error), 415)
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


def safe_name(name: str) -> str:
    """Return the last part of a file's name, shortened at its start, with letters, digits and some signs only."""
    return re.sub(r"[^\w .,()+-]", "_", Path(name).name)[-MAX_NAME_LENGTH:].strip(". ") or "recording"
