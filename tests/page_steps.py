"""The edits that a page of the documentation tells to make."""

import re
from pathlib import Path

STEP = re.compile(r"<!-- (?P<edit>new|add to|replace in): (?P<place>.+?) -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)


def apply(step: re.Match[str], root: Path) -> None:
    """Make one edit of a page."""
    file, _, where = step["place"].partition(", ")
    path, text = root / file, step["text"]
    if step["edit"] == "new":
        assert not path.exists()
        path.write_text(text, encoding="utf-8")
        return
    before = path.read_text(encoding="utf-8")
    if where == "at the end":
        path.write_text(before + text, encoding="utf-8")
        return
    kind, _, anchor = where.partition(": ")
    assert before.count(anchor) == 1, f"{anchor!r} must occur exactly once in {file}"
    after = text.rstrip("\n") if kind == "text" else f"{anchor}\n{text.rstrip(chr(10))}"
    path.write_text(before.replace(anchor, after), encoding="utf-8")
