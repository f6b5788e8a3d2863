"""A recipe's stages as a drawn chain: one below the other, with an arc from each result to the stages that use it."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from deliberate.training.recipes.chain import Chain, Link

_ROW, _TOP, _WIDTH, _HEIGHT = 44, 8, 320, 32
_BEND = 16
"""How much further left an arc goes for each stage that it passes."""
_STATES = {"finished": "finished", "started": "under way", "waiting": "not begun"}


def drawn_chain(folder: Path) -> str:
    """HTML with inline SVG; empty for a folder that is no recipe's."""
    chain = Chain.load(folder)
    if chain is None:
        return ""
    paper = f"<p class=facts>{escape(chain.paper)}</p>" if chain.paper else ""
    return f"<h2>{escape(chain.name)}</h2><p>{escape(chain.summary)}</p>{paper}{_picture(chain.links, folder)}"


def _picture(links: Sequence[Link], folder: Path) -> str:
    rows = {link.folder: number for number, link in enumerate(links)}
    spans = [(rows[used], row) for row, link in enumerate(links) for used in link.uses if used in rows]
    left = 24 + _BEND * max((end - start for start, end in spans), default=0)
    arcs = "".join(_arc(left, *span) for span in spans)
    nodes = "".join(_node(left, row, link, folder) for row, link in enumerate(links))
    width, height = left + _WIDTH + 8, _TOP + _ROW * len(links)
    return (
        f'<svg class=chain width="{width}" height="{height}" viewBox="0 0 {width} {height}" role=img '
        f'aria-label="The stages of the recipe">{arcs}{nodes}</svg>'
    )


def _arc(left: int, start: int, end: int) -> str:
    """From a stage to one that comes after it: straight down to the next, else around those between."""
    if end - start == 1:
        x = left + 20
        return f'<path class=arc d="M{x} {_bottom(start)}V{_bottom(end) - _HEIGHT - 5}"/>{_head(x, end, down=True)}'
    x, y, to, bend = left, _middle(start), _middle(end), left - _BEND * (end - start) - 4
    return f'<path class=arc d="M{x} {y}C{bend} {y} {bend} {to} {x - 5} {to}"/>{_head(x, end, down=False)}'


def _head(x: int, row: int, *, down: bool) -> str:
    y = _bottom(row) - _HEIGHT if down else _middle(row)
    points = f"{x - 4},{y - 7} {x + 4},{y - 7} {x},{y}" if down else f"{x - 7},{y - 4} {x - 7},{y + 4} {x},{y}"
    return f'<polygon class=head points="{points}"/>'


def _node(left: int, row: int, link: Link, folder: Path) -> str:
    state = link.state(folder)
    name = link.name if link.round is None else f"{link.name}, round {link.round}"
    y = _middle(row) + 4
    return (
        f'<g class="node {state}"><title>{escape(link.folder)}: {_STATES[state]}</title>'
        f'<rect x="{left}" y="{_bottom(row) - _HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<circle cx="{left + 20}" cy="{y - 4}" r="5"/><text x="{left + 36}" y="{y}">{escape(name)}</text>'
        f'<text class=stage x="{left + _WIDTH - 12}" y="{y}" text-anchor=end>{escape(link.stage)}</text></g>'
    )


def _bottom(row: int) -> int:
    return _TOP + _ROW * row + _HEIGHT


def _middle(row: int) -> int:
    return _bottom(row) - _HEIGHT // 2
