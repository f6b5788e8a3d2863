"""How far completions keep to the language of their problem, found once for each problem, whatever is killed between.

The classifier is the slow part of selection; what it found is appended to a file until the selection is done.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deliberate.training.datasets.appending import AppendedLines
from deliberate.training.selection.candidates import Candidate
from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.language_consistency import LanguageConsistency
from deliberate.verifiers.protocol import Candidate as Answer
from deliberate.verifiers.protocol import Problem, Resources, Verifier
from deliberate.verifiers.workers import WorkerPool

FILE_NAME = "languages.jsonl"

_SECONDS = 60.0
"""For one completion; a process's first waits for the classifier."""
_ATTEMPTS = 3


async def language_shares(
    problems: Mapping[str, Sequence[Candidate]], folder: Path, done: Callable[[int], None]
) -> dict[str, float | None]:
    """By completion, the share of its words that are in the problem's language; None where there are none to tell by.

    `done` hears how many problems are done.
    """
    shares: dict[str, float | None] = {}
    processes = os.cpu_count() or 1
    workers = WorkerPool(processes)
    verifier = build_guarded(LanguageConsistency(timeout_s=_SECONDS), Resources(workers, {}))
    try:
        with AppendedLines(folder / FILE_NAME, lambda line: shares.update(line["shares"])) as lines:
            left = iter([name for name in problems if name not in lines.ids])

            async def work() -> None:
                for name in left:
                    found = await _found(verifier, problems[name])
                    shares.update(found)
                    lines.append({"id": name, "shares": found})
                    done(len(lines.ids))

            async with asyncio.TaskGroup() as tasks:
                for _ in range(2 * processes):
                    tasks.create_task(work())
    finally:
        workers.close()
    return shares


async def _found(verifier: Verifier, candidates: Sequence[Candidate]) -> dict[str, float | None]:
    """Of the completions of one problem. What took too long is asked again: the machine may have been busy."""
    problem, found, left = Problem(candidates[0].row.prompt), dict[str, float | None](), list(candidates)
    for _ in range(_ATTEMPTS):
        verdicts = await verifier.verify(problem, [Answer(candidate.text) for candidate in left])
        pairs = list(zip(left, verdicts, strict=True))
        found.update((candidate.row.id, verdict.score) for candidate, verdict in pairs)
        left = [candidate for candidate, verdict in pairs if verdict.status == "timeout"]
        if not left:
            break
    return {candidate.row.id: found[candidate.row.id] for candidate in candidates}
