"""Text from files becomes text that a terminal or a browser shows and does not obey."""

import unicodedata

CATEGORIES = ("Cc", "Cs", "Zl", "Zp")  # of Unicode: control characters, bytes that are no text, ends of lines
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # of writing


def printable(text: str) -> str:
    """Replace characters that a terminal would obey by escape sequences such as `\\x1b`.

    Args:
        text: from a file, or the name of a file.

    Returns:
        One line; control characters, changes of the writing direction and bytes that are no text are escaped.
    """
    return "".join(repr(letter)[1:-1] if letter in DIRECTIONS or unicodedata.category(letter) in CATEGORIES else letter
                   for letter in text)
