"""One chat request on its way: checked and matched with a strategy, then searched for, then answered."""

import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

from deliberate.engines.protocol import Conversation, Sample
from deliberate.search.asking import check_fits
from deliberate.search.budget import Limits
from deliberate.search.deliberation import Deliberation, prepare
from deliberate.search.events import Event
from deliberate.search.strategy import Strategy
from deliberate.server.arrival import Arrival
from deliberate.server.budgets import check_agreement, limits_for, patience_of
from deliberate.server.metrics import MeasuredVerifier, Meter
from deliberate.server.reasoning import starts_inside
from deliberate.server.requests import ChatRequest
from deliberate.server.sampling import draw_seed, sampling_of
from deliberate.server.selection import write_strategy
from deliberate.server.serving import ServedModel
from deliberate.server.state import Server
from deliberate.server.tools import NamedTool, check_tools, wire
from deliberate.server.work import Work

_PROMPT_END_TOKENS = 16
"""An opening `<think>` is looked for in this many last tokens of the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(Work):
    """A chat request that can be served."""

    request: ChatRequest
    deliberation: Deliberation
    seed: int
    caller: int | None
    """Number of the API key that was sent."""
    prompt_end: bytes
    """The last tokens of the prompt, where a template may have opened a chain of thought."""
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")

    @property
    def deliberation_id(self) -> str:
        """Of the search, beside the reply's."""
        return self.id.replace("chatcmpl-", "dlb-")

    @property
    def strategy(self) -> Strategy:
        return self.deliberation.strategy

    @property
    def kind(self) -> str:
        return self.strategy.kind

    @property
    def plain(self) -> bool:
        """Nothing is searched for: the choices are the samples."""
        return self.kind == "none"

    @property
    def choices(self) -> int:
        return self.deliberation.context.choices

    @property
    def slots(self) -> int:
        return slots_of(self.strategy, self.choices)

    @property
    def offers_tools(self) -> bool:
        return bool(self.request.tools)

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        return self.deliberation.context.prompt.token_ids

    @property
    def prompt_tokens(self) -> int:
        """As the engine counted them where nobody else can."""
        return self.log.prompt_tokens or len(self.prompt_ids)

    def thinks_from_start(self, sample: Sample | None = None) -> bool:
        """Whether answers begin within a chain of thought that the prompt opened."""
        return starts_inside(self.prompt_end, "" if sample is None else sample.text)

    def run(self) -> AsyncGenerator[Event, None]:
        return self.deliberation.events()


def slots_of(strategy: Strategy, choices: int) -> int:
    """Candidates that run at once; without a search these are the choices."""
    return choices if strategy.kind == "none" else strategy.slots


def prepare_chat(server: Server, request: ChatRequest, arrival: Arrival) -> Chat:
    """Check a request, before any token is generated.

    Raises InvalidRequest for what the caller must change, EngineStopped when the model is gone.
    """
    model, suffix = server.pool.find(request.model)
    model.check_alive()
    selector = server.selectors[model.name]
    strategy, source = selector.choose(request.strategy, arrival.strategy, suffix, request.reasoning_effort)
    choices = request.n or 1
    server.admission.check_width(slots_of(strategy, choices), "n" if strategy.kind == "none" else source)
    limits = _limits(request, strategy, choices, arrival, server)
    seed = draw_seed() if request.seed is None else request.seed
    deliberation = prepare(
        strategy,
        _conversation(request, model),
        sampling_of(request, model, seed),
        server.pool.resources(model),
        transforms=request.prompt or (),
        limits=limits,
        arrived=arrival.at,
        default_verifier=model.default_verifier,
        choices=choices,
    )
    _check_context(deliberation)
    meter = Meter(server.metrics, model.name, arrival.at)
    return Chat(
        server=server,
        model=model,
        meter=meter,
        request=request,
        deliberation=_measured(deliberation, meter),
        seed=seed,
        caller=arrival.caller,
        prompt_end=_prompt_end(deliberation),
    )


def _limits(request: ChatRequest, strategy: Strategy, choices: int, arrival: Arrival, server: Server) -> Limits:
    if request.budget is not None:
        least = choices if strategy.continues else slots_of(strategy, choices)
        what = f"n = {choices}" if least == choices else repr(write_strategy(strategy))
        check_agreement(request.budget, least, what, request.most_tokens)
    # A stream is kept alive by comments, so its client does not run out of patience.
    patience = None if request.stream else patience_of(arrival.read_timeout)
    return limits_for(request.budget, patience, server.settings)


def _prompt_end(deliberation: Deliberation) -> bytes:
    # Here and not when it is needed: an upstream's tokenizer may be asked over the network.
    context = deliberation.context
    return b"".join(map(context.engine.tokenizer.token_bytes, context.prompt.token_ids[-_PROMPT_END_TOKENS:]))


def _conversation(request: ChatRequest, model: ServedModel) -> Conversation:
    tools, choice = request.tools or [], request.tool_choice
    check_tools(tools, choice, model)
    messages = tuple(message.wire() for message in request.messages)
    if not tools:
        return Conversation(messages)
    named = choice.model_dump() if isinstance(choice, NamedTool) else choice
    return Conversation(messages, tuple(wire(tools)), named, request.parallel_tool_calls)


def _check_context(deliberation: Deliberation) -> None:
    context = deliberation.context
    param = "prompt" if deliberation.transforms else "messages"
    check_fits(context.engine.capabilities.context_length, context.prompt, param)


def _measured(deliberation: Deliberation, meter: Meter) -> Deliberation:
    verifier, config = deliberation.context.verifier, deliberation.verifier_config
    if verifier is None or config is None:
        return deliberation
    measured = MeasuredVerifier(verifier, config.kind, meter)
    return replace(deliberation, context=replace(deliberation.context, verifier=measured))
