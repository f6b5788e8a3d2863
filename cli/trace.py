"""`deliberate trace`: draw a search that is over, from a server that still keeps it or from a file."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from deliberate.cli.terminal import told_plainly
from deliberate.engines.errors import InvalidRequest


def trace(
    search: Annotated[str, typer.Argument(help="A file that `deliberate ask --save` wrote, or with --base-url an id.")],
    *,
    base_url: Annotated[
        str | None, typer.Option(help="Ask this server for it, such as http://127.0.0.1:8000/v1.")
    ] = None,
    api_key: Annotated[str, typer.Option(envvar="DELIBERATE_API_KEY", help="Key for the server.")] = "-",
    save: Annotated[Path | None, typer.Option(dir_okay=False, help="Save it as JSON.")] = None,
) -> None:
    """Draw the tree of a search.

    **Examples**

        deliberate ask "What is 17 * 23?" --strategy beam-4x4 --save search.json

        deliberate trace search.json

        deliberate trace dlb-5f0c… --base-url http://127.0.0.1:8000/v1
    """
    from deliberate.cli.sources import fetch_trace

    with told_plainly():
        kept = read_trace(Path(search)) if base_url is None else asyncio.run(fetch_trace(search, base_url, api_key))
        if save is not None:
            write_trace(kept, save)
        show_trace(kept, Console(highlight=False))


def read_trace(path: Path) -> dict[str, Any]:
    """A trace from a file. Raises InvalidRequest for one that is not there or holds none."""
    if not path.is_file():
        raise InvalidRequest(f"There is no file {str(path)!r}; the trace of an id is asked of a server: --base-url.")
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or kept.get("object") != "deliberation":
        raise InvalidRequest(f"{path} holds no trace; `deliberate ask --save` writes one.")
    return kept


def write_trace(kept: dict[str, Any], path: Path) -> None:
    """A trace to a file."""
    path.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


def show_trace(kept: dict[str, Any], console: Console) -> None:
    """The tree, and how the search ended. Raises InvalidRequest for events that nobody knows."""
    from deliberate.cli.drawing import draw
    from deliberate.search.log import Log
    from deliberate.search.trace import read_events

    log = Log()
    for event in read_events(kept["events"]):
        log.add(event)
    console.print(draw(log.events, f"{kept['strategy']['kind']}, seed {kept['seed']}"))
    ended = f"no answer: {kept['error']}" if kept["error"] else log.chosen.reason
    console.print(f"{log.completion_tokens} tokens in {kept['seconds']:.1f} s: {ended}", markup=False)
