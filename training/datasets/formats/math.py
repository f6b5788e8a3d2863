"""MATH (Hendrycks et al. 2021, arXiv:2103.03874) and MATH-500 (Lightman et al. 2023): `problem`, `solution`, `answer`.

MATH's own files have no `answer`: it is what the solution's last `\\boxed{…}` holds.
"""

import re
from collections.abc import Iterator

from deliberate.training.datasets.formats._judging import by_reference, user
from deliberate.training.datasets.records import Record
from deliberate.training.datasets.rows import ProblemRow
from deliberate.training.json_lines import BadLine
from deliberate.verifiers.answers import boxed

_WITHOUT_BRACES = re.compile(r"\\boxed\s+([^\s$.,]+)")


class Math:
    """The folder of JSON files, its JSON lines, and MATH-500's."""

    name = "math"

    def rows(self, record: Record) -> Iterator[ProblemRow]:
        problem, solution = record.text("problem"), record.text("solution")
        answer = record.text("answer") if record.has("answer") else _boxed(solution)
        yield ProblemRow(
            id=record.text("unique_id") if record.has("unique_id") else record.key,
            place=record.place,
            prompt=user(problem),
            solution=solution,
            answer=answer,
            verifier=by_reference(answer),
        )


def _boxed(solution: str) -> str:
    bare = _WITHOUT_BRACES.findall(solution)
    found = (boxed(solution) or (bare[-1] if bare else "")).strip()
    if not found:
        raise BadLine("has no 'answer', nor a 'solution' with \\boxed{…}; add one of them")
    return found


FORMAT = Math()
