"""Tools as callers offer them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.server.bodies import RequestModel
from deliberate.server.serving import ServedModel
from deliberate.server.validation import not_supported

_INSTEAD = "This server does not call tools: describe them in a message and read the call from the answer."

FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class Function(RequestModel):
    """A function of the caller's."""

    name: FunctionName
    """Letters, digits, `_` and `-`."""
    description: str | None = None
    """When to call it, for the model."""
    parameters: Mapping[str, Any] | None = None
    """JSON schema of its arguments, an object; without one it takes none."""
    strict: bool | None = None
    """Whether arguments must satisfy the schema; for engines that see to it."""


class Tool(RequestModel):
    """Something the model may call."""

    type: Literal["function"]
    function: Function


class NamedFunction(RequestModel):
    """A function by its name."""

    name: FunctionName


class NamedTool(RequestModel):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


ToolChoice = Literal["none", "auto", "required"] | NamedTool


def check_tools(tools: Sequence[Tool], choice: ToolChoice | None, model: ServedModel) -> None:
    """Raises InvalidRequest where the engine offers no tools to its model, or the choice is none of them."""
    asked = {"tools": wire(tools), "tool_choice": choice.model_dump() if isinstance(choice, NamedTool) else choice}
    for param, value in asked.items():
        if value not in ([], None, "none", "auto") and not model.engine.capabilities.tools:
            raise not_supported(param, value, _INSTEAD)
    if choice not in (None, "none", "auto") and not tools:
        raise InvalidRequest(f"tool_choice = {asked['tool_choice']!r} needs tools to choose from.", param="tool_choice")
    names = [tool.function.name for tool in tools]
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        raise UnknownName("tool", choice.function.name, names, param="tool_choice")


def wire(tools: Sequence[Tool]) -> list[Mapping[str, Any]]:
    """As they were sent."""
    return [tool.model_dump(exclude_unset=True) for tool in tools]
