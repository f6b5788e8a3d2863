"""Calls of tools beside the tools that a request offers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from deliberate.verifiers.agentjo.checked import Checked, Unreadable, shown
from deliberate.verifiers.json_document import first_violation
from deliberate.verifiers.protocol import Problem
from deliberate.verifiers.strict_json import NotJson, loads
from deliberate.verifiers.tool_calls import OPEN, ToolCall, canonical_calls, first_block, read_block
from deliberate.verifiers.workers import WorkerPool

MAX_CALLS = 128
_NO_PARAMETERS = {"type": "object", "maxProperties": 0}


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """What a request lets a reply call."""

    problem: Problem
    workers: WorkerPool
    timeout_s: float
    """For the arguments of one call."""

    async def check(self, reply: str) -> Checked:
        """The reply's calls, one by one. Raises Unreadable, TimeoutError, WorkerLost."""
        calls = list(_calls(reply))
        if (complaint := self._misses(calls)) is not None:
            return Checked(0, max(1, len(calls)), complaint)
        complaints = [found for call in calls if (found := await self._complaint(call)) is not None]
        right, of = len(calls) - len(complaints), max(1, len(calls))
        return Checked(right, of, complaints[0] if complaints else None, None if complaints else canonical_calls(reply))

    def _misses(self, calls: list[ToolCall | None]) -> str | None:
        """What is wrong with the calls as a whole."""
        choice = self.problem.tool_choice
        if choice == "none" and calls:
            return "the reply calls a tool, and tool_choice is 'none'"
        if not calls and choice not in (None, "none", "auto"):
            return f"the reply calls no tool, and tool_choice is {shown(choice)}"
        if self.problem.parallel_tool_calls is False and len(calls) > 1:
            return f"the reply makes {len(calls)} calls, and parallel_tool_calls is false"
        return f"the reply makes more than {MAX_CALLS} calls" if len(calls) > MAX_CALLS else None

    async def _complaint(self, call: ToolCall | None) -> str | None:
        if call is None:
            return "a call of a tool is not complete, or is no JSON object with a name and arguments"
        parameters = {_name(tool): _function(tool).get("parameters") for tool in self.problem.tools}
        allowed = _chosen(self.problem.tool_choice) or list(parameters)
        if call.name not in allowed:
            return f"the reply calls {shown(call.name)}, not one of {', '.join(allowed)}"
        try:
            arguments = loads(call.arguments)
        except NotJson as error:
            return f"the arguments of {call.name} are no JSON: {error}"
        if not isinstance(arguments, dict):
            return f"the arguments of {call.name} are no JSON object: {shown(arguments)}"
        violation = await self._violation(parameters.get(call.name) or _NO_PARAMETERS, call)
        return None if violation is None else f"{call.name}: {violation}"

    async def _violation(self, schema: Mapping[str, Any], call: ToolCall) -> str | None:
        try:
            return await self.workers.run(self.timeout_s, first_violation, json.dumps(schema), call.arguments)
        except ValueError as error:
            raise Unreadable(f"the parameters of tool {call.name!r} are no usable JSON Schema: {error}") from error


def _calls(reply: str) -> Iterator[ToolCall | None]:
    """All calls, None for each that cannot be read."""
    while (block := first_block(reply)) is not None:
        yield read_block(reply[slice(*block)])
        reply = reply[block[1] :]
    if OPEN in reply:
        yield None


def _chosen(choice: str | Mapping[str, Any] | None) -> list[str]:
    """The one tool that must be called, where one was named."""
    return [_name(choice)] if isinstance(choice, Mapping) else []


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], tool.get("function") or {})


def _name(tool: Mapping[str, Any]) -> str:
    return str(_function(tool).get("name", ""))
