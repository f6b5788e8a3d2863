"""The option `--prompt`: prompt transforms by kind or as JSON."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from deliberate.engines.errors import InvalidRequest

if TYPE_CHECKING:
    from deliberate.search.transform import PromptTransform

_HELP = "Change the prompt first: zero_shot_cot, least_to_most, …, or JSON; several are applied in order."

PromptOption = Annotated[list[str] | None, typer.Option("--prompt", help=_HELP)]


def read_prompt(texts: list[str] | None) -> "tuple[PromptTransform, ...]":
    """The transforms of the option. Raises InvalidRequest."""
    from deliberate.search.prompts.registry import parse_transforms

    return parse_transforms([_read(text.strip()) for text in texts or []], "--prompt")


def _read(text: str) -> object:
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"--prompt is not valid JSON: {error}.", param="--prompt") from error
