"""Searching after prompt transforms on scripted replies, for tests."""

from contextlib import aclosing
from typing import Any

from deliberate.engines.protocol import Conversation, Message, Sampling
from deliberate.engines.scripted import ScriptedEngine
from deliberate.search.deliberation import Deliberation, prepare
from deliberate.search.log import Log
from deliberate.search.prompts.registry import parse_transforms
from deliberate.search.registry import parse_strategy
from deliberate.verifiers.protocol import Resources, VerifierConfig
from deliberate.verifiers.workers import WorkerPool

QUESTION: Message = {"role": "user", "content": "How many?"}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def prepared(
    engine: ScriptedEngine,
    prompt: Any,
    *messages: Message,
    strategy: str = "none",
    sampling: Sampling | None = None,
    verifier: VerifierConfig | None = None,
) -> Deliberation:
    """A search with the transforms of a request's `prompt`; without messages it asks QUESTION."""
    return prepare(
        parse_strategy(strategy),
        Conversation(messages or (QUESTION,)),
        sampling or Sampling(),
        Resources(WorkerPool(), {"policy": engine}, policy="policy"),
        transforms=parse_transforms(prompt),
        default_verifier=verifier,
    )


async def search(deliberation: Deliberation) -> Log:
    """Its whole log."""
    log = Log()
    async with aclosing(deliberation.events()) as events:
        async for event in events:
            log.add(event)
    return log


def read(engine: ScriptedEngine) -> list[tuple[Message, ...]]:
    """The conversations that the engine was asked to continue, each also as it reads in token ids."""
    conversations = [call.conversation.messages for call in engine.calls if call.conversation is not None]
    if engine.capabilities.token_ids:
        ids = [engine.tokenizer.apply_chat_template(messages) for messages in conversations]
        assert ids == [list(call.prompt_ids) for call in engine.calls]
    return conversations
