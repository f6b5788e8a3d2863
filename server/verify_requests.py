"""What callers of `/v1/verify` send: texts to be judged, of one problem or of many."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, FiniteFloat, Tag, model_validator

from deliberate.server.bodies import Refusals, RequestBody, RequestModel
from deliberate.server.messages import ChatMessage
from deliberate.server.tools import Tool, ToolChoice
from deliberate.server.validation import malformed
from deliberate.verifiers.protocol import Candidate
from deliberate.verifiers.registry import AnyVerifier
from deliberate.verifiers.tool_calls import CLOSE, OPEN

TokenId = Annotated[int, Field(ge=0)]
ItemId = Annotated[str, Field(max_length=256)] | int


class CalledFunction(RequestModel):
    """What a call of a tool says."""

    name: str
    """Of the tool."""
    arguments: str
    """JSON, as the model wrote it."""


class CalledTool(RequestModel):
    """A call of a tool, as a reply of chat completions holds it."""

    id: str | None = None
    """Accepted; changes nothing."""
    type: Literal["function"] = "function"
    function: CalledFunction

    def text(self) -> str:
        """As models write it."""
        fields = {"name": self.function.name, "arguments": self.function.arguments}
        return f"{OPEN}{json.dumps(fields, ensure_ascii=False)}{CLOSE}"


class CandidateFields(RequestModel):
    """An answer, with what is known of how it was drawn."""

    text: str
    """All that was written."""
    tool_calls: tuple[CalledTool, ...] = ()
    """Calls of tools that a reply holds beside its text."""
    finished: bool = True
    """False of an answer that was cut by length, or goes on."""
    token_ids: list[TokenId] | None = None
    """As the model in question sampled them."""
    logprobs: list[FiniteFloat] | None = None
    """Of each token, in nats."""
    top_logprobs: list[list[tuple[TokenId, FiniteFloat]]] | None = None
    """Of each token, the likeliest in its place as [token id, log-probability]."""

    @model_validator(mode="after")
    def _tokens_fit(self) -> Self:
        told = {"token_ids": self.token_ids, "logprobs": self.logprobs, "top_logprobs": self.top_logprobs}
        sizes = {name: len(values) for name, values in told.items() if values is not None}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{size} {name}" for name, size in sizes.items())
            raise ValueError(f"a candidate has as many of each as it has tokens, not {listed}")
        return self

    def candidate(self) -> Candidate:
        """As verifiers see it."""
        return Candidate(
            "".join([self.text, *(call.text() for call in self.tool_calls)]),
            token_ids=None if self.token_ids is None else tuple(self.token_ids),
            logprobs=None if self.logprobs is None else tuple(self.logprobs),
            top_logprobs=tuple(map(tuple, self.top_logprobs or [])),
            finished=self.finished,
        )


def _form(value: Any) -> str:
    return "object" if isinstance(value, dict | CandidateFields) else "text"


AnyCandidate = Annotated[Annotated[str, Tag("text")] | Annotated[CandidateFields, Tag("object")], Discriminator(_form)]
"""An answer to judge: its text, or an object."""
Messages = Annotated[list[ChatMessage], Field(min_length=1)]
Candidates = Annotated[list[AnyCandidate], Field(min_length=1)]


class VerifyItem(RequestModel):
    """One problem, and answers to it."""

    id: ItemId | None = None
    """Comes back with the verdicts."""
    messages: Messages
    """What was asked."""
    candidates: Candidates
    """The answers to judge."""
    verifier: AnyVerifier | None = None
    """Who judges them; default: the request's `verifier`."""
    tools: list[Tool] | None = None
    """Functions that the answers may call."""
    tool_choice: ToolChoice | None = None
    """Whether an answer must call a tool, and which."""
    parallel_tool_calls: bool | None = None
    """Whether an answer may call several."""


class VerifyRequest(RequestBody):
    """Answers to be judged: to one problem (`messages` and `candidates`) or to many (`items`)."""

    refused: ClassVar[Refusals] = {}

    verifier: AnyVerifier | None = None
    """Who judges: a kind, a config, or a list of configs with weights. With `items`, of those that name none."""
    model: str | None = None
    """The model in question, for verifiers that ask one; default: the first that is served."""
    messages: Messages | None = None
    """What was asked."""
    candidates: Candidates | None = None
    """The answers to judge."""
    tools: list[Tool] | None = None
    """Functions that the answers may call."""
    tool_choice: ToolChoice | None = None
    """Whether an answer must call a tool, and which."""
    parallel_tool_calls: bool | None = None
    """Whether an answer may call several."""
    items: Annotated[list[VerifyItem], Field(min_length=1)] | None = None
    """Many problems at once, in place of one."""

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        alone = {name: getattr(self, name) for name in VerifyItem.model_fields if name not in ("id", "verifier")}
        given = [name for name, value in alone.items() if value is not None]
        if self.items is None:
            for name in ("messages", "candidates"):
                if name not in given:
                    raise malformed(name, "is missing: send messages and candidates, or items")
        elif given:
            raise malformed(given[0], "belongs to one problem: with items it stands in each of them")
        for index, item in enumerate(self.all_items):
            if item.verifier is None:
                place = "verifier" if self.items is None else f"items[{index}].verifier"
                raise malformed(place, "is missing: say who judges, by its kind or its config")
        return self

    @property
    def all_items(self) -> Sequence[VerifyItem]:
        """The problems, each with its verifier."""
        if self.items is not None:
            return [item.model_copy(update={"verifier": item.verifier or self.verifier}) for item in self.items]
        fields: dict[str, Any] = {name: getattr(self, name, None) for name in VerifyItem.model_fields}
        return [VerifyItem.model_construct(**fields)]
