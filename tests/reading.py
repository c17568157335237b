"""Reading the tables of an HTML page."""

from html.parser import HTMLParser

PLACES = ("src", "srcset", "href", "action", "data", "poster", "background")
"""Attributes with an address."""


class Page(HTMLParser):
    """The texts of every cell of every table of a page, by row and by section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sections: dict[str, list[list[str]]] = {}
        self.loaded: list[str] = []
        """All addresses on the page, including those within the page, without `links`."""
        self.links: list[str] = []
        """The addresses elsewhere that a reader may follow."""
        self._rows: list[list[str]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for place in (str(value) for name, value in attrs if name in PLACES):
            elsewhere = tag == "a" and not place.startswith("#")
            (self.links if elsewhere else self.loaded).append(place)
        if tag == "section":
            self._rows = self.sections.setdefault(str(dict(attrs)["id"]), [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._rows[-1][-1] += data
