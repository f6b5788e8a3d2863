"""Running one strategy: match it with its verifier, then yield its events."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Engine, Message, Prompt, Sampling
from deliberate.search.events import Event
from deliberate.search.strategy import Context, Strategy
from deliberate.verifiers.protocol import Judges, Problem, Resources, Verifier, VerifierConfig
from deliberate.verifiers.registry import VERIFIERS


@dataclass(frozen=True, slots=True)
class Deliberation:
    """A strategy that is ready to run: everything a caller can get wrong has been checked."""

    strategy: Strategy
    verifier_config: VerifierConfig | None
    """What really judges: the request's verifier or the model's default."""
    context: Context

    async def events(self) -> AsyncGenerator[Event, None]:
        """The search itself; closing the generator stops all its work."""
        async with aclosing(self.strategy.run(self.context)) as events:
            async for event in events:
                yield event


def prepare(
    strategy: Strategy,
    conversation: Conversation,
    sampling: Sampling,
    resources: Resources,
    *,
    default_verifier: VerifierConfig | None = None,
    choices: int = 1,
) -> Deliberation:
    """Check a request and make its search ready, before any token is generated.

    `resources.policy` names the engine that samples. Raises InvalidRequest when the engine cannot do what the strategy
    needs, the strategy lacks a verifier, the verifier cannot judge what the strategy needs, or more choices are wanted
    than candidates sampled.
    """
    assert resources.policy is not None, "a search needs a policy"
    engine = resources.engines[resources.policy]
    _check_engine(strategy, engine, resources.policy)
    config = strategy.verifier_config or default_verifier if strategy.needs is not None else None
    verifier = None if config is None else config.build(resources)
    _check_verifier(strategy, config, verifier)
    if strategy.kind != "none" and choices > strategy.slots:
        raise InvalidRequest(
            f"n = {choices} answers were asked of {strategy.slots} candidates; "
            f"ask for at most {strategy.slots}, or widen the strategy.",
            param="n",
        )
    messages = template_messages(conversation.messages)
    ids = engine.tokenizer.apply_chat_template(messages) if engine.capabilities.token_ids else ()
    prompt = Prompt(tuple(ids), conversation)
    problem = Problem(messages, prompt.token_ids)
    return Deliberation(strategy, config, Context(problem, prompt, engine, sampling, verifier, choices))


def template_messages(messages: Sequence[Message]) -> tuple[Message, ...]:
    """As chat templates and verifiers read them: a content of null, beside calls of tools, is no text."""
    return tuple({**message, "content": message.get("content") or ""} for message in messages)


def _check_engine(strategy: Strategy, engine: Engine, name: str) -> None:
    if strategy.continues and not engine.capabilities.token_ids:
        raise InvalidRequest(
            f"Strategy {strategy.kind!r} extends given beginnings of answers, and the engine of model {name!r} reads "
            "conversations, which it answers as a whole. Use a strategy that draws whole answers.",
            param="strategy",
        )


def _check_verifier(strategy: Strategy, config: VerifierConfig | None, verifier: Verifier | None) -> None:
    if strategy.needs is None:
        return
    if config is None or verifier is None:
        raise InvalidRequest(
            f"Strategy {strategy.kind!r} needs a verifier and this model has no default one; "
            f'add "verifier": {{"kind": ...}} to the strategy, of kind {", ".join(VERIFIERS)}.',
            param="strategy.verifier",
        )
    levels = list(Judges)
    if levels.index(verifier.judges) < levels.index(strategy.needs):
        raise InvalidRequest(
            f"Strategy {strategy.kind!r} needs a verifier that judges {strategy.needs}, "
            f"but {config.kind!r} judges {verifier.judges} only.",
            param="strategy.verifier",
        )
