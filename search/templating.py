"""From a conversation to what an engine continues."""

from collections.abc import Sequence

from deliberate.engines.protocol import Conversation, Engine, Message, Prompt


def prompt_of(engine: Engine, conversation: Conversation) -> Prompt:
    """The conversation as the engine takes it. May take long: an upstream's tokenizer is asked over the network.

    Raises InvalidRequest when the model's chat template refuses the conversation.
    """
    if not engine.capabilities.token_ids:
        return Prompt((), conversation)
    return Prompt(tuple(engine.tokenizer.apply_chat_template(template_messages(conversation.messages))), conversation)


def template_messages(messages: Sequence[Message]) -> tuple[Message, ...]:
    """As chat templates and verifiers read them: a content of null, beside calls of tools, is no text."""
    return tuple({**message, "content": message.get("content") or ""} for message in messages)
