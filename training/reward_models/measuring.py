"""Measures a verifier as it is served, on answers of a policy and on chains with labelled steps."""

import asyncio
from collections.abc import Sequence

from deliberate.training.datasets.rows import RolloutRow, Row, Sample, StepwiseRow
from deliberate.training.reward_models.chains import RIGHT
from deliberate.training.reward_models.measures import (
    JudgedAnswers,
    answer_figures,
    first_error,
    first_error_figures,
)
from deliberate.verifiers.answers import final_answer
from deliberate.verifiers.protocol import Candidate, Problem, Verdict, Verifier

_AT_ONCE = 16
"""Problems that are judged together."""


async def measure_verifier(
    verifier: Verifier,
    answered: Sequence[RolloutRow],
    labelled: Sequence[StepwiseRow] = (),
    *,
    step_separator: str = "\n",
    threshold: float = 0.5,
) -> dict[str, float]:
    """`auc_within`, `best_of_n`, `majority`, `weighted_vote` and `pass@1` over answers that have scores, and
    `first_error_f1` with its two accuracies over chains whose steps have labels: a step of a lower score than
    `threshold` is an error to the verifier."""
    turnstile = asyncio.Semaphore(_AT_ONCE)

    async def judged(row: Row, texts: Sequence[str]) -> list[Verdict]:
        async with turnstile:
            return await verifier.verify(Problem(row.prompt), [Candidate(text) for text in texts])

    pairs = [(row, samples) for row in answered if (samples := row.scored)]
    groups = await asyncio.gather(*(judged(row, [s.text for s in samples]) for row, samples in pairs))
    chains = await asyncio.gather(*(judged(row, [step_separator.join(row.steps)]) for row in labelled))
    problems = [
        judged_answers(samples, [verdict.score for verdict in verdicts])
        for (_, samples), verdicts in zip(pairs, groups, strict=True)
    ]
    found = [first_error(verdict.steps, threshold) for (verdict,) in chains]
    wrong = [first_error([1.0 if label is None else label for label in row.labels]) for row in labelled]
    return answer_figures(problems) | first_error_figures(found, wrong)


def judged_answers(samples: Sequence[Sample], scores: Sequence[float | None]) -> JudgedAnswers:
    """Samples that have scores of what is right, with those that a judge gives them."""
    return JudgedAnswers(
        tuple(scores),
        tuple((sample.score or 0.0) >= RIGHT for sample in samples),
        tuple(final_answer(sample.text) for sample in samples),
    )
