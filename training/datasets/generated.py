"""Rows of a task's own problems, so that they are mixed, judged and decontaminated like any others."""

from collections.abc import Iterable

from deliberate.training.datasets.rows import ProblemRow
from deliberate.training.tasks import Problem


def problem_rows(problems: Iterable[Problem]) -> tuple[ProblemRow, ...]:
    """As many rows as there are problems, each with its verifier and its reference solution."""
    return tuple(
        ProblemRow(
            id=problem.id,
            place=problem.id,
            prompt=problem.messages,
            tools=problem.tools,
            solution=problem.solution,
            answer=problem.answer,
            verifier=problem.verifier,
        )
        for problem in problems
    )
