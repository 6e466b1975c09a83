"""The one exception whose text is meant for the person at the keyboard."""


class UserError(Exception):
    """A mistake or lack that the user can fix; its text is one sentence for them."""
