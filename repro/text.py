"""Names as users type them, matched without regard to case, `-` and `_`; numbers and lists in sentences."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from repro.errors import UserError


def canonical(name: str) -> str:
    """Return the form that all spellings of a name share."""
    return name.lower().replace("-", "").replace("_", "")


def choose(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the one of `known` that matches `name`.

    Raises:
        UserError: no such name; the message suggests the names with this prefix, or else the closest one.
    """
    typed, spellings = canonical(name), {canonical(each): each for each in known}
    if typed in spellings:
        return spellings[typed]
    starting = [each for each in spellings if typed and each.startswith(typed)]
    meant = [spellings[each] for each in starting or get_close_matches(typed, spellings, n=1, cutoff=0.5)]
    hint = f"did you mean {one_of(meant)}?" if meant else f"known: {', '.join(spellings.values())}"
    raise UserError(f"unknown {kind} {name!r}; {hint}")


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return what is wrong with a name in a file, which must spell it exactly as `choose` does not require."""
    try:
        return f"unknown {kind} {name!r}; did you mean {choose(kind, name, known)}?"
    except UserError as error:
        return str(error)


def number_of(number: int, noun: str) -> str:
    """Return a number and its noun, with an s in the plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def one_of(names: Sequence[str]) -> str:
    """Return names, at least one, as a choice: `a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def size(number: float) -> str:
    """Return a number of bytes in MiB or GiB."""
    return f"{number / 2**30:,.1f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"


def duration(seconds: float) -> str:
    """Return a time with two digits, in seconds, minutes or hours."""
    unit, scale = next((each for each in (("h", 3600), ("min", 60)) if seconds >= each[1]), ("s", 1))
    figure = seconds / scale
    return f"{figure:,.0f} {unit}" if figure >= 10 else f"{figure:.1f} {unit}"
