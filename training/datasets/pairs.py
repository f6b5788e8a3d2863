"""Pairs of a better and a worse completion, from groups of scored samples, or from solutions and a policy's samples."""

from collections.abc import Iterable, Iterator, Sequence

from deliberate.training.datasets.rows import PreferenceRow, ProblemRow, RolloutRow, Sample
from deliberate.training.datasets.sources import BadData


def pairs_of_groups(groups: Iterable[RolloutRow], pairs_per_prompt: int) -> Iterator[PreferenceRow]:
    """Of each group the best sample with the worst, the second best with the second worst, and so on.

    Only samples that ended and have a score take part, and only pairs whose scores differ; a text takes part once.
    """
    for group in groups:
        ranked = sorted(_distinct(group.samples), key=lambda sample: -(sample.score or 0.0))
        for number in range(min(pairs_per_prompt, len(ranked) // 2)):
            better, worse = ranked[number], ranked[-1 - number]
            if better.score != worse.score:
                yield _pair(group, number, better.text, worse.text)


def pairs_with_solutions(
    problems: Iterable[ProblemRow], groups: Iterable[RolloutRow], pairs_per_prompt: int
) -> Iterator[PreferenceRow]:
    """Each problem's solution, chosen, with what a policy wrote for it, rejected: SPIN (Chen 2024, arXiv:2401.01335).

    Raises BadData for a group whose problem has no solution.
    """
    solutions = {problem.id: problem.solution for problem in problems if problem.solution is not None}
    for group in groups:
        if group.id not in solutions:
            raise BadData(f"{group.place} has the id {group.id!r}, of which no problem with a solution is given.")
        texts = dict.fromkeys(sample.text for sample in group.samples if sample.text != solutions[group.id])
        for number, text in enumerate(list(texts)[:pairs_per_prompt]):
            yield _pair(group, number, solutions[group.id], text)


def _distinct(samples: Sequence[Sample]) -> list[Sample]:
    decided = [sample for sample in samples if sample.score is not None and sample.finished]
    return list({sample.text: sample for sample in decided}.values())


def _pair(group: RolloutRow, number: int, chosen: str, rejected: str) -> PreferenceRow:
    return PreferenceRow(
        id=f"{group.id}#{number}",
        place=group.place,
        prompt=group.prompt,
        tools=group.tools,
        answer=group.answer,
        verifier=group.verifier,
        chosen=chosen,
        rejected=rejected,
    )
