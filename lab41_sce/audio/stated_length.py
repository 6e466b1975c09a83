"""The length that a header states and the size of the file are compared: a sentence, or the length that is right.

A copy that was cut short, a recorder that lost power and a file that was joined from two have headers that do not fit.
One rule holds in all formats: everything that can be decoded is used, and a sentence describes the disagreement. A file
of which libsndfile decodes only the first part is refused.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from lab41_sce.errors import UserError

TOLERANCE = 0.01  # share of the samples by which writers miscount
# What libsndfile 1.2.2 logs about a size that does not fit: "data : 60000 (should be 29978)"
STATED_SIZE = re.compile(r"(?:data|SSND|BODY|Data Size|Riff size|riff)\s*: (\d+) \(should be (\d+)\)")
END_OF_STREAM = 4  # flag of the last page of an OGG file
BYTES = {"PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}
FORMATS_WITHOUT_FURTHER_CHUNKS = ("AU", "CAF", "W64", "RF64")
TAGS = (b"TAG", b"ID3", b"APE")  # first bytes of what players append
# Where another recording begins in the same file
NEXT_PART = {"OGG": re.compile(rb"OggS\0[\2\6]"), "FLAC": re.compile(rb"fLaC[\0\x80]\0\0\x22")}


def check_parts(path: Path, file: soundfile.SoundFile) -> None:
    """Refuse a file that consists of several recordings, of which libsndfile decodes the first.

    Raises:
        UserError: the file has a second part.
    """
    if file.format not in NEXT_PART:
        return
    data = path.read_bytes()
    if file.format == "OGG":  # streams that sound together all begin before the first page that begins none
        first = next((place for place in _pages(data) if not data[place + 5] & 2), 0)
    else:
        first = data.find(b"fLaC")  # a tag may stand before it
    if NEXT_PART[file.format].search(data, first + 4):
        raise UserError(f"{path} contains several recordings, one after another, and only the first can be read; "
                        "convert it to WAV.")


def _pages(data: bytes) -> Iterator[int]:
    """Yield the places of the pages of an OGG file."""
    place = -1
    while (place := data.find(b"OggS\0", place + 1)) >= 0 and place + 6 <= len(data):
        yield place


def _lacks_end(path: Path) -> bool:
    """Return whether the last page of an OGG file is incomplete or does not end a stream."""
    data = path.read_bytes()
    last = data.rfind(b"OggS\0")
    n_segments = data[last + 26] if last + 26 < len(data) else 0
    length = 27 + n_segments + sum(data[last + 27 : last + 27 + n_segments])
    return not data[last + 5] & END_OF_STREAM or last + length > len(data)


def disagreement(path: Path, file: soundfile.SoundFile, n_samples: int) -> str | None:
    """Describe a disagreement between the header of a file and its contents.

    Args:
        path: of the file.
        file: the open file.
        n_samples: samples of a channel that can be decoded.

    Returns:
        A sentence, or None where header and contents agree.
    """
    seconds, log = n_samples / file.samplerate, file.extra_info
    sizes = [(int(stated), int(actual)) for stated, actual in STATED_SIZE.findall(log)]
    cut = "truncated" in log or any(abs(stated - actual) > TOLERANCE * actual for stated, actual in sizes)
    if file.format == "OGG":
        cut = _lacks_end(path)
    elif file.format == "RAW":  # see `open_with_wrong_size`
        cut = True
    if cut or file.frames > n_samples * (1 + TOLERANCE) and file.frames - n_samples > 2 * 1152:
        return (f"the header and the size of the file disagree, as after an interrupted copy or recording; the "
                f"{seconds:.1f} s that can be read are used")
    bytes_used = n_samples * file.channels * BYTES.get(file.subtype, 0)
    unread = path.stat().st_size - bytes_used - 2**14
    more = file.format in FORMATS_WITHOUT_FURTHER_CHUNKS and bytes_used and unread > TOLERANCE * bytes_used
    if more or file.format.startswith("WAV") and "Exiting parser" in log and not _is_followed_by_tag(path):
        return (f"the header states {seconds:.1f} s, but the file contains more, which is not read; convert it to WAV "
                "to use all of it")
    return None


def open_with_wrong_size(path: Path, file: soundfile.SoundFile) -> soundfile.SoundFile | None:
    """Open a WAV file whose header states less data than the file contains, with all of its data.

    Recorders write the size at the end: a size of 0 is left by one that lost power. Above 4 GB the size has no room.

    Args:
        path: of the file.
        file: the file, as libsndfile opens it.

    Returns:
        The open file, or None if the header is right.
    """
    if file.format not in ("WAV", "WAVEX") or file.subtype not in BYTES:
        return None
    with open(path, "rb") as raw:
        start, size = _find_data(raw)
    rest = path.stat().st_size - start
    overflown = rest >= 2**32  # the size has 32 bits
    if start == 0 or rest <= size or not (overflown or "Exiting parser" in file.extra_info or not file.frames):
        return None
    if size and not overflown and _is_followed_by_tag(path):
        return None
    return soundfile.SoundFile(_Tail(path, start), samplerate=file.samplerate, channels=file.channels,
                               subtype=file.subtype, format="RAW", endian="LITTLE")


def _is_followed_by_tag(path: Path) -> bool:
    """Return whether the stated samples of a RIFF file end where a tag or a chunk begins, with or without padding.

    libsndfile stops there if it is an ID3 or APE tag, which players append, or a chunk after an odd number of bytes
    without padding, which some programs write.
    """
    with open(path, "rb") as raw:
        start, size = _find_data(raw)
        for place in {start + size, start + size + size % 2}:
            raw.seek(place)
            head = raw.read(8)
            is_chunk = head[:4].isascii() and head[:4].decode("ascii").isprintable() and len(head) == 8 and (
                place + 8 + int.from_bytes(head[4:], "little") <= path.stat().st_size)
            if head[:3] in TAGS or is_chunk:
                return True
    return False


def _find_data(raw: Any) -> tuple[int, int]:
    """Return where the samples of a RIFF file begin, in bytes, and their stated size; 0, 0 if there are none."""
    place = 12
    while True:
        raw.seek(place)
        head = raw.read(8)
        if len(head) < 8:
            return 0, 0
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return place + 8, size
        place += 8 + size + size % 2


class _Tail(io.FileIO):
    """A file without its first bytes."""

    def __init__(self, path: Path, start: int):
        super().__init__(path, "rb")
        self._start = start
        super().seek(start)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the first byte after the start."""
        return super().seek(offset + self._start * (whence == io.SEEK_SET), whence) - self._start

    def tell(self) -> int:
        """Return the offset from the first byte after the start."""
        return super().tell() - self._start
