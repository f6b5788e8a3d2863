"""How commands fail: one line that says what is wrong, and status 2."""

from collections.abc import Generator
from contextlib import contextmanager

import typer
from rich.console import Console

from deliberate.engines.errors import DeliberateError

errors = Console(stderr=True)


@contextmanager
def told_plainly() -> Generator[None, None, None]:
    """Domain errors become a line for people."""
    try:
        yield
    except DeliberateError as error:
        errors.print(f"[bold red]Error:[/] {error}", highlight=False)
        raise typer.Exit(2) from error
