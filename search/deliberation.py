"""Running one strategy: match it with its verifier, then yield its events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Prompt, Sampling
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

    `resources.policy` names the engine that samples. Raises InvalidRequest when the strategy lacks a verifier,
    the verifier cannot judge what the strategy needs, or more choices are wanted than candidates sampled.
    """
    assert resources.policy is not None, "a search needs a policy"
    engine = resources.engines[resources.policy]
    config = strategy.verifier_config or default_verifier if strategy.needs is not None else None
    verifier = None if config is None else config.build(resources)
    _check_verifier(strategy, config, verifier)
    if strategy.kind != "none" and choices > strategy.width:
        raise InvalidRequest(
            f"n = {choices} answers were asked of {strategy.width} candidates; "
            f"ask for at most {strategy.width}, or widen the strategy.",
            param="n",
        )
    prompt = Prompt(tuple(engine.tokenizer.apply_chat_template(conversation.messages)), conversation)
    problem = Problem(conversation.messages, prompt.token_ids)
    return Deliberation(strategy, config, Context(problem, prompt, engine, sampling, verifier, choices))


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
