"""What a prompt transform is: a frozen config from the request that changes the conversation before a search."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, Field

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Message, Sample

Dialogue = Generator[Conversation, Sample, Conversation]
"""Yields conversations that the model is to answer, is sent its answers, returns the conversation to search with."""

Text = Annotated[str, Field(pattern=r"\S")]
"""A text that says something."""


class PromptTransform(BaseModel, ABC, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Base of all prompt transforms. `kind` is the name in requests; every other field is an option."""

    kind: str

    @abstractmethod
    def apply(self, conversation: Conversation) -> Dialogue:
        """The conversation, changed with the model's help; the dialogue ends with the conversation it leads to.

        Raises InvalidRequest, before it asks anything, for a conversation that it cannot change.
        """

    def describe(self) -> dict[str, Any]:
        """The config as a request would write it, without defaults."""
        return {"kind": self.kind, **self.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})}

    def last_question(self, conversation: Conversation) -> tuple[Sequence[Message], Message, Sequence[Message]]:
        """The last message of a user, between those before and after it."""
        messages = conversation.messages
        for at in reversed(range(len(messages))):
            if messages[at]["role"] == "user":
                return messages[:at], messages[at], messages[at + 1 :]
        raise InvalidRequest(
            f"The prompt transform {self.kind!r} changes what the user asks, and no message is of role 'user'.",
            param="prompt",
        )


class Rewrite(PromptTransform, frozen=True):
    """A transform that asks the model nothing."""

    @abstractmethod
    def rewrite(self, conversation: Conversation) -> Conversation:
        """The changed conversation."""

    def apply(self, conversation: Conversation) -> Dialogue:
        yield from ()
        return self.rewrite(conversation)


def apply_all(transforms: Sequence[PromptTransform], conversation: Conversation) -> Dialogue:
    """One transform after another, each on what the one before it made."""
    for transform in transforms:
        conversation = yield from transform.apply(conversation)
    return conversation


def with_messages(conversation: Conversation, *parts: Sequence[Message]) -> Conversation:
    """The conversation with these messages in place of its own."""
    return replace(conversation, messages=tuple(message for part in parts for message in part))


def saying(message: Message, text: str) -> Mapping[str, Any]:
    """The message with this text in place of its own."""
    return {**message, "content": text}
