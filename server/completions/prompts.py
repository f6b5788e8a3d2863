"""Prompts as engines take them."""

from collections.abc import Sequence
from dataclasses import dataclass

from deliberate.engines.errors import ContextOverflow, InvalidRequest
from deliberate.engines.protocol import Engine


@dataclass(frozen=True, slots=True)
class ReadPrompt:
    """A prompt of a request."""

    text: str
    token_ids: tuple[int, ...]


def read_prompts(prompts: Sequence[str | tuple[int, ...]], engine: Engine, room: int) -> tuple[ReadPrompt, ...]:
    """Texts as token ids and the other way round.

    Raises InvalidRequest for empty prompts and ids that are no tokens, ContextOverflow for a prompt after which fewer
    than `room` tokens fit.
    """
    return tuple(_read(prompt, f"prompt[{number}]", engine, room) for number, prompt in enumerate(prompts))


def _read(prompt: str | tuple[int, ...], path: str, engine: Engine, room: int) -> ReadPrompt:
    token_ids = tuple(engine.tokenizer.encode(prompt)) if isinstance(prompt, str) else prompt
    if not token_ids:
        raise InvalidRequest(f"{path} is empty; it needs at least one token.", param="prompt")
    length, size = engine.capabilities.context_length, engine.capabilities.vocabulary_size
    if size is not None and max(token_ids) >= size:
        raise InvalidRequest(f"{path} holds token {max(token_ids)}; the model has 0 to {size - 1}.", param="prompt")
    if length is not None and len(token_ids) + room > length:
        raise ContextOverflow(len(token_ids), length, param="prompt")
    return ReadPrompt(prompt if isinstance(prompt, str) else engine.tokenizer.decode(token_ids), token_ids)
