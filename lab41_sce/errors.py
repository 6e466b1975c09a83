"""The exception whose message is meant for the user."""


class UserError(Exception):
    """A mistake or lack that the user can fix; the message is one sentence that explains how."""
