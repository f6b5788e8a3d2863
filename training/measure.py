"""How well a policy does alone and with its verifier, on held-out problems.

The figures are those that decide whether a verifier helps: single samples, majority of `n`, what choosing by the
verifier gains on it, and the within-problem AUC. (A verifier can reach a high overall AUC by knowing which problems
are hard; that chooses nothing.)
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import exp
from statistics import fmean

import torch
from transformers import PreTrainedModel

from deliberate.training import rollout
from deliberate.training.hub import ChatTokenizer
from deliberate.training.tasks import Problem, Task

_STEP = re.compile(r"(-?\d+) ([-+*/]) (-?\d+) = (-?\d+)")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One completion, with all that the selection rules look at."""

    answer: str
    """The text between the answer tags; empty where there is none."""
    correct: bool
    policy: float
    """Mean token log-probability under the policy."""
    verifier: float
    """Least token log-probability under the verifier."""
    sound: bool
    """Every line `a op b = c` is arithmetically right."""


def sample_candidates(
    task: Task,
    problems: Sequence[Problem],
    tokenizer: ChatTokenizer,
    policy: PreTrainedModel,
    verifier: PreTrainedModel,
    *,
    n: int,
    temperature: float,
    seed: int,
    max_new_tokens: int = 128,
) -> list[list[Candidate]]:
    """`n` candidates for each problem."""
    generator = torch.Generator(policy.device).manual_seed(seed)
    prompts = [tokenizer.prompt(problem.question) for problem in problems]
    samples = rollout.sample(
        policy, prompts, n=n, temperature=temperature, max_new_tokens=max_new_tokens, generator=generator
    )
    scores = rollout.score(
        verifier,
        [prompt for prompt in prompts for _ in range(n)],
        [sample.tokens for group in samples for sample in group],
    )
    minima = iter([min(score) for score in scores])
    groups = list[list[Candidate]]()
    for problem, group in zip(problems, samples, strict=True):
        texts = [tokenizer.decode(sample.tokens) for sample in group]
        groups.append(
            [
                Candidate(
                    answer=final_answer(text),
                    correct=task.grade(problem, text),
                    policy=fmean(sample.logprobs),
                    verifier=next(minima),
                    sound=is_sound(text),
                )
                for text, sample in zip(texts, group, strict=True)
            ]
        )
    return groups


def figures(groups: Sequence[Sequence[Candidate]]) -> dict[str, float]:
    """Percentages of problems solved by each way of choosing, and the verifier's within-problem AUC (0 to 1)."""
    n = len(groups[0])
    rules: dict[str, Callable[[Sequence[Candidate]], float]] = {
        "pass@1": lambda group: fmean(c.correct for c in group),
        f"pass@{n}": lambda group: any(c.correct for c in group),
        f"majority@{n}": lambda group: _voted(group, lambda c: 1.0),
        f"best_of_{n}_verifier": lambda group: max(group, key=lambda c: c.verifier).correct,
        f"weighted_vote_{n}_verifier": lambda group: _voted(group, lambda c: exp(c.verifier)),
        f"best_of_{n}_calculator": _calculator,
    }
    result = {name: round(100 * fmean(map(rule, groups)), 1) for name, rule in rules.items()}
    return result | {"within_problem_auc": round(within_problem_auc(groups), 3)}


def within_problem_auc(groups: Sequence[Sequence[Candidate]]) -> float:
    """How often the verifier puts a right candidate above a wrong one of the same problem; mean over the problems
    that have both. Ties count half; 0.5 where no problem has both."""
    return fmean([_auc(g) for g in groups if 0 < sum(c.correct for c in g) < len(g)] or [0.5])


def _auc(group: Sequence[Candidate]) -> float:
    right = [c.verifier for c in group if c.correct]
    wrong = [c.verifier for c in group if not c.correct]
    return fmean((r > w) + 0.5 * (r == w) for r in right for w in wrong)


def _voted(group: Sequence[Candidate], weight: Callable[[Candidate], float]) -> bool:
    """Whether the answer with the greatest total weight is right; the earliest wins a tie."""
    votes, correct = dict[str, float](), dict[str, bool]()
    for candidate in group:
        if candidate.answer:
            votes[candidate.answer] = votes.get(candidate.answer, 0.0) + weight(candidate)
            correct[candidate.answer] = candidate.correct
    return bool(votes) and correct[max(votes, key=lambda answer: votes[answer])]


def _calculator(group: Sequence[Candidate]) -> bool:
    """The best among the arithmetically sound: the commonest answer, then the policy's most likely completion."""
    sound = [c for c in group if c.sound] or group
    counts = Counter(c.answer for c in sound)
    return max(sound, key=lambda c: (counts[c.answer], c.policy)).correct


def final_answer(text: str) -> str:
    """What stands between the last answer tags; empty where there are none."""
    answers = _ANSWER.findall(text)
    return answers[-1].strip() if answers else ""


def is_sound(text: str) -> bool:
    """Whether every `a op b = c` of the text holds exactly."""
    return all(_holds(*step) for step in _STEP.findall(text))


def _holds(a: str, operation: str, b: str, c: str) -> bool:
    left, right = Fraction(a), Fraction(b)
    if operation == "/":
        return right != 0 and left / right == Fraction(c)
    return {"+": left + right, "-": left - right, "*": left * right}[operation] == Fraction(c)
