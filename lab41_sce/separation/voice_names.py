"""The names of enrolled people are checked: they become parts of the names of files and fields of RTTM."""

import re
import unicodedata
from collections.abc import Iterable

from lab41_sce.errors import UserError

MAX_NAME_BYTES = 60
NAMELESS = re.compile(r"voice_\d+")  # such as in `activity.rttm`
UNSUITABLE = re.compile(r'[/\\:*?"<>|=]')  # "=" ends a name on the command line; some systems refuse the others


def check_names(names: Iterable[str]) -> None:
    """Check that names can be part of the names of files and of the fields of RTTM.

    Raises:
        UserError: a name is empty, a number, like "voice 1", too long or has characters that some systems refuse; or
            two names differ only in case, blanks or the encoding of their letters.
    """
    known: dict[str, str] = {}
    for name in names:
        wrong = ("is empty" if not name.strip() else "begins with a point" if name.startswith(".")
                 else "is a number, as voices without a name have" if name.isdecimal()
                 else "is what voices without a name have in RTTM" if NAMELESS.fullmatch(rttm_field(name).casefold())
                 else f"has more than {MAX_NAME_BYTES} bytes" if len(name.encode(errors="replace")) > MAX_NAME_BYTES
                 else f"contains {found.group()!r}" if (found := UNSUITABLE.search(name))
                 else "contains a character that cannot be printed" if not name.isprintable() else "")
        if wrong:
            raise UserError(f"the name {name[:MAX_NAME_BYTES]!r} {wrong}; give a name that can be part of the name of "
                            "a file, such as Ann.")
        key = rttm_field(unicodedata.normalize("NFC", name)).casefold()
        if key in known:
            raise UserError(f"the names {known[key]} and {name} would give the same file on some systems; spell the "
                            "name of one person in one way, and give two people different names.")
        known[key] = name


def rttm_field(name: str) -> str:
    """Return a name as a field of RTTM: blanks, which separate the fields, become underscores."""
    return "_".join(name.split())
