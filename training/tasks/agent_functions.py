"""Calls of functions in the form of AgentJo's `Agent`: which function is next, with which inputs, and when to end.

A problem is one conversation that an agent with `strict_json` as its parser sends: it chooses among its functions,
fills in the inputs of the chosen one, or has called it and should end. `agent_format` grades the function's name or the
inputs, and none of the thoughts around them. The splits are disjoint by construction: by a hash of the functions that
the agent has, and by a hash of the arguments.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from deliberate.training.tasks._agent_functions_text import AGENTS, FUNCTIONS, Request
from deliberate.training.tasks._agentjo_prompts import END, Turn, choice, inputs
from deliberate.training.tasks._division import digest, division
from deliberate.training.tasks._protocol import Problem, Split, stream
from deliberate.training.tasks.agent_json import document

DIFFICULTIES = range(1, 4)
_STAGES = ("choose", "fill", "end")
_STAGE_WEIGHTS = (4, 4, 2)


@dataclass(frozen=True, slots=True)
class Call:
    """What should be called, and among what."""

    request: Request
    arguments: Mapping[str, Any]
    equipped: tuple[Request, ...]
    """All that the agent has, in its order."""
    task: str
    """What the user says."""

    @property
    def split(self) -> Split | None:
        """Where it belongs; None where functions and arguments disagree."""
        return division(functions=[r.function.name for r in self.equipped], arguments=self.arguments.values())

    @property
    def spoken(self) -> str:
        """The call, as agents note it among what they have done."""
        arguments = (f'{k}="{v}"' if isinstance(v, str) else f"{k}={v}" for k, v in self.arguments.items())
        return f"{self.request.function.name}({', '.join(arguments)})"


def calls(split: Split, seed: int, limit: int | None = None) -> Iterator[Call]:
    """Whole tasks for an agent, of any difficulty: the same ones for the same arguments."""
    rng = random.Random(f"agent_functions:calls:{split}:{seed}")
    return islice((_call_of(rng, split, rng.choice(DIFFICULTIES)) for _ in count()), limit)


def _call_of(rng: random.Random, split: Split, parameters: int) -> Call:
    return next(call for call in (_call(rng, parameters) for _ in count()) if call.split == split)


def _call(rng: random.Random, parameters: int) -> Call:
    request = rng.choice([r for r in FUNCTIONS if len(r.function.parameters) == parameters])
    others = rng.sample([r for r in FUNCTIONS if r != request], rng.randint(1, 2))
    equipped = rng.sample([request, *others], len(others) + 1)
    arguments = request.draw(rng)
    return Call(request, arguments, tuple(equipped), request.asked(rng, arguments))


def _problem(rng: random.Random, split: Split, parameters: int) -> Problem:
    call = _call_of(rng, split, parameters)
    stage = rng.choices(_STAGES, _STAGE_WEIGHTS)[0]
    turn = Turn(*rng.choice(AGENTS), call.task, _completed(rng, call) if stage == "end" else {})
    if stage == "fill":
        messages = inputs(turn, call.task, call.request.function)
        expected = reply = dict(call.arguments)
    else:
        function = END if stage == "end" else call.request.function
        messages = choice(turn, [request.function for request in call.equipped])
        expected, reply = {"Equipped Function Name": function.name}, chosen(function.name, call.task)
    return Problem(
        id=f"agent_functions-{digest(str(messages))}",
        messages=messages,
        verifier={"kind": "agent_format", "expected": expected},
        solution=document(reply),
        difficulty=parameters,
        split=split,
    )


def _completed(rng: random.Random, call: Call) -> dict[str, dict[str, Any]]:
    """What the agent has done once the call was made."""
    result = rng.randint(2, 99) if call.request.function.returns == "int" else "Done"
    return {call.spoken: {"output_1": result}}


def chosen(name: str, task: str) -> dict[str, str]:
    """A reply that chooses the function of that name for a task."""
    observed, subtask = ("Done", "End") if name == END.name else ("Nothing done", task)
    return {
        "Observation": observed,
        "Thoughts": f"Use {name}",
        "Current Subtask": subtask,
        "Equipped Function Name": name,
    }


class AgentFunctions:
    """Calls of functions with 1 to 3 parameters, by an agent that has two or three functions."""

    name = "agent_functions"
    difficulties = DIFFICULTIES
    system_prompts = ()

    def problems(
        self, split: Split, seed: int, limit: int | None = None, difficulty: Sequence[int] | None = None
    ) -> Iterator[Problem]:
        return stream(self, _problem, split, seed, limit, difficulty, "parameters")


TASK = AgentFunctions()
