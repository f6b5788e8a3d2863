"""What AgentJo sends: the messages of `strict_json` (strictjson 6.3) and of an `Agent` that uses it (agentjo 1.1).

Character by character, oddities included: a model that learns them here meets them again when AgentJo asks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deliberate.engines.protocol import Message

MARK = "###"
"""Stands on both sides of a key."""
_ORDER = """
Output in the following json template: ```{template}```
Update values enclosed in <> and remove the <>. \n\
Your response must only be the updated json template beginning with {{ and ending with }}
Ensure the following output keys are present in the json: {keys}"""
_CHOICE = {
    "Observation": "Reflect on what has been done in Subtasks Completed for Assigned Task",
    "Thoughts": "Brainstorm how to complete remainder of Assigned Task only given Observation",
    "Current Subtask": "What to do now in detail with all context provided that can be done by one Equipped Function "
    "for Assigned Task",
    "Equipped Function Name": "Name of Equipped Function to use for Current Subtask",
}
_CHOOSE = """
Based on everything before, provide suitable Observation and Thoughts, and also generate the Current Subtask and the \
corresponding Equipped Function Name to complete a part of Assigned Task.
You are only given the Assigned Task from User with no further inputs. Only focus on the Assigned Task and do not do \
more than required. \n\
End Task if Assigned Task is completed."""
_FILL = """

Current Subtask: ```{subtask}```
Equipped Function Details: ```{function}```
Output suitable values for Inputs to Equipped Function to fulfil Current Subtask
Input fields are: {names}"""
_PARAMETER = re.compile(r"<(\w+): (\w+)>")


@dataclass(frozen=True, slots=True)
class Equipped:
    """A function that an agent has."""

    name: str
    description: str
    """With its parameters in it, such as `Adds <x: int> and <y: int>`."""
    returns: str = "str"
    """Its type."""

    @property
    def parameters(self) -> dict[str, str]:
        """Types by name."""
        return dict(_PARAMETER.findall(self.description))

    def __str__(self) -> str:
        inputs, outputs = list(self.parameters), {"output_1": self.returns} if self.name != END.name else {}
        return f"Description: {self.description}\nInput: {inputs}\nOutput: {outputs}\n"


END = Equipped("end_task", "Passes the final output to the user")
"""Every agent has it, as its first."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where an agent stands."""

    agent: str
    """Its name."""
    purpose: str
    """Its description."""
    task: str
    completed: Mapping[str, Any]
    """What functions gave, by their calls."""

    @property
    def opening(self) -> str:
        return f"You are an agent named {self.agent} with the following description: ```{self.purpose}```\n"

    @property
    def background(self) -> str:
        return f"Assigned Task:```\n{self.task}\n```\nSubtasks Completed: ```{self.completed}```"


def strict_json(system: str, user: str, fields: Mapping[str, str]) -> tuple[Message, ...]:
    """The conversation in which `strict_json` asks for these fields, from keys to descriptions."""
    template = {f"{MARK}{key}{MARK}": f"<{description}>" for key, description in fields.items()}
    order = _ORDER.format(template=template, keys=" ".join(template))
    return ({"role": "system", "content": system + order}, {"role": "user", "content": user})


def choice(turn: Turn, functions: Sequence[Equipped]) -> tuple[Message, ...]:
    """The conversation in which an agent asks for its next function."""
    listed = [f"Name: {function.name}\n{function}" for function in (END, *functions)]
    has = f"You have the following Equipped Functions available:\n```{listed}```\n"
    return strict_json("", f"{turn.opening}{has}{turn.background}{_CHOOSE}", _CHOICE)


def inputs(turn: Turn, subtask: str, function: Equipped) -> tuple[Message, ...]:
    """The conversation in which an agent asks for the inputs of the function that it chose."""
    fields = {name: f"A suitable value, type:  {type_name}" for name, type_name in function.parameters.items()}
    asked = _FILL.format(subtask=subtask, function=function, names=list(fields))
    return strict_json("", f"{turn.opening}{turn.background}{asked}", fields)
