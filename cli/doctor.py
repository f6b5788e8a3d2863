"""`deliberate doctor`: what this machine gives."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deliberate.cli.terminal import told_plainly

if TYPE_CHECKING:
    from deliberate.cli.checks import Check, Checkup

console = Console(stderr=True, highlight=False)
"""Progress; the findings go to standard output."""

_MARKS = {"ok": "[green]✓[/]", "missing": "[red]✗[/]", "note": "[dim]·[/]"}


def doctor(
    *,
    require: Annotated[
        Literal["A", "B", "C", "D"] | None,
        typer.Option(help="Exit with 1 unless candidates' programs run in boxes of this tier or a stronger one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Try what this machine gives: boxes for programs, compilers, provers, the browser, engines, models.

    Nothing is looked up: boxes are broken into, compilers compile, provers read a statement, the browser shows a page.
    What is missing costs only the verifiers that need it, which then decide nothing. Settings such as
    `DELIBERATE_SANDBOX_MIN_TIER` count.

    **Examples**

        deliberate doctor

        deliberate doctor --require A && deliberate serve
    """
    from deliberate.verifiers.sandbox.protocol import Tier

    with told_plainly():
        checkup = asyncio.run(_checkup())
    if as_json:
        checks = [{**asdict(check), "install": check.install} for check in checkup.checks]
        typer.echo(json.dumps({"tier": checkup.tier, "checks": checks}, indent=2, ensure_ascii=False))
    else:
        _show(checkup)
    if require is not None and (checkup.tier is None or checkup.tier.rank > Tier(require).rank):
        found = "none" if checkup.tier is None else f"tier {checkup.tier}"
        console.print(f"[bold red]Tier {require} is required[/], and boxes of {found} are there.")
        raise typer.Exit(1)


async def _checkup() -> "Checkup":
    from deliberate.cli.checks import check_all
    from deliberate.cli.serve import read_settings
    from deliberate.verifiers.browser.pool import BrowserPool
    from deliberate.verifiers.sandbox.sandbox import Sandbox

    settings = read_settings()
    sandbox = Sandbox(settings.sandbox)
    browsers = BrowserPool(1, contained=not settings.browser_unsafe, node_modules=settings.node_modules)
    try:
        with console.status("Trying") as status:
            return await check_all(sandbox, browsers, lambda what: status.update(f"Trying {what}"))
    finally:
        await asyncio.to_thread(browsers.close)
        await sandbox.close()


def _show(checkup: "Checkup") -> None:
    out = Console(highlight=False)
    table = Table(show_header=False)
    for _ in range(4):
        table.add_column(overflow="fold")
    room = ""
    for check in checkup.checks:
        if room and check.room != room:
            table.add_section()
        table.add_row(check.room if check.room != room else "", _MARKS[check.status], check.name, Text(check.detail))
        room = check.room
    out.print(table)
    _advise(out, checkup.checks)


def _advise(out: Console, checks: "tuple[Check, ...]") -> None:
    commands = dict.fromkeys(check.install for check in checks if check.install is not None)
    if commands:
        out.print("To have what is missing:")
    for command in commands:
        out.print(f"    {command}", markup=False, soft_wrap=True)
