"""Measures a judge while it learns, on answers with scores and on chains with labelled steps."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deliberate.training.datasets import DatasetConfig, read_dataset
from deliberate.training.datasets.rows import RolloutRow, StepwiseRow
from deliberate.training.datasets.sources import BadData
from deliberate.training.reward_models.chains import RIGHT, Chain, ChainBatch
from deliberate.training.reward_models.judges import Judge
from deliberate.training.reward_models.layouts import Layouts
from deliberate.training.reward_models.measures import (
    JudgedAnswers,
    answer_figures,
    first_error,
    first_error_figures,
)
from deliberate.training.reward_models.reading import step_chain
from deliberate.training.reward_models.sources import TaskChains, labelled, text_of
from deliberate.verifiers.aggregate import Aggregation, aggregate, sigmoid
from deliberate.verifiers.answers import final_answer


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers to one problem."""

    chains: tuple[Chain, ...]
    right: tuple[bool, ...]
    answers: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """What a judge is measured on. Nothing of it is learned from."""

    answered: tuple[Answered, ...]
    labelled: tuple[Chain, ...]
    """For the first error; none where steps are not judged."""
    rule: Aggregation
    """Makes an answer's score of its steps'."""

    def figures(self, judge: Judge, pad_id: int, batch_size: int) -> dict[str, float]:
        """`auc_within` and the like over the answers, `first_error_f1` over the labelled chains."""
        chains = [*(chain for group in self.answered for chain in group.chains), *self.labelled]
        said = iter(_probabilities(judge, chains, pad_id, batch_size))
        judged = [
            JudgedAnswers(tuple(aggregate(self.rule, next(said)) for _ in group.chains), group.right, group.answers)
            for group in self.answered
        ]
        found = [first_error(next(said)) for _ in self.labelled]
        errors = [first_error([1.0 if label is None else label for label in chain.labels]) for chain in self.labelled]
        return answer_figures(judged) | first_error_figures(found, errors)


def examination(
    datasets: Sequence[DatasetConfig],
    streamed: TaskChains | None,
    problems: int,
    layouts: Layouts,
    *,
    seed: int,
    rule: Aggregation | None = None,
) -> Examination:
    """Of datasets and of a task's held-out problems; with a `rule` steps are judged, else answers alone.

    Answers are the datasets' where they hold any: those that are made with one error are easier than a policy's.

    Raises BadData.
    """
    steps = rule is not None
    answered, chains = list[Answered](), list[Chain]()
    for config in datasets:
        for row in read_dataset(config).rows:
            match row:
                case RolloutRow():
                    answered += _answered(row, layouts, steps)
                case StepwiseRow() if steps:
                    chains.append(step_chain(row, layouts))
                case _:
                    raise BadData(
                        f"{row.place} is a {type(row).__name__}; a reward model is measured on rollouts with scores"
                        f"{', and on labelled steps' if steps else ''}."
                    )
    given = bool(answered)
    for problem, checked in streamed.held_out(seed, problems) if streamed is not None and problems else ():
        laid = [(layouts(problem.messages, text_of(layouts, chain.steps)), chain.labels) for chain in checked]
        right = tuple(chain.labels[-1] for chain in checked)
        judged = [
            labelled(*each) if steps else Chain.judged(each[0], float(r)) for each, r in zip(laid, right, strict=True)
        ]
        if not given:
            answered.append(Answered(tuple(judged), right, ()))
        if steps:
            # One wrong chain for each right one.
            chains += [judged[0], random.Random(problem.id).choice(judged[1:])]
    return Examination(tuple(answered), tuple(chains), rule or "last")


def _answered(row: RolloutRow, layouts: Layouts, steps: bool) -> list[Answered]:
    laid = [(sample, layouts(row.prompt, sample.text)) for sample in row.scored]
    known = [(sample, layout) for sample, layout in laid if layout.ends]
    if not known:
        return []
    chains = [
        Chain.labelled(layout, [None] * len(layout.ends)) if steps else Chain.judged(layout, sample.score)
        for sample, layout in known
    ]
    right = [(sample.score or 0.0) >= RIGHT for sample, _ in known]
    return [Answered(tuple(chains), tuple(right), tuple(final_answer(sample.text) for sample, _ in known))]


@torch.no_grad()
def _probabilities(judge: Judge, chains: Sequence[Chain], pad_id: int, batch_size: int) -> list[list[float]]:
    """Of being right, for each place of each chain, in order; those of like length are read together."""
    order = sorted(range(len(chains)), key=lambda index: len(chains[index]))
    said: dict[int, list[float]] = {}
    for first in range(0, len(order), batch_size):
        part = order[first : first + batch_size]
        batch = ChainBatch.of([[chains[index]] for index in part], pad_id, judge.device)
        log_odds, _ = judge.read(batch)
        for index, values in zip(part, log_odds.tolist(), strict=True):
            said[index] = [sigmoid(value) for value in values[: len(chains[index].ends)]]
    return [said[index] for index in range(len(chains))]
