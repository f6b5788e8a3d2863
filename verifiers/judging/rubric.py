"""Grades on a scale, by a rubric or by several criteria (G-Eval, Liu 2023, arXiv:2303.16634; Prometheus, Kim 2023,
arXiv:2310.08491)."""

import json
from collections.abc import Sequence
from math import fsum

from deliberate.verifiers.judging.asking import Asker
from deliberate.verifiers.judging.mode import EachAlone
from deliberate.verifiers.judging.opinion import Opinion, mean_opinion
from deliberate.verifiers.judging.options import Criterion, JudgeOptions
from deliberate.verifiers.judging.questions import Questions
from deliberate.verifiers.judging.replies import read_grades
from deliberate.verifiers.protocol import Candidate, Problem

_SINGLE = (Criterion(name="score"),)


class Rubric(EachAlone):
    """The mean grade as a share of the highest."""

    name = "rubric"

    def check(self, options: JudgeOptions) -> None:
        return

    async def opinion(self, asker: Asker, problem: Problem, candidate: Candidate) -> Opinion:
        options = asker.options
        criteria = options.criteria or _SINGLE
        questions = Questions(_task(criteria, options.scale), _demand(criteria, options.scale), problem, options)
        replies = await asker.replies(questions.about({"answer": candidate}))
        return mean_opinion(replies, lambda reply: _grade(reply, criteria, options.scale))


def _task(criteria: Sequence[Criterion], scale: int) -> str:
    task = f"Grade an answer to a question, strictly and fairly, from 0 (useless) to {scale} (could not be better)."
    lines = [f"- {criterion.name}: {criterion.description}" for criterion in criteria if criteria is not _SINGLE]
    return "\n".join([task, *(["Give a grade for each of these:"] if lines else []), *lines])


def _demand(criteria: Sequence[Criterion], scale: int) -> str:
    form = json.dumps({criterion.name: f"0 to {scale}" for criterion in criteria}).replace(f'"0 to {scale}"', "…")
    return f"Say in short what is good and what is not. End with one line of JSON that holds numbers: {form}"


def _grade(reply: str, criteria: Sequence[Criterion], scale: int) -> float | None:
    grades = read_grades(reply, [criterion.name for criterion in criteria], scale)
    if grades is None:
        return None
    total = fsum(criterion.weight for criterion in criteria)
    weighted = (criterion.weight * grade for criterion, grade in zip(criteria, grades, strict=True))
    return min(1.0, fsum(weighted) / (total * scale))
