"""`deliberate verify`: judge a file of answers."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deliberate.cli.terminal import told_plainly

if TYPE_CHECKING:
    from deliberate.cli.verify_judges import Judge
    from deliberate.cli.verify_lines import Line, LineReader
    from deliberate.cli.verify_summary import Summary

console = Console(stderr=True, highlight=False)
"""Progress and the summary; verdicts may go to standard output."""

_MOST_SHOWN = 10
"""Bad lines that are told."""


def verify(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON lines with messages or prompt; candidates, candidate or completion; verifier, id and tools "
            "where needed. Other fields are passed over. `-` reads standard input.",
            metavar="FILE",
        ),
    ],
    *,
    verifier: Annotated[
        str | None, typer.Option(help="Judges lines that name no verifier: its kind, or JSON (a list is weighted).")
    ] = None,
    fill: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION=FIELD", help="Take an option of --verifier from a field of each line."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            help="Append verdicts here, and go on where it ends.",
            show_default="standard output",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model in question, for verifiers that ask one; with --server a served one."),
    ] = None,
    verifier_model: Annotated[
        str | None, typer.Option(help="Model that scores, for likelihood, reward_model and judge.")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server", "--base-url", help="Ask this server, such as http://127.0.0.1:8000/v1, and not the library."
        ),
    ] = None,
    api_key: Annotated[str, typer.Option(envvar="DELIBERATE_API_KEY", help="Key for the server.")] = "-",
    concurrency: Annotated[int, typer.Option(min=1, help="Lines that are judged at once.")] = 16,
    skip_bad_lines: Annotated[
        bool, typer.Option("--skip-bad-lines", help="Go on without lines that cannot be read.")
    ] = False,
    fail_under: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit with 1 when the pass rate is lower; undecided answers count as failed."),
    ] = None,
) -> None:
    """Judge a file of answers: compile and test code, compare with references, check proofs, ask a judge.

    A line holds one problem. Its verdicts are written as a line too, in the order in which they come:

        {"id": 1, "prompt": "What is 17 * 23?", "candidates": ["391", "It is 381."], "gold": "391"}

        {"id": 1, "verdicts": [{"index": 0, "score": 1.0, "passed": true, "status": "ok", …}, …]}

    What a verifier cannot decide has score null and says why: it never counts as 0.

    **Examples**

        deliberate verify answers.jsonl --verifier calculator

        deliberate verify answers.jsonl --verifier reference --fill answer=gold -o verdicts.jsonl

        deliberate verify code.jsonl --verifier '{"kind": "code", "language": "python"}' --fill test_source=test

        deliberate verify answers.jsonl --verifier likelihood --model tiny --fail-under 0.9

    Exit status: 0, or 1 below --fail-under, or 2 when something must be changed first.
    """
    from deliberate.cli.verify_summary import Summary

    summary = Summary()
    with told_plainly():
        lines = _lines(file, verifier, fill or [], skip_bad_lines)
        done = _resumed(output, lines, summary)
        left = [line for line in lines if line.id not in done]
        before, start = summary.verdicts, perf_counter()
        try:
            asyncio.run(_run(left, output, summary, concurrency, (model, verifier_model), (server, api_key)))
        except KeyboardInterrupt:
            others = len(lines) - summary.problems
            hint = "" if output is None else f" The same command goes on with the other {others}."
            console.print(f"Stopped.{hint}", style="yellow")
            raise typer.Exit(130) from None
    console.print(summary.table(perf_counter() - start, summary.verdicts - before))
    if fail_under is not None and summary.assured < fail_under:
        console.print(f"[bold red]{summary.assured:.1%} of all answers passed[/], less than {fail_under:.1%}.")
        raise typer.Exit(1)


def _lines(file: Path, verifier: str | None, fill: Sequence[str], skip: bool) -> "list[Line]":
    """The problems of a file. Raises InvalidRequest naming the lines that are none."""
    from deliberate.cli.verify_lines import LineReader
    from deliberate.engines.errors import InvalidRequest

    name = "standard input" if str(file) == "-" else str(file)
    if str(file) != "-" and not file.is_file():
        raise InvalidRequest(f"There is no file {name!r}; `-` reads standard input.")
    reader = LineReader(name, _spec(verifier, bool(fill)), _columns(fill, verifier))
    with ExitStack() as stack:
        stream = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        lines = list(reader.read(stream))
    for message in reader.bad[:_MOST_SHOWN]:
        console.print(message, style="yellow" if skip else "red", markup=False)
    if reader.bad and not skip:
        raise InvalidRequest(_refusal(reader))
    if not lines:
        raise InvalidRequest(f"{name} holds no problem; write one JSON object on each line.")
    return lines


def _refusal(reader: "LineReader") -> str:
    more = len(reader.bad) - _MOST_SHOWN
    and_more = f", {more} more than are shown" if more > 0 else ""
    return (
        f"{len(reader.bad)} of the lines cannot be judged{and_more}. Nothing was judged yet: mend them, or leave them "
        "out with --skip-bad-lines."
    )


def _spec(verifier: str | None, filled: bool) -> object | None:
    """The option `--verifier` as a request would hold it; where options are filled in, each line shows what it is."""
    import json

    from deliberate.engines.errors import InvalidRequest
    from deliberate.server.verifier_settings import read_verifier

    if verifier is None:
        return None
    if not filled:
        return read_verifier(verifier).describe()
    try:
        return json.loads(verifier) if verifier.lstrip()[:1] in ("{", "[") else verifier
    except ValueError as error:
        raise InvalidRequest(f"--verifier is not valid JSON: {error}.") from error


def _columns(fill: Sequence[str], verifier: str | None) -> dict[str, str]:
    from deliberate.engines.errors import InvalidRequest

    pairs = [pair.partition("=") for pair in fill]
    for option, equals, column in pairs:
        if not (option and equals and column):
            raise InvalidRequest(f"--fill {option!r}: write OPTION=FIELD, such as answer=gold.")
    if pairs and verifier is None:
        raise InvalidRequest("--fill sets options of --verifier, which is missing.")
    return {option: column for option, _, column in pairs}


def _resumed(output: Path | None, lines: "Sequence[Line]", summary: "Summary") -> set[str | int]:
    """Ids of the problems that are done."""
    from deliberate.cli.verify_lines import VerdictFile

    if output is None:
        return set()
    there = VerdictFile(output).resume(line.id for line in lines)
    for verdicts in there.values():
        summary.add(verdicts)
    if there:
        console.print(f"{output} holds {len(there)} of {len(lines)} problems already.")
    return set(there)


async def _run(
    lines: "Sequence[Line]",
    output: Path | None,
    summary: "Summary",
    concurrency: int,
    models: tuple[str | None, str | None],
    server: tuple[str | None, str],
) -> None:
    """Judge the lines, writing each one's verdicts when they are there."""
    from deliberate.cli.verify_judges import judged_by_server, judged_here

    url, key = server
    judges = judged_here(lines, *models) if url is None else judged_by_server(url, key, models[0])
    with ExitStack() as stack:
        async with judges as judge:
            file = sys.stdout if output is None else stack.enter_context(output.open("a", encoding="utf-8"))
            bars = stack.enter_context(_bars())
            bar = bars.add_task("Judging", total=len(lines), right="")

            def done(verdicts: list[dict[str, Any]]) -> None:
                summary.add(verdicts)
                rate = "" if summary.pass_rate is None else f"{summary.pass_rate:.1%} passed"
                bars.update(bar, advance=1, right=rate)

            await _judge_all(lines, judge, file, done, concurrency)


async def _judge_all(lines: "Sequence[Line]", judge: "Judge", file: IO[str], done: "Any", concurrency: int) -> None:
    """So many at once. Raises the first error, when the others have stopped."""
    from deliberate.cli.verify_lines import written

    waiting = iter(lines)

    async def work() -> None:
        for line in waiting:
            verdicts = await judge(line)
            file.write(written(line.id, verdicts))
            file.flush()
            done(verdicts)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(lines))):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _bars() -> Progress:
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[right]}")]
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
