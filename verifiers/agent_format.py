"""The `agent_format` verifier: would the agent that asked be able to go on with this reply?

Of AgentJo's agents: does the reply fill the prompt's JSON or YAML template, and name a function that the agent has?
Of a request with `tools`: are the calls such as the tools can take?
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, FiniteFloat

from deliberate.verifiers.agentjo.checked import Checked, Unreadable, spelled
from deliberate.verifiers.agentjo.checking import check
from deliberate.verifiers.agentjo.prompts import Asked, asked_in
from deliberate.verifiers.offered_tools import OfferedTools
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.thinking import part_of
from deliberate.verifiers.workers import WorkerLost, WorkerPool

MAX_CHARACTERS = 200_000
"""Of a reply."""


class AgentFormat(VerifierConfig, frozen=True):
    """The reply is one that the calling agent can parse, by the agent's own rules.

    What is wanted is read from the request: the template of AgentJo's `strict_json` or `parse_yaml` (keys, types,
    options, and the name of an equipped function where an `Agent` asks for one), or else the request's `tools` (known
    names, arguments that satisfy the tools' schemas, a call where `tool_choice` demands one). Where neither is there,
    nothing can be decided. What stands in `<think>…</think>` before the document does not count.
    """

    one_pass_suffices: ClassVar[bool] = True

    kind: Literal["agent_format"] = "agent_format"
    credit: Literal["share", "all"] = "all"
    """The score of a reply that does not pass: the share of its keys, or calls, that are right; or 0."""
    unvoted: Annotated[tuple[str, ...], Field(max_length=64)] = ("Observation", "Thoughts", "Current Subtask")
    """Keys in which documents may differ and still vote together, in `weighted_vote` and the like."""
    expected: dict[str, Any] | None = None
    """The document that is right, with the types that AgentJo makes of it: one that says something else does not pass.
    Keys of `unvoted` are not compared."""
    timeout_s: Annotated[FiniteFloat, Field(gt=0, le=30)] = 2.0
    """Seconds for one reply, in a process that is killed then."""

    def build(self, resources: Resources) -> "AgentFormatVerifier":
        return AgentFormatVerifier(self, resources.workers)


@dataclass(frozen=True, slots=True)
class AgentFormatVerifier:
    config: AgentFormat
    workers: WorkerPool

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        asked = asked_in(problem.messages)
        if asked is None and not problem.tools:
            return [Verdict.undecided(_NOTHING_ASKED)] * len(candidates)
        if asked is None and self.config.expected is not None:
            return [Verdict.undecided(_NO_DOCUMENT)] * len(candidates)
        return list(await asyncio.gather(*(self._judge(problem, asked, candidate) for candidate in candidates)))

    async def _judge(self, problem: Problem, asked: Asked | None, candidate: Candidate) -> Verdict:
        reply = part_of(candidate.text, "reply")
        if len(reply) > MAX_CHARACTERS:
            return Verdict.undecided(f"the reply has {len(reply)} characters, more than {MAX_CHARACTERS}")
        try:
            if asked is not None:
                found = await self.workers.run(self.config.timeout_s, check, asked, reply, self.config.unvoted)
            else:
                found = await OfferedTools(problem, self.workers, self.config.timeout_s).check(reply)
        except TimeoutError:
            return Verdict.undecided(f"reading the reply took more than {self.config.timeout_s:g} s", "timeout")
        except (Unreadable, WorkerLost, MemoryError, RecursionError) as error:
            return Verdict.undecided(f"not checked: {error or type(error).__name__}")
        return self._verdict(found)

    def _verdict(self, found: Checked) -> Verdict:
        if found.complaint is None and not self._says_another_thing(found):
            return Verdict(1.0, True, reason="as asked", answer=found.answer)
        if found.complaint is None:
            return Verdict(0.0, False, reason="as asked, but not what is expected", answer=found.answer)
        share = found.right / found.of if self.config.credit == "share" and found.of else 0.0
        return Verdict(share, False, reason=found.complaint[:300], answer=found.answer)

    def _says_another_thing(self, found: Checked) -> bool:
        expected = self.config.expected
        return expected is not None and found.answer != spelled(expected, self.config.unvoted)


_NO_DOCUMENT = "the request asks for no document, which `expected` could be compared with"
_NOTHING_ASKED = (
    "the request asks for no format that is known here: it holds no template of AgentJo's strict_json or parse_yaml, "
    "and no tools"
)
