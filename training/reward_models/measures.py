"""Figures of a verifier: does it put right answers before wrong ones, and does it find the first wrong step?

Answers are compared within a problem. A verifier that only knows which problems are hard chooses nothing, however high
its AUC over all of them.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from deliberate.training.labelling.agreement import FirstErrors


@dataclass(frozen=True, slots=True)
class JudgedAnswers:
    """The answers to one problem."""

    scores: tuple[float | None, ...]
    """The verifier's, in [0, 1]; None where it gave none."""
    right: tuple[bool, ...]
    answers: tuple[str | None, ...] = ()
    """What each comes to, for votes; None for one that comes to nothing."""


def within_problem_auc(problems: Sequence[JudgedAnswers]) -> float:
    """How often a right answer stands above a wrong one of the same problem; mean over the problems that have both.

    Ties count half; 0.5 where no problem has both.
    """
    return fmean([auc for auc in map(_auc, problems) if auc is not None] or [0.5])


def best_of_n(problems: Sequence[JudgedAnswers]) -> float:
    """Share of problems whose answer of the highest score is right."""
    return _share(problems, lambda problem: problem.right[_highest(problem.scores)])


def majority(problems: Sequence[JudgedAnswers]) -> float:
    """Share of problems whose most frequent answer is right; of equally frequent ones the first."""
    return _share(problems, lambda problem: _voted(problem, [1.0] * len(problem.right)))


def weighted_vote(problems: Sequence[JudgedAnswers]) -> float:
    """The same, each answer with its score as its weight."""
    return _share(problems, lambda problem: _voted(problem, [score or 0.0 for score in problem.scores]))


def single(problems: Sequence[JudgedAnswers]) -> float:
    """Share of right answers: pass@1."""
    return fmean(fmean(problem.right) for problem in problems)


def answer_figures(problems: Sequence[JudgedAnswers]) -> dict[str, float]:
    """All of these by name, shares from 0 to 1; nothing where there are no problems."""
    if not problems:
        return {}
    figures = {"auc_within": within_problem_auc(problems), "best_of_n": best_of_n(problems), "pass@1": single(problems)}
    if all(problem.answers for problem in problems):
        figures |= {"majority": majority(problems), "weighted_vote": weighted_vote(problems)}
    return figures


def first_error(probabilities: Sequence[float], threshold: float = 0.5) -> int | None:
    """The first step that is less probably right than `threshold`; None where there is none."""
    return next((step for step, value in enumerate(probabilities) if value < threshold), None)


def first_error_figures(found: Sequence[int | None], wrong: Sequence[int | None]) -> dict[str, float]:
    """How well first errors are found: `found` and `wrong` are the step for each chain, None for no error.

    `first_error_f1` is ProcessBench's. Nothing without chains of both kinds.
    """
    pairs = list(zip(wrong, found, strict=True))
    try:
        share = FirstErrors.of(pairs)
    except ValueError:
        return {}
    return {"first_error_f1": share.f1, "accuracy_on_wrong": share.wrong, "accuracy_on_right": share.right}


def _share(problems: Sequence[JudgedAnswers], is_right: Callable[[JudgedAnswers], bool]) -> float:
    return fmean(map(is_right, problems))


def _auc(problem: JudgedAnswers) -> float | None:
    judged = [(score, right) for score, right in zip(problem.scores, problem.right, strict=True) if score is not None]
    above = [(r > w) + 0.5 * (r == w) for r, right in judged if right for w, other in judged if not other]
    return fmean(above) if above else None


def _highest(scores: Sequence[float | None]) -> int:
    return max(range(len(scores)), key=lambda index: -1.0 if scores[index] is None else scores[index] or 0.0)


def _voted(problem: JudgedAnswers, weights: Sequence[float]) -> bool:
    votes = defaultdict[str, float](float)
    for answer, weight in zip(problem.answers, weights, strict=True):
        if answer is not None:
            votes[answer] += weight
    if not votes:
        return False
    winner = max(votes, key=lambda answer: votes[answer])
    return problem.right[problem.answers.index(winner)]
