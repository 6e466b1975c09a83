"""Names of LibriSpeech subsets become a tree of audio files (`librispeech.py`), downloaded from OpenSLR.

Names of LibriMix's metadata become its CSV files (`librimix.py`).

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
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from tqdm import tqdm

from lab41_sce.atomic_write import lock, make_folder, put_in_place
from lab41_sce.data.transfer import file_size, has_checksum, obtain
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

# Of LibriMix (Cosentino et al. 2020, MIT licence), at the commit that `librimix.py` was compared with.
LIBRIMIX_URL = "https://raw.githubusercontent.com/JorisCos/LibriMix/b898ca375c03e4039cdb3dbe3dd485aad58ec7d1/metadata"
LIBRIMIX_METADATA = {  # SHA-256
    "libri2mix_dev-clean": "43ad88e65ee8678be73a79920fba1dcf44fa87271ba95a57205707edc0b85f77",
    "libri2mix_test-clean": "e3d4dc64a03fbbb00ba807a821df2994dbc0c3a9c6fe6a176cfa14949bd8624e",
    "libri3mix_dev-clean": "28e95cd9fdcc7d5ba91772ee000ad3cdaa7b960f6b2b5051f0ba1e967d56ece6",
    "libri3mix_test-clean": "83c7e053c6741b2d6268a4b03ca8344c5a23c51ea5560450baeed574fd59cbb8",
}

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
            obtain(url, archive, catalogue[subset].checksum, retry_wait_seconds,
                   "use a folder that already holds the subset (corpus.root)")
            _unpack(archive, subset, root)
            archive.unlink()
        except OSError as error:
            raise UserError(f"{subset} could not be written to {root} ({error.strerror or error}): make room there or "
                            "choose another folder, then run again, which continues the download.") from error
        logger.info("%s is now in %s", subset, root)


def download_metadata(names: Sequence[str], root: Path, mirror: str | None = None, *,
                      catalogue: Mapping[str, str] = LIBRIMIX_METADATA, retry_wait_seconds: float = 1.0) -> None:
    """Download metadata files of LibriMix, continuing where an earlier call stopped.

    Args:
        names: from `catalogue`, such as `["libri2mix_test-clean"]`.
        root: folder for the files, made if it does not exist.
        mirror: URL to which, for example, `/Libri2Mix/libri2mix_test-clean.csv` is added; None for GitHub.
        catalogue: the SHA-256 checksum of each file.
        retry_wait_seconds: pause before each retry after a dropped connection.

    Raises:
        UserError: the URL cannot be reached, the file has another checksum, or `root` cannot be written. A file in
            `root` with other content stays as it is.
    """
    make_folder(root)
    with lock(root / ".download.lock"):
        for name in names:
            file, checksum = root / f"{name}.csv", f"sha256:{catalogue[name]}"
            if file.exists() and not has_checksum(file, checksum):
                raise UserError(f"{file} is not the file of LibriMix; move it to another place, and run again.")
            try:
                folder = name.partition("_")[0].replace("libri", "Libri").replace("mix", "Mix")
                obtain(f"{(mirror or LIBRIMIX_URL).rstrip('/')}/{folder}/{name}.csv", file, checksum,
                       retry_wait_seconds)
            except OSError as error:
                raise UserError(f"{name} could not be written to {root} ({error.strerror or error}): make room there "
                                "or choose another folder, then run again, which continues the download.") from error
            logger.info("%s is now in %s", file.name, root)


def _require_known(subsets: Sequence[str], catalogue: Mapping[str, Archive]) -> None:
    """Raise UserError if a subset is not in the catalogue."""
    for subset in subsets:
        if subset not in catalogue:
            raise UserError(f"there is no LibriSpeech subset '{subset}' to download; choose from "
                            f"{', '.join(catalogue)}.")


def _unpack(archive: Path, subset: str, root: Path) -> None:
    """Unpack `archive` into a temporary folder, then move its text files and its subset to `root`."""
    unpacking = root / f"{subset}.unpacking"
    if unpacking.exists():
        shutil.rmtree(unpacking)  # left by a run that was killed
    # Python 3.10 before 3.10.12 and 3.11 before 3.11.4 have no filters; _refuse_unsafe is the only check there.
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    try:
        max_bytes = max(SMALL_BYTES, MAX_GROWTH * file_size(archive))
        with _Bounded(archive, max_bytes) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tqdm(tar, desc=f"unpacking {subset}", unit=" files", disable=None):
                _refuse_unsafe(member)
                tar.extract(member, unpacking, **safely)
        corpus = unpacking / "LibriSpeech"
        if not (corpus / subset).is_dir():
            raise tarfile.ReadError(f"it has no folder LibriSpeech/{subset}")
        for text in corpus.glob("*.TXT"):
            # Every archive contains SPEAKERS.TXT; if two differ, the longer one lists more speakers.
            if file_size(text) > file_size(root / text.name):
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
