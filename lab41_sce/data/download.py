"""Names of LibriSpeech subsets become a tree of audio files (`librispeech.py`), downloaded from OpenSLR.

OpenSLR 12 has the full corpus, OpenSLR 31 has Mini LibriSpeech. Each archive passes through three states, so that an
interrupted download continues: `<subset>.tar.gz.part` (incomplete), `<subset>.tar.gz` (complete, checksum verified),
`<subset>/` (unpacked).

Source: Panayotov, Chen, Povey and Khudanpur, "Librispeech: an ASR corpus based on public domain audio books",
ICASSP 2015; CC BY 4.0.
"""

import gzip
import logging
import shutil
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import pooch
import requests
import urllib3
from tqdm import tqdm

from lab41_sce.atomic_write import lock, make_folder, put_in_place
from lab41_sce.errors import UserError

logger = logging.getLogger(__name__)


class Archive(NamedTuple):
    """Describe the archive of a subset.

    Attributes:
        resource: number of the OpenSLR resource.
        checksum: `algorithm:hexadecimal`.
        size: as OpenSLR lists it.
    """

    resource: int
    checksum: str
    size: str = ""


OPENSLR_URL = "https://www.openslr.org/resources"

# SHA-256: torchaudio/datasets/librispeech.py (pytorch/audio).
# MD5, for Mini LibriSpeech: OpenSLR's resources/31/md5sum.txt, as quoted in PaddleSpeech's
# dataset/mini_librispeech/mini_librispeech.py.
ARCHIVES = {
    "dev-clean": Archive(12, "sha256:76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3", "337 MB"),
    "dev-other": Archive(12, "sha256:12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365", "314 MB"),
    "test-clean": Archive(12, "sha256:39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23", "346 MB"),
    "test-other": Archive(12, "sha256:d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29", "328 MB"),
    "train-clean-100": Archive(12, "sha256:d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2", "6.3 GB"),
    "train-clean-360": Archive(12, "sha256:146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf", "23 GB"),
    "train-other-500": Archive(12, "sha256:ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2", "30 GB"),
    "train-clean-5": Archive(31, "md5:5df7d4e78065366204ca6845bb08f490", "332 MB"),
    "dev-clean-2": Archive(31, "md5:6d7ab67ac6a1d2c993d050e16d61080d", "126 MB"),
}

CHUNK_BYTES = 256 * 1024
TIMEOUTS_SECONDS = (10, 60)  # to connect, and between two pieces of data
MAX_RETRIES = 3
MAX_GROWTH, SMALL_BYTES = 4, 10_000_000  # an archive of speech unpacks to less than 4 times its size, or to 10 MB


def download_missing(subsets: Sequence[str], root: Path, mirror: str | None = None) -> None:
    """Download the subsets that are not in `root`, one process at a time; arguments as in `download_subsets`.

    Raises:
        UserError: as in `download_subsets`.
    """
    missing = [subset for subset in subsets if not (root / subset).is_dir()]
    if not missing:
        return
    _require_known(missing, ARCHIVES)
    make_folder(root)
    with lock(root / ".download.lock"):
        download_subsets(missing, root, mirror)


def download_subsets(subsets: Sequence[str], root: Path, mirror: str | None = None, *,
                     catalogue: Mapping[str, Archive] = ARCHIVES, retry_wait_seconds: float = 1.0) -> None:
    """Download LibriSpeech subsets and unpack them, continuing where an earlier call stopped.

    A subset whose folder exists is skipped: the folder appears only when it is complete. An archive that is already in
    `root` is used if its checksum is right. Archives are deleted once unpacked.

    Args:
        subsets: names from `catalogue`, such as `["train-clean-5", "dev-clean-2"]`.
        root: folder of the corpus, made if it does not exist; it receives `<subset>/` and `SPEAKERS.TXT`.
        mirror: URL to which `/<resource>/<subset>.tar.gz` is added; None for OpenSLR.
        catalogue: the archive of each subset.
        retry_wait_seconds: pause before each retry after a dropped connection.

    Raises:
        UserError: a subset is unknown, the URL cannot be reached, an archive has another checksum or cannot be
            unpacked safely, or `root` cannot be written (full disk, no permission).
    """
    _require_known(subsets, catalogue)
    root = Path(root)
    for subset in subsets:
        if (root / subset).exists():
            logger.info("%s is already in %s", subset, root)
            continue
        url = f"{(mirror or OPENSLR_URL).rstrip('/')}/{catalogue[subset].resource}/{subset}.tar.gz"
        archive = root / f"{subset}.tar.gz"
        try:
            root.mkdir(parents=True, exist_ok=True)
            _obtain(url, archive, catalogue[subset].checksum, retry_wait_seconds)
            _unpack(archive, subset, root)
            archive.unlink()
        except OSError as error:
            raise UserError(f"{subset} could not be written to {root} ({error.strerror or error}): make room there or "
                            "choose another folder, then run again, which continues the download.") from error
        logger.info("%s is now in %s", subset, root)


