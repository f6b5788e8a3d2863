"""Sequential revision: the model sees its earlier attempts, and what a verifier says of them, and is asked to improve.

Snell et al. 2024 (arXiv:2408.03314, section 6) put chains of revisions side by side and let a verifier pick among all
attempts; here the feedback of Self-Refine (Madaan et al. 2023, arXiv:2303.17651) is the verifier's reason: what a
compiler, a prover or an answer check found stands in the next attempt's context, which makes it a repair.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.merging import merged
from deliberate.engines.protocol import Conversation, Message, Prompt, Sample, Sampling
from deliberate.search.budget import was_cut
from deliberate.search.events import Choice, Chosen, Event, Failed, Sampled, Scored
from deliberate.search.ranking import Ballot, ballots, by_score, by_votes
from deliberate.search.sampling import MAX_WIDTH, STREAM_INTERVAL, draw
from deliberate.search.scoring import as_candidate, undecided
from deliberate.search.strategy import Context, Strategy
from deliberate.search.templating import prompt_of
from deliberate.search.transform import Text, with_messages
from deliberate.search.verified import ranked
from deliberate.verifiers.answers import after_reasoning
from deliberate.verifiers.protocol import Judges, Verdict, VerifierConfig
from deliberate.verifiers.registry import AnyVerifier

MAX_ATTEMPTS = 64
"""Most attempts of a chain that a request may ask for."""


class Revise(Strategy, frozen=True):
    """Answer, and answer again better, until the verifier passes an attempt; several chains need not wait for another.

    All attempts are candidates for the answer, those before a revision too: revisions make good answers worse at times.
    What an attempt thought aloud is not shown to the next. An attempt that could not be judged is revised without
    feedback. Where a conversation does not fit the context, it loses its oldest attempts.
    """

    kind: Literal["revise"] = "revise"
    alias: ClassVar[str] = "revise"
    size_fields: ClassVar[tuple[str, ...]] = ("attempts", "chains")
    """`revise-4` makes 4 attempts; `revise-4x2` makes them in each of 2 chains."""

    verifier: AnyVerifier | None = None
    """Judges the attempts; None takes the served model's default verifier."""
    attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] = 4
    """Most answers of a chain, the first one with them."""
    chains: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 1
    """Independent chains, side by side."""
    shown: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] = 4
    """Most earlier attempts that a revision sees: the latest."""
    feedback: Text = "A check of this answer says:"
    """Stands before the verifier's reason."""
    max_feedback: Annotated[int, Field(ge=1, le=100_000)] = 4000
    """Most characters of a reason; a longer one loses its middle."""
    instruction: Text = "Find what is wrong or missing in the answer, then answer the question again, better."
    """Asks for a revision."""
    pick: Literal["score", "weighted_vote"] = "score"
    """The answer: the attempt with the best score, or the answer with the largest sum of scores."""
    min_temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] = 0.6
    """Floor for the request's temperature when there are several chains: at temperature 0 all would be the same."""

    @property
    def needs(self) -> Judges | None:
        return Judges.OUTCOME

    @property
    def slots(self) -> int:
        return self.chains

    @property
    def verifier_config(self) -> VerifierConfig | None:
        return self.verifier

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        events: list[Event] = []
        known: dict[str, Verdict] = {}
        chains = [_Chain(self, context, number, known).events() for number in range(self.chains)]
        async with aclosing(merged(chains)) as stream:
            async for event in stream:
                events.append(event)
                yield event
        candidates = ballots(events)
        scored = [event for event in events if isinstance(event, Scored)]
        choices, fallback = ranked(candidates, scored, self._rank)
        yield Chosen(tuple(choices[: context.choices]), self._why(events, scored), fallback)

    def _rank(self, candidates: Sequence[Ballot], scores: Mapping[int, float]) -> tuple[list[Choice], str | None]:
        return (by_score(candidates, scores), None) if self.pick == "score" else by_votes(candidates, scores)

    def _why(self, events: Sequence[Event], scored: Sequence[Scored]) -> str:
        ended = sum(isinstance(event, Sampled | Failed) for event in events)
        passed = sum(event.verdict.passed is True for event in scored)
        what = f"{passed} of {self.chains} chains passed, after {ended} attempts in all"
        return "; ".join(filter(None, [what, undecided(scored)]))


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An answer that a revision can see."""

    index: int
    sample: Sample
    verdict: Verdict


@dataclass(slots=True)
class _Chain:
    """One attempt after another."""

    options: Revise
    context: Context
    number: int
    known: dict[str, Verdict]
    """What the verifier said of texts, in all chains."""
    attempts: list[_Attempt] = field(default_factory=list[_Attempt])

    async def events(self) -> AsyncGenerator[Event, None]:
        """Sampled and Scored of each attempt, or Failed."""
        for turn in range(self.options.attempts):
            if self.context.budget.ended is not None:
                return
            # By its place, so that what is drawn and how ties are decided does not depend on which chain was faster.
            index = turn * self.options.chains + self.number
            sample, seen = await self._draw(self._sampling(index))
            if sample.finish.reason == "error":
                yield Failed(index, sample.tokens, sample.finish.detail)
                continue
            yield Sampled(index, sample, tuple(attempt.index for attempt in seen))
            if was_cut(sample.finish):
                return
            self.context.budget.admit_candidate()
            verdict = await self._judge(sample, bool(seen))
            yield Scored(index, verdict)
            if verdict.passed:
                return
            self.attempts.append(_Attempt(index, sample, verdict))

    def _sampling(self, index: int) -> Sampling:
        given = self.context.sampling
        floor = self.options.min_temperature if self.options.chains > 1 else 0.0
        changes = {"temperature": max(given.temperature, floor), "seed": given.seed + index}
        return given.model_copy(update=changes | {"stream_interval": STREAM_INTERVAL})

    async def _draw(self, sampling: Sampling) -> tuple[Sample, Sequence[_Attempt]]:
        """The next attempt, and the earlier ones that it has seen: as many as the engine takes."""
        seen = self.attempts[-self.options.shown :]
        while seen:
            try:
                prompt = await asyncio.to_thread(prompt_of, self.context.engine, self._conversation(seen))
                if self._has_room(prompt):
                    return await draw(self.context.engine, prompt, sampling), seen
            except InvalidRequest:
                # Only the engine knows what fits where it counts the tokens itself.
                pass
            seen = seen[1:]
        return await draw(self.context.engine, self.context.prompt, sampling), ()

    def _has_room(self, prompt: Prompt) -> bool:
        """For an answer as long as the longest so far."""
        context = self.context.engine.capabilities.context_length
        longest = max(len(attempt.sample.token_ids) for attempt in self.attempts)
        return context is None or len(prompt.token_ids) + max(1, longest) <= context

    def _conversation(self, seen: Sequence[_Attempt]) -> Conversation:
        asked = self.context.prompt.conversation
        assert asked is not None, "searches begin with a conversation"
        return with_messages(asked, asked.messages, *map(self._turn, seen))

    def _turn(self, attempt: _Attempt) -> list[Message]:
        parts = [self.options.instruction]
        if attempt.verdict.score is not None and attempt.verdict.reason:
            parts = [
                f"{self.options.feedback}\n{_shortened(attempt.verdict.reason, self.options.max_feedback)}",
                *parts,
            ]
        return [
            {"role": "assistant", "content": after_reasoning(attempt.sample.text).strip()},
            {"role": "user", "content": "\n\n".join(parts)},
        ]

    async def _judge(self, sample: Sample, revised: bool) -> Verdict:
        if sample.text not in self.known:
            assert self.context.verifier is not None, "the runner builds a verifier for every strategy that needs one"
            candidate = as_candidate(sample)
            if revised:
                # Its log-probabilities are those of an answer that was seen before; the question alone counts.
                candidate = replace(candidate, logprobs=None)
            (self.known[sample.text],) = await self.context.verifier.verify(self.context.problem, [candidate])
        return self.known[sample.text]


def _shortened(text: str, most: int) -> str:
    """With its beginning and its end, where the errors and their sum stand."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 2]}\n…\n{text[len(text) - most // 2 :]}"
