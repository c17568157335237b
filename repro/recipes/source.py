"""The source of a value in a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class SourceKind(StrEnum):
    """Kinds of sources: printed in the paper, found in the authors' code, or inferred by us."""

    PRINTED = "printed"
    CODE = "code"
    INFERRED = "inferred"

    @property
    def label(self) -> str:
        """The kind as people read it."""
        return "authors' code" if self is SourceKind.CODE else self.value


class Source(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"kind": "source"},
):
    """The source of a value or of a part of it."""

    kind: SourceKind
    """`printed` in the paper, found in the authors' `code`, or `inferred` by us."""
    place: str = ""
    """A section, a figure, or a file of a repository with its commit; empty where the recipe's summary names it."""
    covers: str = ""
    """The part of the value that this source gives; empty: all of it."""
    note: str = ""
    """A remark, such as the reason for an inferred value."""

    @property
    def detail(self) -> str:
        """The source without its kind, as people read it: `fan-out, as He et al. (section 3)`."""
        said = ", ".join(part for part in (self.covers, self.note) if part)
        return f"{said} ({self.place})" if said and self.place else said or self.place

    @property
    def text(self) -> str:
        """The whole source as people read it."""
        return f"{self.kind.label}: {self.detail}" if self.detail else self.kind.label


def sources_text(sources: Sequence[Source]) -> str:
    """Return several sources as people read them."""
    return "; ".join(each.text for each in sources)


def is_inferred(sources: Sequence[Source]) -> bool:
    """Whether a value with these sources is inferred, wholly or in part."""
    return any(each.kind is SourceKind.INFERRED for each in sources)


def is_read(sources: Sequence[Source]) -> bool:
    """Whether a value with these sources is read in a paper or its code, wholly or in part."""
    return any(each.kind is not SourceKind.INFERRED for each in sources)
