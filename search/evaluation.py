"""How often a strategy is right: one strategy over many graded questions."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from math import comb, sqrt

from deliberate.engines.protocol import Conversation, Message, Sampling
from deliberate.search.deliberation import prepare
from deliberate.search.log import Log
from deliberate.search.strategy import Strategy
from deliberate.search.transform import PromptTransform
from deliberate.verifiers.protocol import Resources, VerifierConfig


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask, and how to tell a right answer."""

    id: str
    messages: tuple[Message, ...]
    is_right: Callable[[str], bool]
    """Whether a reply's whole text answers it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question."""

    right: bool
    """The strategy's answer."""
    candidates_right: tuple[bool, ...]
    """Each candidate that came to an end, in the order of seeds."""
    scores: tuple[float | None, ...]
    """The verifier's, of the same candidates; None where it gave none."""
    tokens: int
    """Generated for all candidates."""


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
    concurrency: int = 16,
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> Evaluation:
    """Ask every question, `concurrency` at a time.

    A question's seed depends on `sampling.seed` and its id alone, so that strategies are compared on the same
    samples. `done` hears of each outcome, for progress.
    """
    turnstile = asyncio.Semaphore(concurrency)

    async def ask(question: Question) -> Outcome:
        seeded = sampling.model_copy(update={"seed": question_seed(sampling.seed, question.id)})
        async with turnstile:
            outcome = await _ask(strategy, question, resources, seeded, transforms, default_verifier)
        done(outcome)
        return outcome

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(question)) for question in questions]
    return Evaluation(tuple(task.result() for task in tasks), time.perf_counter() - start)


def question_seed(seed: int, question: str) -> int:
    """A seed of 48 bits, far from those of other questions and other seeds."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{question}".encode(), digest_size=6).digest())


async def _ask(
    strategy: Strategy,
    question: Question,
    resources: Resources,
    sampling: Sampling,
    transforms: Sequence[PromptTransform],
    default_verifier: VerifierConfig | None,
) -> Outcome:
    deliberation = prepare(
        strategy,
        Conversation(tuple(question.messages)),
        sampling,
        resources,
        transforms=transforms,
        default_verifier=default_verifier,
    )
    log = Log()
    async with aclosing(deliberation.events()) as events:
        async for event in events:
            log.add(event)
    answer = log.sample(log.chosen.choices[0].index).text
    ended = [(record.sample.text, record.verdict) for record in log.candidates if record.sample is not None]
    return Outcome(
        right=question.is_right(answer),
        candidates_right=tuple(question.is_right(text) for text, _ in ended),
        scores=tuple(None if verdict is None else verdict.score for _, verdict in ended),
        tokens=log.completion_tokens,
    )
