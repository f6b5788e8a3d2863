"""Finds what AgentJo asked for in a conversation: a template, and the functions that an agent has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from deliberate.engines.protocol import Message
from deliberate.verifiers.agentjo import json_template, yaml_template
from deliberate.verifiers.messages import text_of

MAX_CHARACTERS = 200_000
"""Of a template or a list of functions."""

_FUNCTIONS = "You have the following Equipped Functions available:\n```"
_FUNCTIONS_END = "```\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reply must be, as it stands in the prompt; nothing of it is read yet."""

    form: Literal["json", "yaml"]
    template: str
    functions: str | None = None
    """The list of the agent's functions, where the template is for choosing one."""


def asked_in(messages: Sequence[Message]) -> Asked | None:
    """What the conversation asks for; None where no template of AgentJo's is found."""
    texts = [text_of(message) for message in _by_authority(messages)]
    for text in texts:
        for form, begin, end in _marks():
            template = _between(text, begin, end)
            if template is not None and len(template) <= MAX_CHARACTERS:
                return Asked(form, template, _functions(texts))
    return None


def _marks() -> Iterator[tuple[Literal["json", "yaml"], str, str]]:
    yield "json", json_template.BEGIN, json_template.END
    for begin in yaml_template.BEGINNINGS:
        yield "yaml", begin, yaml_template.END


def _by_authority(messages: Sequence[Message]) -> list[Message]:
    """System messages, where AgentJo puts its templates, then the user's, the newest first."""
    system = [m for m in messages if m.get("role") in ("system", "developer")]
    return [*system, *(m for m in reversed(messages) if m.get("role") == "user")]


def _functions(texts: Sequence[str]) -> str | None:
    found = (_between(text, _FUNCTIONS, _FUNCTIONS_END) for text in texts)
    return next((text for text in found if text is not None and len(text) <= MAX_CHARACTERS), None)


def _between(text: str, begin: str, end: str) -> str | None:
    _, found, rest = text.partition(begin)
    inside, ended, _ = rest.partition(end)
    return inside if found and ended else None
