"""The exceptions that a user sees as one line, without a traceback."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import NamedTuple

FULL = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""Parts of the messages with which torch's CPU allocator, CUDA and its libraries report that memory is full."""

DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}
"""Names on the package index of packages that are imported under another name."""

FREE_SPACE = "free space there or use another folder"
"""What to do on a full disk."""

LONGEST = 2000
"""Maximum number of characters that are shown of a mistake, which quotes values of a file."""


class UserError(Exception):
    """The request is invalid (exit status 2); the message says in one line what is wrong and what to do."""


class NoCurve(UserError):
    """A run has no curve, for example because it has not finished an epoch."""


class UnknownName(UserError):
    """A user typed a name that nothing of its kind has."""

    def __init__(self, kind: str, name: str, message: str, meant: Sequence[str] = ()) -> None:
        """`kind` is in words, and `meant` has the names that are near."""
        super().__init__(message)
        self.kind, self.name, self.meant = kind, name, meant


@dataclass(frozen=True)
class Mistake:
    """What is wrong in a file of a paper, and what would be right."""

    file: Path
    where: str
    """The recipe, row or column; empty for the whole file."""
    reason: str

    def __str__(self) -> str:
        line = ": ".join(filter(None, (str(self.file), self.where, self.reason)))
        return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


class WrongFiles(UserError):
    """Files of papers have mistakes; the message is the first one, with the number of the others."""

    def __init__(self, *mistakes: Mistake) -> None:
        more = f" (and {len(mistakes) - 1} more: repro validate)" if len(mistakes) > 1 else ""
        super().__init__(f"{mistakes[0]}{more}")
        self.mistakes = mistakes


class Place(NamedTuple):
    """A place in a file of a paper."""

    file: Path
    where: str = ""
    """As in Mistake."""

    def mistake(self, reason: str) -> Mistake:
        """Return what is wrong there."""
        return Mistake(self.file, self.where, reason)

    def refused(self, reason: str) -> WrongFiles:
        """Return the error of what is wrong there."""
        return WrongFiles(self.mistake(reason))


@contextmanager
def collecting(mistakes: list[Mistake]) -> Iterator[None]:
    """Add mistakes to a list instead of ending with the first one."""
    try:
        yield
    except WrongFiles as error:
        mistakes += error.mistakes


def refuse(mistakes: Sequence[Mistake]) -> None:
    """Raise WrongFiles if there are mistakes."""
    if mistakes:
        raise WrongFiles(*mistakes)


class PackageMissing(UserError):
    """A package that a request, or part of it, needs is not installed; the other parts can be answered."""

    def __init__(self, package: str, purpose: str = "") -> None:
        """`package` is the name that is imported; `purpose` says what needs it, as `counting FLOPs`."""
        named = f"{purpose} needs the package {package}, which is" if purpose else f"the package {package} is"
        super().__init__(f"{named} not installed: pip install {DISTRIBUTIONS.get(package, package)}")


def package_missing(error: ModuleNotFoundError, purpose: str = "") -> PackageMissing:
    """Return the PackageMissing of a failed import; that of a module of the program is raised again.

    `purpose` is as in PackageMissing.
    """
    package = (error.name or "").split(".")[0]
    if package in ("", "repro"):
        raise error
    return PackageMissing(package, purpose)


class BeingTrained(UserError):
    """Other processes train some of the runs that were asked for."""

    def __init__(self, holders: Mapping[str, str]) -> None:
        """`holders` gives, by the name of a run, the process that trains it."""
        runs = ", ".join(f"{name} ({holder})" for name, holder in holders.items())
        super().__init__(f"another process is training {runs}; wait for it, or choose another --seed")
        self.holders = holders


class Stopped(Exception):
    """A run was stopped by a signal after its state was saved."""

    def __init__(self, message: str, signal: int, after: str = "run the same command again to resume") -> None:
        """`after` says what the user can do."""
        super().__init__(message)
        self.exit_status, self.after = 128 + signal, after


class RunFailed(Exception):
    """The request was valid but could not be completed (exit status 1)."""


class OneRunFailed(RunFailed):
    """A run cannot be trained to its end for a reason of its own; other runs can."""


class Diverged(OneRunFailed):
    """A loss or a weight became NaN or infinite."""


class NetworkFailed(OneRunFailed):
    """The code of a network from outside the package failed, or BatchNorm cannot normalise a batch."""


def raise_joined(failures: Sequence[OneRunFailed]) -> None:
    """Raise one error for all runs that failed, if there are any; Diverged if all diverged."""
    if failures:
        kind = Diverged if all(isinstance(each, Diverged) for each in failures) else OneRunFailed
        raise kind("; ".join(map(str, failures)))


def os_error_text(error: OSError) -> str:
    """Return an error of the system in one line: what happened, to which file, and for a full disk what to do."""
    if error.strerror is None:
        return str(error)
    line = ": ".join(filter(None, (error.strerror, str(error.filename or ""))))
    return f"{line}; {FREE_SPACE}" if is_disk_full(error) else line


def is_disk_full(error: OSError) -> bool:
    """Whether a disk, or the part of it that the user may fill, is full."""
    return error.errno in (ENOSPC, EDQUOT)


def unwritten(reason: str, error: OSError, advice: str) -> UserError | RunFailed:
    """Return the error of a file that could not be written: RunFailed on a full disk, else UserError with advice."""
    return RunFailed(f"{reason}; {FREE_SPACE}") if is_disk_full(error) else UserError(f"{reason}; {advice}")


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an error; its type if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the one that it was raised from or hides, and so on."""
    before: BaseException | None = error
    while before is not None:
        yield before
        before = before.__cause__ or before.__context__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; the end of a CUDA graph's capture hides that behind an error of its own."""
    return any(
        type(each).__name__ == "OutOfMemoryError" or any(text in str(each) for text in FULL) for each in causes(error)
    )


def explained(error: RuntimeError) -> str | None:
    """Return torch's error in one line for users; None if it is a fault of the program."""
    text, kind = str(error), type(error)
    if is_out_of_memory(error):
        return "out of memory; use a smaller network, --save-memory or another --device"
    if kind.__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"--compile failed ({first_line(error)}); install a C++ compiler, or leave out --compile"
    if "does not have a deterministic implementation" in text:
        operator = text.split(" does not have")[0]
        return f"--deterministic: {operator} has no deterministic kernel; leave out the option, or use --device cpu"
    return None
