"""The one exception that a user is shown: a single line, without a traceback."""


class UserError(Exception):
    """What the user asked for cannot be done.

    The message is one line that says what is wrong and what would be right.
    """


class RunFailed(Exception):
    """A run could not be brought to its end although the request was right (exit status 1)."""


class Diverged(RunFailed):
    """A loss or a weight became no number: this run is over, and others are none the worse for it."""


def explained(error: RuntimeError) -> str | None:
    """Return in one line what torch's error means to a user, where it is not a fault of the program."""
    text, kind = str(error), type(error)
    if kind.__name__ == "OutOfMemoryError" or "can't allocate memory" in text:
        return "the memory is too small; a smaller network, --save-memory or another --device needs less"
    if kind.__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"--compile failed ({text.strip().splitlines()[0]}); a C++ compiler is needed, or leave it out"
    if "does not have a deterministic implementation" in text:
        return (
            f"--deterministic: {text.split(' does not have')[0]} has no such kernel; leave it out, or use --device cpu"
        )
    return None
