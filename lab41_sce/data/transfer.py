"""A URL becomes a file with a known checksum; an interrupted download continues.

A file is `NAME.part` until it is complete and its checksum is verified.
"""

import logging
import time
from pathlib import Path

import pooch
import requests
import urllib3
from tqdm import tqdm

from lab41_sce.atomic_write import put_in_place
from lab41_sce.errors import UserError

logger = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
TIMEOUTS_SECONDS = (10, 60)  # to connect, and between two pieces of data
MAX_RETRIES = 3


def obtain(url: str, file: Path, checksum: str, retry_wait_seconds: float = 1.0, remedy: str = "") -> None:
    """Download a file, unless it is there already, and verify its checksum.

    Args:
        url: of the file.
        file: where it goes.
        checksum: `algorithm:hexadecimal`.
        retry_wait_seconds: pause before each retry after a dropped connection.
        remedy: what else the user may do without a connection, for the message.

    Raises:
        UserError: the URL cannot be reached, or the file has another checksum and has been deleted.
        OSError: the file cannot be written.
    """
    if file.exists():
        _verify(file, checksum)
        return
    part = file.with_name(file.name + ".part")
    failures = 0
    while True:
        size_before = file_size(part)
        try:
            _receive(url, part)
            break
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # A connection that delivered data resets the count: 30 GB may need many connections.
            failures = 1 if file_size(part) > size_before else failures + 1
            response = getattr(error, "response", None)
            refused = response is not None and response.status_code < 500
            if refused or failures > MAX_RETRIES:
                reason = type(error).__name__ if response is None else f"HTTP status {response.status_code}"
                raise UserError(
                    f"{url} could not be reached ({reason}): connect to the internet and run again, which continues "
                    f"the download, or download the file by hand to {file}{', or ' * bool(remedy)}{remedy}."
                ) from error
            logger.warning("%s: no connection (%s), trying again", url, type(error).__name__)
            time.sleep(retry_wait_seconds)
    _verify(part, checksum)
    put_in_place(part, file)


def _receive(url: str, part: Path) -> None:
    """Append the missing bytes of the file at `url` to `part`, in one request."""
    size = file_size(part)
    headers = {"Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS_SECONDS) as response:
        if size and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # the file has no further bytes; the checksum is verified later
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            size = 0  # the server cannot resume: it sends the whole file
        length = response.headers.get("Content-Length")
        total = None if length is None else size + int(length)
        progress = tqdm(desc=part.stem, total=total, initial=size, unit="B", unit_scale=True, disable=None)
        with part.open("ab" if size else "wb") as opened, progress:
            # The raw stream: some servers declare .gz as a content encoding, and requests would decompress it.
            while chunk := response.raw.read(CHUNK_BYTES):
                opened.write(chunk)
                progress.update(len(chunk))
    if total is not None and file_size(part) < total:
        raise requests.ConnectionError(f"{file_size(part)} of {total} bytes arrived")


def has_checksum(path: Path, checksum: str) -> bool:
    """Return whether a file has a checksum, given as `algorithm:hexadecimal`."""
    algorithm, expected = checksum.split(":")
    return pooch.file_hash(str(path), alg=algorithm) == expected


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def _verify(path: Path, checksum: str) -> None:
    """Delete a file and raise UserError if its checksum is wrong."""
    logger.info("checking %s", path)
    if not has_checksum(path, checksum):
        path.unlink()
        raise UserError(f"{path} was damaged and has been deleted (its checksum is not {checksum}): run again to "
                        "download it again, from another mirror if this repeats.")
