"""How far completions keep to the language of their problem, found once for each problem, whatever is killed between.

The classifier is the slow part of selection; what it found is appended to a file until the selection is done.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deliberate.training.datasets.appending import AppendedLines
from deliberate.training.selection.candidates import Candidate
from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.language_consistency import LanguageConsistency
from deliberate.verifiers.protocol import Candidate as Answer
from deliberate.verifiers.protocol import Problem, Resources
from deliberate.verifiers.workers import WorkerPool

FILE_NAME = "languages.jsonl"

Shares = Mapping[str, float | None]
"""By the completion's id, the share of its words that are in the problem's language; None where there are none."""


async def language_shares(
    problems: Mapping[str, Sequence[Candidate]], folder: Path, done: Callable[[int], None]
) -> dict[str, float | None]:
    """Of all completions. `done` hears how many problems are done."""
    shares: dict[str, float | None] = {}

    def known(line: Mapping[str, Any]) -> None:
        shares.update(line["shares"])

    workers = WorkerPool(os.cpu_count() or 1)
    try:
        with AppendedLines(folder / FILE_NAME, known) as lines:
            left = iter([name for name in problems if name not in lines.ids])
            verifier = build_guarded(LanguageConsistency(), Resources(workers, {}))

            async def work() -> None:
                for name in left:
                    candidates = problems[name]
                    problem = Problem(candidates[0].row.prompt)
                    verdicts = await verifier.verify(problem, [Answer(candidate.text) for candidate in candidates])
                    pairs = zip(candidates, verdicts, strict=True)
                    found = {candidate.row.id: verdict.score for candidate, verdict in pairs}
                    shares.update(found)
                    lines.append({"id": name, "shares": found})
                    done(len(lines.ids))

            async with asyncio.TaskGroup() as tasks:
                for _ in range(2 * (os.cpu_count() or 1)):
                    tasks.create_task(work())
    finally:
        workers.close()
    return shares
