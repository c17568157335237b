"""Names as users type them, matched without regard to case, `-` and `_`; numbers and lists in sentences."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

from repro.errors import UnknownName

NOTHING: Mapping[str, str] = MappingProxyType({})
SHOWN = 10
"""Maximum number of names in a hint."""
MISSPELT, MISTYPED = 0.72, 0.85
"""Least similarity, by difflib, at which one name may be meant by another: of their letters, and of the whole names."""


def canonical(name: str) -> str:
    """Return the form that all spellings of a name share."""
    return re.sub(r"[-_ ]", "", name.lower())


def choose(kind: str, name: str, known: Iterable[str], others: Mapping[str, str] = NOTHING, listed: str = "") -> str:
    """Return the one of `known` that matches `name`.

    Args:
        kind: what the names are of, in words.
        name: as typed by a user.
        known: the names.
        others: aliases, each with the name that it stands for.
        listed: where to find a name if none is near (default: all names are listed).

    Raises:
        UnknownName: no such name; the message suggests the names with this prefix, or else those of similar spelling.
    """
    names = list(known)
    if name in names:  # as the names in files are
        return name
    spellings = {canonical(each): meant for each, meant in [*others.items(), *zip(names, names, strict=True)]}
    typed = canonical(name)
    if typed in spellings:
        return spellings[typed]
    starting = [meant for each, meant in spellings.items() if typed and each.startswith(typed)]
    meant = list(dict.fromkeys(starting or _near(name, names)))
    raise UnknownName(kind, name, f"unknown {kind} {name!r}; {_hint(meant, names, listed)}", meant)


def _hint(meant: Sequence[str], names: Sequence[str], listed: str) -> str:
    return f"did you mean {one_of(meant)}?" if meant else listed or _all(names)


def _near(name: str, known: Sequence[str]) -> list[str]:
    """Return the names that differ from `name` in their numbers alone, or else one with another letter or two.

    A name with other letters and other numbers means something else, however few characters differ: WRN-28-10 is not
    wrn18.
    """
    letters, numbers = _parts(name)
    family = {canonical(each): each for each in known if letters and _parts(each)[0] == letters}
    if family:
        return [family[each] for each in get_close_matches(canonical(name), family, n=3, cutoff=0)]
    alike = {_parts(each)[0]: each for each in known if _parts(each)[1] == numbers}
    whole = {canonical(each): each for each in known}
    found = [alike[each] for each in get_close_matches(letters, alike, n=1, cutoff=MISSPELT)]
    return found or [whole[each] for each in get_close_matches(canonical(name), whole, n=1, cutoff=MISTYPED)]


def _parts(name: str) -> tuple[str, list[str]]:
    """Return the letters of a name, and its numbers."""
    return re.sub(r"\d", "", canonical(name)), re.findall(r"\d+", name)


def _all(names: Sequence[str]) -> str:
    if not names:
        return "there are none"
    return f"known: {', '.join(names) if len(names) <= 2 * SHOWN else first_of(names)}"


def unknown(kind: str, name: str, known: Iterable[str], listed: str = "") -> str:
    """Return what is wrong with a name in a file, which must spell it exactly as `choose` does not require."""
    return f"unknown {kind} {name!r}; {nearest(name, known, listed)}"


def nearest(name: str, known: Iterable[str], listed: str = "") -> str:
    """Return which names may be meant by an unknown one in a file, or else where all are listed; see `unknown`."""
    names = list(known)
    try:
        meant: Sequence[str] = [choose("name", name, names)]
    except UnknownName as error:
        meant = error.meant
    return _hint(meant, names, listed)


def number_of(number: int, noun: str) -> str:
    """Return a number and its noun, with an s in the plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def one_of(names: Sequence[str]) -> str:
    """Return names, at least one, as a choice: `a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def first_of(names: Sequence[str]) -> str:
    """Return the first names of some, and the number of the others."""
    more = f" and {number_of(len(names) - SHOWN, 'other')}" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def signed(difference: float, decimals: int = 2) -> str:
    """Return a difference with the sign that it has when rounded, + for zero; the minus is as wide as the plus."""
    return f"{difference:+z.{decimals}f}".replace("-", "−")


UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
"""Units of memory from the largest on, with their bytes."""


def size(number: float) -> str:
    """Return a number of bytes, in KiB, MiB or GiB if it is one of them or more."""
    for unit, scale in UNITS:
        if number >= scale:
            return f"{number / scale:,.1f} {unit}"
    return number_of(round(number), "byte")


def duration(seconds: float) -> str:
    """Return a time with two digits, in seconds, minutes, hours, days (from 100 hours) or years (from 1,000 days)."""
    units = (("years", 365.25 * 86400, 1000 * 86400), ("days", 86400, 360000), ("h", 3600, 3600), ("min", 60, 60))
    unit, scale = next(((each, scale) for each, scale, least in units if seconds >= least), ("s", 1))
    figure = seconds / scale
    return f"{figure:,.0f} {unit}" if figure >= 10 else f"{figure:.1f} {unit}"


def clock(seconds: float) -> str:
    """Return a time to the second, as the time left is shown: `0:42`, `1:20:03` or `2 d 1:20:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if not days and not hours:
        return f"{minutes}:{rest:02}"
    return f"{f'{days:,} d ' if days else ''}{hours}:{minutes:02}:{rest:02}"
