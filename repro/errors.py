"""The one exception that a user is shown: a single line, without a traceback."""


class UserError(Exception):
    """What the user asked for cannot be done.

    The message is one line that says what is wrong and what would be right.
    """


class RunFailed(Exception):
    """A run could not be brought to its end although the request was right (exit status 1)."""
