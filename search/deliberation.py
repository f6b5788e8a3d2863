"""Running one strategy: match it with its verifier, then yield its events."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from deliberate.engines.errors import InvalidRequest, SearchFailed, UnknownName
from deliberate.engines.protocol import Conversation, Sampling
from deliberate.search.asking import Preparation, opening
from deliberate.search.budget import Budget, BudgetedEngine, BudgetedVerifier, Limits
from deliberate.search.events import Chosen, Event
from deliberate.search.strategy import Context, Strategy
from deliberate.search.templating import prompt_of, template_messages
from deliberate.search.transform import PromptTransform
from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.protocol import Judges, Problem, Resources, Verifier, VerifierConfig
from deliberate.verifiers.registry import VERIFIERS


@dataclass(frozen=True, slots=True)
class Deliberation:
    """A strategy that is ready to run: everything a caller can get wrong has been checked."""

    strategy: Strategy
    verifier_config: VerifierConfig | None
    """What really judges: the request's verifier or the model's default."""
    context: Context
    conversation: Conversation
    """As the caller sent it."""
    transforms: tuple[PromptTransform, ...] = ()
    """Change the conversation, one after another."""

    async def events(self) -> AsyncGenerator[Event, None]:
        """What the transforms ask, then the search itself; closing the generator stops all its work."""
        preparation = Preparation(self.context, self.transforms, self.conversation)
        async with aclosing(preparation.events()) as events:
            async for event in events:
                yield event
        try:
            async with aclosing(self.strategy.run(preparation.context)) as events:
                async for event in events:
                    yield self._with_limit(event) if isinstance(event, Chosen) else event
        except SearchFailed as error:
            if self.context.budget.ended is None:
                raise
            raise SearchFailed(f"{self.context.budget.describe()}. {error}") from error

    def _with_limit(self, chosen: Chosen) -> Chosen:
        """The choice, saying what ended the search where the budget did."""
        budget = self.context.budget
        if budget.ended is None:
            return chosen
        return replace(chosen, limit=budget.ended, reason=f"{budget.describe()}; {chosen.reason}")


def prepare(
    strategy: Strategy,
    conversation: Conversation,
    sampling: Sampling,
    resources: Resources,
    *,
    transforms: Sequence[PromptTransform] = (),
    limits: Limits | None = None,
    arrived: float | None = None,
    default_verifier: VerifierConfig | None = None,
    choices: int = 1,
) -> Deliberation:
    """Check a request and make its search ready, before any token is generated.

    `resources.policy` names the engine that samples; the deadline counts from `arrived` (by `perf_counter`), or from
    now. Where the transforms ask the model something, the context's prompt is their first question until the search
    runs. Raises UnknownName when the strategy asks a model that is not served, InvalidRequest when an engine cannot do
    what the strategy needs, the strategy lacks a verifier, the verifier cannot judge what the strategy needs, more
    choices are wanted than candidates sampled, or a transform cannot change the conversation.
    """
    assert resources.policy is not None, "a search needs a policy"
    engine = resources.engines[resources.policy]
    for name in (resources.policy, *strategy.models):
        _check_engine(strategy, name, resources)
    _check_sampling(strategy, sampling)
    config = strategy.verifier_config or default_verifier if strategy.needs is not None else None
    verifier = None if config is None else build_guarded(config, resources)
    _check_verifier(strategy, config, verifier)
    if strategy.kind != "none" and choices > strategy.slots:
        raise InvalidRequest(
            f"n = {choices} answers were asked of {strategy.slots} candidates; "
            f"ask for at most {strategy.slots}, or widen the strategy.",
            param="n",
        )
    prompt = prompt_of(engine, opening(transforms, conversation))
    problem = Problem(
        template_messages(conversation.messages),
        prompt.token_ids,
        conversation.tools,
        conversation.tool_choice,
        conversation.parallel_tool_calls,
    )
    budget = Budget(limits, arrived, judges=verifier is not None)
    context = Context(
        problem,
        prompt,
        BudgetedEngine(engine, budget),
        _with_alternatives(sampling, config),
        None if verifier is None else BudgetedVerifier(verifier, budget),
        choices,
        resources.step_separator,
        budget,
        {name: BudgetedEngine(resources.engines[name], budget) for name in strategy.models},
        config,
    )
    return Deliberation(strategy, config, context, conversation, tuple(transforms))


def _with_alternatives(sampling: Sampling, config: VerifierConfig | None) -> Sampling:
    """The request's sampling, with the alternatives per token that the verifier reads."""
    wanted = 0 if config is None else config.top_logprobs
    if wanted <= sampling.top_logprobs:
        return sampling
    return sampling.model_copy(update={"top_logprobs": wanted})


def _check_engine(strategy: Strategy, name: str, resources: Resources) -> None:
    if name not in resources.engines:
        raise UnknownName("model", name, resources.engines, param="strategy")
    if strategy.continues and not resources.engines[name].capabilities.token_ids:
        raise InvalidRequest(
            f"Strategy {strategy.kind!r} extends given beginnings of answers, and the engine of model {name!r} reads "
            "conversations, which it answers as a whole. Use a strategy that draws whole answers.",
            param="strategy",
        )


def _check_sampling(strategy: Strategy, sampling: Sampling) -> None:
    """What holds for a whole answer would begin anew with each piece of one."""
    asked = {
        "response_format": sampling.structured_output,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }
    for param, value in asked.items():
        if strategy.continues and value:
            raise InvalidRequest(
                f"Strategy {strategy.kind!r} draws answers piece by piece, and {param} is for whole answers. "
                "Leave it out, or use a strategy that draws whole answers.",
                param=param,
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
