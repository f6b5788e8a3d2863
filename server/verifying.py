"""From problems with answers to verdicts, without a search."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Engine
from deliberate.search.templating import prompt_of, template_messages
from deliberate.server.replies import AttachmentReply, VerdictReply, VerifyUsage
from deliberate.server.tools import NamedTool, wire
from deliberate.server.verify_requests import VerifyItem
from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict, Verifier, VerifierConfig


@dataclass(frozen=True, slots=True)
class Judgement:
    """A problem whose answers can be judged: everything a caller can get wrong has been checked."""

    item: VerifyItem
    config: VerifierConfig
    verifier: Verifier
    problem: Problem
    candidates: Sequence[Candidate]

    async def verdicts(self) -> list[Verdict]:
        """One for each candidate, in order."""
        return await self.verifier.verify(self.problem, self.candidates)


def prepare_judgement(item: VerifyItem, resources: Resources, place: str = "") -> Judgement:
    """Check a problem, before anything is judged. May take long: tokenizers are asked.

    Raises InvalidRequest, naming the field within `place`, such as `items[3]`.
    """
    assert item.verifier is not None, "requests say who judges"
    engine = None if resources.policy is None else resources.engines[resources.policy]
    try:
        candidates = [candidate_of(item, index, engine) for index in range(len(item.candidates))]
        verifier = build_guarded(item.verifier, resources)
        return Judgement(item, item.verifier, verifier, problem_of(item, engine), candidates)
    except InvalidRequest as error:
        if not place:
            raise
        param = f"{place}.{error.param}" if error.param else place
        raise InvalidRequest(f"{param}: {error}", param=param, code=error.code) from error


def problem_of(item: VerifyItem, engine: Engine | None) -> Problem:
    """What was asked, as verifiers see it; `engine` is the policy's, where there is one."""
    choice = item.tool_choice.model_dump() if isinstance(item.tool_choice, NamedTool) else item.tool_choice
    messages = tuple(message.wire() for message in item.messages)
    asked = Conversation(messages, tuple(wire(item.tools or [])), choice, item.parallel_tool_calls)
    ids = () if engine is None else prompt_of(engine, asked).token_ids
    return Problem(template_messages(messages), ids, asked.tools, choice, item.parallel_tool_calls)


def candidate_of(item: VerifyItem, index: int, engine: Engine | None) -> Candidate:
    """One answer, as verifiers see it. Raises InvalidRequest for token ids that the policy does not have."""
    given = item.candidates[index]
    candidate = Candidate(given) if isinstance(given, str) else given.candidate()
    size = None if engine is None else engine.capabilities.vocabulary_size
    largest = max(candidate.token_ids or (0,))
    if size is not None and largest >= size:
        raise InvalidRequest(
            f"The token id {largest} is none of the model's, 0 to {size - 1}.", param=f"candidates[{index}].token_ids"
        )
    return candidate


async def judge_all(judgements: Sequence[Judgement]) -> list[list[Verdict]]:
    """The verdicts on each problem, all at once."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(judgement.verdicts()) for judgement in judgements]
    return [task.result() for task in tasks]


def verdict_replies(verdicts: Sequence[Verdict]) -> list[VerdictReply]:
    """As they are sent."""
    return [
        VerdictReply(
            index=index,
            score=verdict.score,
            passed=verdict.passed,
            status=verdict.status,
            reason=verdict.reason,
            answer=verdict.answer,
            steps=list(verdict.steps),
            attachments=[AttachmentReply(name=one.name, data_url=one.data_url) for one in verdict.attachments],
        )
        for index, verdict in enumerate(verdicts)
    ]


def usage_of(verdicts: Sequence[Sequence[Verdict]], seconds: float) -> VerifyUsage:
    """Of a whole request."""
    statuses = [verdict.status for row in verdicts for verdict in row]
    undecided = sum(status != "ok" for status in statuses)
    return VerifyUsage(verdicts=len(statuses), undecided=undecided, seconds=round(seconds, 4))
