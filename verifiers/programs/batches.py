"""Verdicts on a batch of programs: each distinct one runs once, however many candidates wrote it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from deliberate.verifiers.programs.protocol import CompileError, Unsupported
from deliberate.verifiers.programs.reading import Written
from deliberate.verifiers.programs.results import shown
from deliberate.verifiers.protocol import Verdict
from deliberate.verifiers.sandbox.protocol import SandboxUnavailable

T = TypeVar("T")


async def each(
    written: Sequence[Written | None], ask: Callable[[Written], Awaitable[T | Verdict]]
) -> list[T | Verdict]:
    """For each candidate, what is found of its program; or the verdict where nothing can be."""

    async def guarded(program: Written) -> T | Verdict:
        try:
            return await ask(program)
        except CompileError as error:
            return Verdict.decided(False, f"it does not compile or load: {shown(str(error))}")
        except (Unsupported, SandboxUnavailable) as error:
            return Verdict.undecided(str(error))

    distinct = list(dict.fromkeys(program for program in written if program is not None))
    found = dict(zip(distinct, await asyncio.gather(*map(guarded, distinct)), strict=True))
    missing = Verdict.decided(False, "there is no code block with a program")
    return [missing if program is None else found[program] for program in written]
