"""The exception whose message is meant for the user, and the reason of another error in a few words."""


class UserError(Exception):
    """A mistake or lack that the user can fix; the message is one sentence that explains how."""


def reason(error: BaseException) -> str:
    """Return the reason of an error in one line, without a final full stop and the number and path of an OSError."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return [*text.splitlines(), ""][0].rstrip(".") or type(error).__name__
