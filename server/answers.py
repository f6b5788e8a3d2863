"""From a finished search to what the caller reads: choices, usage, and how the answer was found."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass

from deliberate.engines.protocol import Finish, Sample
from deliberate.search.log import CandidateRecord
from deliberate.server.chat import Chat
from deliberate.server.logprobs import ContentTokens, tokens_before
from deliberate.server.reasoning import ReasoningSplitter
from deliberate.server.replies import (
    AssistantMessage,
    CandidateReport,
    ChatCompletion,
    Choice,
    CompletionTokensDetails,
    DeliberationReport,
    FinishReason,
    Logprobs,
    StepsReport,
    Usage,
)
from deliberate.server.tool_calls import Piece, reply_calls, split_calls
from deliberate.server.tracing import traced
from deliberate.verifiers.tool_calls import ToolCall


@dataclass(frozen=True, slots=True)
class Answer:
    """A sample as the caller reads it."""

    reasoning: str
    content: str
    reasoning_tokens: int
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    logprobs: Logprobs | None


def read_answer(chat: Chat, sample: Sample) -> Answer:
    """Split a finished sample."""
    tokenizer = chat.model.engine.tokenizer
    splitter = ReasoningSplitter(chat.thinks_from_start(sample))
    body, rest = splitter.push(sample.text), splitter.flush()
    content_start = splitter.consumed if splitter.content_start is None else splitter.content_start
    logprobs = None
    if chat.request.logprobs:
        tokens = ContentTokens(tokenizer, chat.request.top_logprobs or 0)
        tokens.add(sample.token_ids, sample.logprobs, sample.top_logprobs)
        logprobs = tokens.take(splitter.content_start, splitter.consumed)
    piece = split_calls(body.content + rest.content) if chat.offers_tools else Piece(body.content + rest.content)
    return Answer(
        body.reasoning + rest.reasoning,
        piece.content,
        tokens_before(tokenizer, sample.token_ids, content_start) if content_start else 0,
        piece.calls,
        finish_reason(sample.finish, bool(piece.calls)),
        logprobs,
    )


def finish_reason(finish: Finish, called: bool) -> FinishReason:
    """In OpenAI's words; `called` says whether the answer calls tools."""
    if finish.reason == "length":
        return "length"
    return "tool_calls" if called else "stop"


async def complete(chat: Chat) -> ChatCompletion:
    """Run the search to its end."""
    async with aclosing(traced(chat)) as events:
        async for _ in events:
            pass
    chosen = chat.log.chosen.choices
    return ChatCompletion(
        id=chat.id,
        created=chat.created,
        model=chat.request.model,
        system_fingerprint=chat.fingerprint,
        choices=[_choice(rank, read_answer(chat, chat.log.sample(c.index))) for rank, c in enumerate(chosen)],
        usage=usage(chat),
        deliberation=report(chat),
    )


def _choice(index: int, answer: Answer) -> Choice:
    reasoning = answer.reasoning or None
    message = AssistantMessage(
        content=None if answer.tool_calls and not answer.content else answer.content,
        reasoning_content=reasoning,
        reasoning=reasoning,
        tool_calls=reply_calls(answer.tool_calls) or None,
    )
    return Choice(index=index, message=message, finish_reason=answer.finish_reason, logprobs=answer.logprobs)


def usage(chat: Chat) -> Usage:
    """Every token of every candidate, and the prompt once."""
    shown = [chat.log.sample(choice.index) for choice in chat.log.chosen.choices]
    completion = chat.log.completion_tokens
    content = sum(sample.tokens - read_answer(chat, sample).reasoning_tokens for sample in shown)
    return Usage(
        prompt_tokens=chat.prompt_tokens,
        completion_tokens=completion,
        total_tokens=chat.prompt_tokens + completion,
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=max(0, completion - content)),
    )


def report(chat: Chat) -> DeliberationReport:
    """How the answer was found."""
    config = chat.deliberation.verifier_config
    chosen, steps = chat.log.chosen, chat.log.steps
    ranks = {choice.index: rank for rank, choice in enumerate(chosen.choices)}
    return DeliberationReport(
        id=chat.deliberation_id,
        strategy=chat.strategy.describe(),
        verifier=None if config is None else config.describe(),
        prompt=[transform.describe() for transform in chat.deliberation.transforms],
        seed=chat.seed,
        candidates=[_candidate(record, ranks) for record in chat.log.candidates],
        steps=None if steps is None else StepsReport(**asdict(steps)),
        tokens=chat.log.completion_tokens,
        reason=chosen.reason,
        fallback=chosen.fallback,
        limit=chosen.limit,
        seconds=round(chat.meter.seconds, 4),
        verifier_seconds=round(chat.meter.verifier_seconds, 4),
    )


def _candidate(record: CandidateRecord, ranks: Mapping[int, int]) -> CandidateReport:
    verdict = record.verdict
    return CandidateReport(
        index=record.index,
        status=record.status,
        answer=record.answer,
        text=None if record.sample is None else record.sample.text,
        tokens=record.tokens,
        chosen=ranks.get(record.index),
        score=None if verdict is None else verdict.score,
        passed=None if verdict is None else verdict.passed,
        verdict=None if verdict is None else verdict.status,
        reason=(record.detail or None) if verdict is None else verdict.reason,
        steps=[] if verdict is None else list(verdict.steps),
    )
