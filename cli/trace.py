"""`deliberate trace`: draw a search that is over, from a server that still keeps it or from a file."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from deliberate.cli.terminal import told_plainly
from deliberate.engines.errors import InvalidRequest

_IMAGES = {"image/jpeg": "jpeg", "image/png": "png", "image/webp": "webp"}
"""Pictures that are saved, and how their files are called."""


def trace(
    search: Annotated[str, typer.Argument(help="A file that `deliberate ask --save` wrote, or with --base-url an id.")],
    *,
    base_url: Annotated[
        str | None, typer.Option(help="Ask this server for it, such as http://127.0.0.1:8000/v1.")
    ] = None,
    api_key: Annotated[str, typer.Option(envvar="DELIBERATE_API_KEY", help="Key for the server.")] = "-",
    save: Annotated[Path | None, typer.Option(dir_okay=False, help="Save it as JSON.")] = None,
    save_images: Annotated[
        Path | None, typer.Option(file_okay=False, help="Save the pictures that verifiers took into this folder.")
    ] = None,
) -> None:
    """Draw the tree of a search.

    **Examples**

        deliberate ask "What is 17 * 23?" --strategy beam-4x4 --save search.json

        deliberate trace search.json

        deliberate trace dlb-5f0c… --base-url http://127.0.0.1:8000/v1 --save-images pictures
    """
    from deliberate.cli.sources import fetch_trace

    with told_plainly():
        kept = read_trace(Path(search)) if base_url is None else asyncio.run(fetch_trace(search, base_url, api_key))
        if save is not None:
            write_trace(kept, save)
        if save_images is not None:
            write_images(kept, save_images)
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


def write_images(kept: dict[str, Any], folder: Path) -> None:
    """What verifiers attached, named by candidate: `3-screenshot.jpeg`. Raises InvalidRequest for an unreadable one."""
    from deliberate.search.events import Scored
    from deliberate.search.trace import read_events

    folder.mkdir(parents=True, exist_ok=True)
    scored = [event for event in read_events(kept["events"]) if isinstance(event, Scored)]
    for event in scored:
        for attachment in event.verdict.attachments:
            if attachment.media_type not in _IMAGES or not attachment.name.isidentifier():
                raise InvalidRequest(f"{attachment.name!r} is no picture, but {attachment.media_type!r}.")
            try:
                content = attachment.content
            except ValueError as error:
                raise InvalidRequest(f"Candidate {event.index}: {attachment.name!r} cannot be read.") from error
            (folder / f"{event.index}-{attachment.name}.{_IMAGES[attachment.media_type]}").write_bytes(content)


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
