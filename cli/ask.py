"""`deliberate ask`: one question, on a model loaded here or on a running server."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deliberate.cli.prompt_option import PromptOption, read_prompt
from deliberate.cli.terminal import told_plainly
from deliberate.cli.trace import show_trace, write_trace

if TYPE_CHECKING:
    from deliberate.cli.sources import Chunk

console = Console(stderr=True, highlight=False)
"""Progress; the answer goes to standard output."""


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    *,
    strategy: Annotated[str, typer.Option(help="Short name such as vote-8, or JSON.")] = "best-of-16",
    prompt: PromptOption = None,
    model: Annotated[
        str, typer.Option(help="A bundled model, a folder or a Hugging Face id; with --base-url a served one.")
    ] = "tiny",
    verifier_model: Annotated[str | None, typer.Option(help="Model that scores the candidates.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.", show_default="the model's")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens per candidate.")] = None,
    max_candidates: Annotated[int | None, typer.Option(help="End a search over steps with this many chains.")] = None,
    max_tokens_total: Annotated[
        int | None, typer.Option(help="End the search at this many tokens, all candidates together.")
    ] = None,
    deadline: Annotated[float | None, typer.Option(help="End the search after this many seconds.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Draw the search as a tree.")] = False,
    save: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Save the trace as JSON, for `deliberate trace`.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Ask this server, such as http://127.0.0.1:8000/v1.")] = None,
    api_key: Annotated[str, typer.Option(envvar="DELIBERATE_API_KEY", help="Key for the server.")] = "-",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole search as JSON.")] = False,
) -> None:
    """Ask one question; see the candidates, their scores and the choice.

    **Examples**

        deliberate ask "Mia has 12 apples. She buys 30 more. How many are there now?" --strategy best-of-16

        deliberate ask "What is 17 * 23?" --strategy adaptive-vote-16@calculator --seed 1

        deliberate ask "Mia has 12 apples. She buys 30 more. How many are there now?" --strategy beam-4x4 --trace

        deliberate ask "..." --base-url http://127.0.0.1:8000/v1 --prompt r1_template --json
    """
    from deliberate.cli.sources import from_model, from_server
    from deliberate.server.selection import read_strategy

    limits = {"max_candidates": max_candidates, "max_tokens_total": max_tokens_total, "deadline_s": deadline}
    budget = {name: limit for name, limit in limits.items() if limit is not None}
    fields = {"temperature": temperature, "seed": seed, "max_tokens": max_tokens, "budget": budget or None}
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "stream": True,
    } | {name: value for name, value in fields.items() if value is not None}
    with told_plainly():
        body["strategy"] = read_strategy(strategy, "--strategy").describe()
        body["prompt"] = [transform.describe() for transform in read_prompt(prompt)]
        if base_url is not None:
            chunks = from_server(body, base_url, api_key, trace=trace or save is not None)
        else:
            chunks = from_model(body, model, verifier_model, console, trace=trace or save is not None)
        content, deliberation, kept = asyncio.run(follow(chunks))
    if kept is not None and save is not None:
        write_trace(kept, save)
    if as_json:
        typer.echo(json.dumps({"content": content, "deliberation": deliberation}, indent=2, ensure_ascii=False))
        return
    if kept is not None and trace:
        show_trace(kept, console)
    else:
        show_candidates(deliberation)
    if deliberation["fallback"]:
        console.print(f"Note: {deliberation['fallback']}", style="yellow", markup=False)
    Console(highlight=False, soft_wrap=True).print(content, markup=False)


async def follow(chunks: "AsyncGenerator[Chunk, None]") -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    """Print what is thought as it comes; give the first answer, the report, and the trace where it was asked for."""
    content, kept = "", None
    deliberation: dict[str, Any] = {}
    async with aclosing(chunks) as stream:
        async for chunk in stream:
            for choice in chunk["choices"]:
                if choice["index"] == 0:
                    console.print(choice["delta"].get("reasoning", ""), end="", style="dim", markup=False)
                    content += choice["delta"].get("content", "")
            deliberation = chunk.get("deliberation") or deliberation
            kept = chunk.get("trace")
            if "note" in chunk:
                console.print(chunk["note"], style="yellow", markup=False)
    console.print()
    return content, deliberation, kept


def show_candidates(deliberation: dict[str, Any]) -> None:
    """The candidates as a table, and how the search ended."""
    table = Table(title=f"{deliberation['strategy']['kind']}, seed {deliberation['seed']}")
    for column in ("", "#", "Answer", "Score", "Tokens", "Status"):
        table.add_column(column, overflow="fold")
    for candidate in deliberation["candidates"]:
        chosen = candidate["chosen"] is not None
        table.add_row(*_row(candidate), style="bold green" if chosen else None)
    console.print(table)
    spent = f"{deliberation['tokens']} tokens in {deliberation['seconds']:.1f} s"
    console.print(f"{spent}: {deliberation['reason']}", markup=False)


def _row(candidate: dict[str, Any]) -> list[str]:
    score = "" if candidate["score"] is None else f"{candidate['score']:.3g}"
    verdict = candidate["verdict"] if candidate["verdict"] not in (None, "ok") else candidate["status"]
    answer = candidate["answer"] if candidate["answer"] is not None else ""
    mark = "" if candidate["chosen"] is None else "→"
    return [mark, str(candidate["index"]), answer, score, str(candidate["tokens"]), verdict]
