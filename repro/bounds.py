"""The types of numbers in files, with their bounds, and these bounds in words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from msgspec import Meta

LARGEST = 2**63 - 1
"""The largest whole number that the columns of a DataFrame hold."""
LARGEST_SEED = 2**31 - 1
"""The largest seed of `repro train` and `repro.build`."""
MOST_SEEDS = 1000
"""The largest number of seeds, or of runs at once, of one request."""
Whole = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
UpToThousand = Annotated[int, Meta(ge=1, le=MOST_SEEDS)]
UpToBillion = Annotated[int, Meta(ge=0, le=1_000_000_000)]
OneToBillion = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Pixels = Annotated[int, Meta(ge=0, le=10_000)]
Rate = Annotated[float, Meta(ge=0, lt=1)]
Amount = Annotated[float, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100)]


def without_none(hint: Any) -> Any:
    """Return the type of a field without None: TOML has no null, and None is a key that is left out."""
    return next(each for each in get_args(hint) if each is not NoneType) if NoneType in get_args(hint) else hint


@cache
def types_of(kind: type) -> Mapping[str, Any]:
    """Return the types of a dataclass's fields, with the bounds of their values and without None."""
    return {name: without_none(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def kind_of(hint: Any) -> Any:
    """Return the type of a number without its bounds."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def number_text(hint: Any) -> str:
    """Return in words which numbers a field accepts: `a whole number from 1 to 10`."""
    return " ".join(["a whole number" if kind_of(hint) is int else "a number", *map(_text, get_args(hint)[1:])])


def _text(bounds: Meta) -> str:
    if bounds.ge is not None and bounds.le is not None:
        return f"from {bounds.ge:,} to {bounds.le:,}"
    words = {"of at least": bounds.ge, "above": bounds.gt, "below": bounds.lt, "of at most": bounds.le}
    return " and ".join(f"{word} {bound:,}" for word, bound in words.items() if bound is not None)
