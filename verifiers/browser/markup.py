"""Whether the markup of a page is complete: every element that must be closed is, and nothing else."""

from html.parser import HTMLParser

_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
_OPTIONAL = frozenset(
    [
        "html",
        "head",
        "body",
        "p",
        "li",
        "dt",
        "dd",
        "option",
        "optgroup",
        "tr",
        "td",
        "th",
        "thead",
        "tbody",
        "tfoot",
        "colgroup",
        "rt",
        "rp",
    ]
)
_MOST_DEPTH = 256


def markup_error(page: str) -> str | None:
    """The first thing that is wrong; None for a page that a browser need not repair."""
    reader = _Reader()
    reader.feed(page)
    unread = reader.rawdata
    reader.close()
    if reader.error is None and reader.open:
        return f"<{reader.open[-1]}> is not closed"
    if reader.error is None and unread.lstrip().startswith("<"):
        return f"the page ends within {' '.join(unread.split())[:40]!r}"
    return reader.error


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.error: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID or tag in _OPTIONAL:
            return
        self.open.append(tag)
        if len(self.open) > _MOST_DEPTH:
            self._wrong(f"elements nest deeper than {_MOST_DEPTH}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<path/>`, as in SVG."""

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID or tag in _OPTIONAL:
            return
        if not self.open or self.open[-1] != tag:
            self._wrong(f"</{tag}> closes " + (f"<{self.open[-1]}>" if self.open else "nothing"))
        else:
            self.open.pop()

    def _wrong(self, what: str) -> None:
        self.error = self.error or what
