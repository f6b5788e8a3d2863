"""How often a strategy is right: one strategy over many graded questions."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from math import comb, sqrt
from typing import Any

from deliberate.engines.errors import UnknownName
from deliberate.engines.protocol import Conversation, Message, Sampling
from deliberate.search.deliberation import prepare
from deliberate.search.log import Log
from deliberate.search.strategy import Strategy
from deliberate.search.templating import template_messages
from deliberate.search.transform import PromptTransform
from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict, VerifierConfig


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask, and how to tell a right answer."""

    id: str
    messages: tuple[Message, ...]
    grader: VerifierConfig
    """A reply that it passes is right; no strategy sees it."""
    tools: tuple[Mapping[str, Any], ...] = ()
    hints: Mapping[str, VerifierConfig] = field(default_factory=dict[str, VerifierConfig])
    """Verifiers of this question's own that strategies may ask, by name, such as the tests that its text shows."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question."""

    right: bool
    """The strategy's answer; False also where it could not be graded."""
    candidates_right: tuple[bool, ...]
    """Each candidate that came to an end, in the order of seeds."""
    scores: tuple[float | None, ...]
    """The verifier's, of the same candidates; None where it gave none."""
    tokens: int
    """Generated for all candidates."""
    ungraded: str = ""
    """Why an answer could not be graded; empty where all could."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A strategy's outcomes over all questions."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    """Wall time, with many questions at once."""

    @property
    def accuracy(self) -> float:
        """Share of questions answered right."""
        return sum(o.right for o in self.outcomes) / len(self.outcomes)

    @property
    def standard_error(self) -> float:
        """Of the accuracy, over the choice of questions."""
        return sqrt(self.accuracy * (1 - self.accuracy) / len(self.outcomes))

    @property
    def tokens(self) -> int:
        """Generated in all."""
        return sum(o.tokens for o in self.outcomes)

    def pass_at(self, k: int) -> float:
        """Chance that one of k candidates is right: the unbiased estimate of Chen et al. 2021 (arXiv:2107.03374)."""
        return sum(_pass_at(len(o.candidates_right), sum(o.candidates_right), k) for o in self.outcomes) / len(
            self.outcomes
        )


def _pass_at(n: int, right: int, k: int) -> float:
    k = min(k, n)
    return 1.0 - comb(n - right, k) / comb(n, k) if n else 0.0


async def evaluate(
    strategy: Strategy,
    questions: Sequence[Question],
    resources: Resources,
    sampling: Sampling,
    *,
    transforms: Sequence[PromptTransform] = (),
    default_verifier: VerifierConfig | None = None,
    hint: str | None = None,
    concurrency: int = 16,
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> Evaluation:
    """Ask every question, `concurrency` at a time.

    A question's seed depends on `sampling.seed` and its id alone, so that strategies are compared on the same
    samples. A strategy that names no verifier asks the question's own of the name `hint`, or else the default one.
    `done` hears of each outcome, for progress. Raises UnknownName for a hint that a question lacks.
    """
    turnstile = asyncio.Semaphore(concurrency)
    verifiers = [default_verifier if hint is None else _hint(question, hint) for question in questions]

    async def ask(question: Question, verifier: VerifierConfig | None) -> Outcome:
        seeded = sampling.model_copy(update={"seed": question_seed(sampling.seed, question.id)})
        async with turnstile:
            log = await _search(strategy, question, resources, seeded, transforms, verifier)
        outcome = await _graded(question, log, resources)
        done(outcome)
        return outcome

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(*pair)) for pair in zip(questions, verifiers, strict=True)]
    return Evaluation(tuple(task.result() for task in tasks), time.perf_counter() - start)


def question_seed(seed: int, question: str) -> int:
    """A seed of 48 bits, far from those of other questions and other seeds."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{question}".encode(), digest_size=6).digest())


async def grade(question: Question, replies: Sequence[str], resources: Resources) -> list[Verdict]:
    """What the question's grader says of each reply's whole text."""
    problem = Problem(template_messages(question.messages), tools=question.tools)
    return await build_guarded(question.grader, resources).verify(problem, [Candidate(reply) for reply in replies])


def _hint(question: Question, name: str) -> VerifierConfig:
    if name not in question.hints:
        raise UnknownName("verifier", name, question.hints, param="strategies")
    return question.hints[name]


async def _search(
    strategy: Strategy,
    question: Question,
    resources: Resources,
    sampling: Sampling,
    transforms: Sequence[PromptTransform],
    verifier: VerifierConfig | None,
) -> Log:
    deliberation = prepare(
        strategy,
        Conversation(tuple(question.messages), tuple(question.tools)),
        sampling,
        resources,
        transforms=transforms,
        default_verifier=verifier,
    )
    log = Log()
    async with aclosing(deliberation.events()) as events:
        async for event in events:
            log.add(event)
    return log


async def _graded(question: Question, log: Log, resources: Resources) -> Outcome:
    answer = log.sample(log.chosen.choices[0].index).text
    ended = [(record.sample.text, record.verdict) for record in log.candidates if record.sample is not None]
    verdicts = await grade(question, [answer, *(text for text, _ in ended)], resources)
    right, *candidates_right = [verdict.passed is True for verdict in verdicts]
    return Outcome(
        right=right,
        candidates_right=tuple(candidates_right),
        scores=tuple(None if verdict is None else verdict.score for _, verdict in ended),
        tokens=log.completion_tokens,
        ungraded=next((verdict.reason for verdict in verdicts if verdict.status != "ok"), ""),
    )
