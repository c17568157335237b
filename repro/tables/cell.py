"""A printed number: the string itself, whose digits are the precision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
PRINTED = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)([kMG]?)")
REPAIRS = {"±": "write the mean alone", ",": "write a decimal point, and no comma", "%": "leave out the %"}
"""What to do about signs that are often printed, but are not part of a number."""


@dataclass(frozen=True)
class Cell:
    """A printed number, with its digits and unit as printed."""

    text: str

    @property
    def value(self) -> Decimal:
        """The printed number without its unit."""
        return Decimal(self._parts[0])

    @property
    def number(self) -> float:
        """The printed number with its unit."""
        return float(self.value) * UNITS[self._parts[1]]

    @property
    def half_unit(self) -> float:
        """Half a unit of the last printed digit."""
        exponent = self.value.as_tuple().exponent
        assert isinstance(exponent, int)
        return 0.5 * 10.0**exponent

    def matches(self, exact: int) -> bool:
        """Whether an exact count, rounded to the printed digits, equals the printed number."""
        return self._rounded(exact) == self.value

    def like(self, exact: int) -> str:
        """Return an exact count with the digits and the unit of this cell."""
        return f"{self._rounded(exact)}{self._parts[1]}"

    def _rounded(self, exact: int) -> Decimal:
        return (Decimal(exact) / UNITS[self._parts[1]]).quantize(self.value, ROUND_HALF_UP)

    @property
    def _parts(self) -> tuple[str, str]:
        match = PRINTED.fullmatch(self.text)
        assert match
        return match[1], match[2]


def repair_of(value: object) -> str:
    """Return what to do about a value that is not a printed number."""
    found = [repair for sign, repair in REPAIRS.items() if isinstance(value, str) and sign in value]
    return found[0] if found else 'write it in quotes, such as "2.23M"'
