"""A recipe's chain in a terminal, with what is done."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deliberate.training.recipes.chain import Chain, State

_MARKS: dict[State, tuple[str, str]] = {"finished": ("✓", "green"), "started": ("●", "blue"), "waiting": ("○", "dim")}


def draw_chain(chain: Chain, folder: Path) -> RenderableType:
    """A line for each stage: how far it is, its folder, its kind, and whose results it uses."""
    table = Table.grid(padding=(0, 2))
    for link in chain.links:
        mark, style = _MARKS[link.state(folder)]
        uses = f"← {', '.join(link.uses)}" if link.uses else ""
        table.add_row(Text(mark, style), Text(link.folder), Text(link.stage, "cyan"), Text(uses, "dim"))
    return Group(Text(f"{chain.name} in {folder}", "bold"), table)