def _require_known(subsets: Sequence[str], catalogue: Mapping[str, Archive]) -> None:
    """Raise UserError if a subset is not in the catalogue."""
    for subset in subsets:
        if subset not in catalogue:
            raise UserError(f"there is no LibriSpeech subset '{subset}' to download; choose from "
                            f"{', '.join(catalogue)}.")


def _obtain(url: str, archive: Path, checksum: str, retry_wait_seconds: float) -> None:
    """Download the file at `url` to `archive`, and verify its checksum."""
    if archive.exists():
        _verify(archive, checksum)
        return
    part = archive.with_name(archive.name + ".part")
    failures = 0
    while True:
        size_before = _size(part)
        try:
            _receive(url, part)
            break
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # A connection that delivered data resets the count: 30 GB may need many connections.
            failures = 1 if _size(part) > size_before else failures + 1
            response = getattr(error, "response", None)
            refused = response is not None and response.status_code < 500
            if refused or failures > MAX_RETRIES:
                reason = type(error).__name__ if response is None else f"HTTP status {response.status_code}"
                raise UserError(
                    f"{url} could not be reached ({reason}): connect to the internet and run again, which continues "
                    f"the download, or download the file by hand to {archive}, or use a folder that already holds the "
                    "subset (corpus.root)."
                ) from error
            logger.warning("%s: no connection (%s), trying again", url, type(error).__name__)
            time.sleep(retry_wait_seconds)
    _verify(part, checksum)
    put_in_place(part, archive)


def _receive(url: str, part: Path) -> None:
    """Append the missing bytes of the file at `url` to `part`, in one request."""
    size = _size(part)
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
        with part.open("ab" if size else "wb") as file, progress:
            # The raw stream: some servers declare .gz as a content encoding, and requests would decompress it.
            while chunk := response.raw.read(CHUNK_BYTES):
                file.write(chunk)
                progress.update(len(chunk))
    if total is not None and _size(part) < total:
        raise requests.ConnectionError(f"{_size(part)} of {total} bytes arrived")


def _size(path: Path) -> int:
    """Return the size of a file in bytes, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def _verify(path: Path, checksum: str) -> None:
    """Delete a file and raise UserError if its checksum is wrong."""
    logger.info("checking %s", path)
    algorithm, expected = checksum.split(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    if found != expected:
        path.unlink()
        raise UserError(f"{path} was damaged and has been deleted ({algorithm} {found}, expected {expected}): run "
                        "again to download it again, from another mirror if this repeats.")


def _unpack(archive: Path, subset: str, root: Path) -> None:
    """Unpack `archive` into a temporary folder, then move its text files and its subset to `root`."""
    unpacking = root / f"{subset}.unpacking"
    if unpacking.exists():
        shutil.rmtree(unpacking)  # left by a run that was killed
    # Python 3.10 before 3.10.12 and 3.11 before 3.11.4 have no filters; _refuse_unsafe is the only check there.
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    try:
        max_bytes = max(SMALL_BYTES, MAX_GROWTH * _size(archive))
        with _Bounded(archive, max_bytes) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tqdm(tar, desc=f"unpacking {subset}", unit=" files", disable=None):
                _refuse_unsafe(member)
                tar.extract(member, unpacking, **safely)
        corpus = unpacking / "LibriSpeech"
        if not (corpus / subset).is_dir():
            raise tarfile.ReadError(f"it has no folder LibriSpeech/{subset}")
        for text in corpus.glob("*.TXT"):
            # Every archive contains SPEAKERS.TXT; if two differ, the longer one lists more speakers.
            if _size(text) > _size(root / text.name):
                put_in_place(text, root / text.name)
        put_in_place(corpus / subset, root / subset)  # last: this folder marks the subset as complete
    except Exception as error:  # tarfile raises exceptions of many types for a damaged or hostile archive
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise  # the disk failed, not the archive
        archive.unlink()
        raise UserError(f"{archive} could not be unpacked and has been deleted ({error}): run again to download it "
                        "again, from another mirror if this repeats.") from error
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)


class _Bounded(gzip.GzipFile):
    """Decompress a file up to a maximum size, so that a small archive cannot fill the memory or the disk."""

    def __init__(self, path: Path, max_bytes: int):
        super().__init__(path)
        self._max_bytes = max_bytes

    def read(self, size: int | None = -1) -> bytes:
        """Read like GzipFile; raise ReadError beyond the maximum size."""
        if size is None or size < 0 or self.tell() + size > self._max_bytes:
            raise tarfile.ReadError(f"it unpacks to more than {MAX_GROWTH} times its own size")
        return super().read(size)


def _refuse_unsafe(member: tarfile.TarInfo) -> None:
    """Raise TarError unless a member is a plain file or folder that stays inside the target folder."""
    # The path rules of Windows are the stricter ones: they have drives and both slashes.
    path = PureWindowsPath(member.name)
    plain = (member.isfile() and not member.issparse()) or member.isdir()
    if path.anchor or ".." in path.parts or not plain:
        raise tarfile.TarError(f"its member '{member.name}' is a link, a device or sparse, or lies outside the archive")
