"""Samples by conversation: POST /v1/chat/completions, as vendors offer it. A broken sample begins anew."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import BaseModel

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.openai.addresses import Address
from deliberate.engines.openai.completions import vllm_fields
from deliberate.engines.openai.routing import Path, chat_path
from deliberate.engines.openai.upstream import Upstream
from deliberate.engines.openai.usage import Usage
from deliberate.engines.protocol import Conversation, Delta, Finish, Sampling, StructuredOutput


class _Function(BaseModel, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(BaseModel, frozen=True):
    index: int = 0
    id: str | None = None
    function: _Function = _Function()


class _Message(BaseModel, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """vLLM's name for it."""
    tool_calls: tuple[_ToolCall, ...] | None = None
    refusal: str | None = None


class _Alternative(BaseModel, frozen=True):
    token: str
    logprob: float


class _Token(BaseModel, frozen=True):
    top_logprobs: tuple[_Alternative, ...] = ()


class _Logprobs(BaseModel, frozen=True):
    content: tuple[_Token, ...] | None = None


class _Choice(BaseModel, frozen=True):
    delta: _Message = _Message()
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _Chunk(BaseModel, frozen=True):
    choices: tuple[_Choice, ...]
    usage: Usage | None = None


_TopTexts: TypeAlias = tuple[tuple[tuple[str, float], ...], ...]


@dataclass(slots=True)
class ChatCall:
    """One request for one sample: most servers ignore `n`."""

    conversation: Conversation
    sampling: Sampling
    index: int
    vllm: bool
    """The upstream is a vLLM, asked this way for its tool parser: it knows all fields."""
    path: Path
    tried: set[Upstream] = field(default_factory=set[Upstream])
    usage: Usage | None = None
    restarts: bool = False
    """An earlier request sent something."""
    _answer: "_Answer" = field(default_factory=lambda: _Answer())
    _ended: bool = False

    @classmethod
    def all_of(cls, conversation: Conversation, sampling: Sampling, n: int, *, vllm: bool) -> list["ChatCall"]:
        """The requests to begin with. Raises InvalidRequest for a form of output that the upstream cannot enforce."""
        if not conversation.messages:
            raise InvalidRequest("The conversation is empty; it needs at least one message.", param="messages")
        if not vllm:
            response_format(sampling.structured_output)
        path = chat_path(conversation.messages)
        return [cls(conversation, sampling, i, vllm, path) for i in range(n)]

    @property
    def unfinished(self) -> Sequence[int]:
        return () if self._ended else (self.index,)

    @property
    def prompt_tokens(self) -> int:
        return 0

    def url(self, address: Address) -> str:
        return address.chat

    def body(self) -> Mapping[str, Any]:
        return {
            "messages": [dict(message) for message in self.conversation.messages],
            **_tools_of(self.conversation),
            **self._sampling_fields(),
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    async def read(self, data: bytes) -> Sequence[Delta]:
        chunk = _Chunk.model_validate_json(data)
        self.usage = chunk.usage or self.usage
        told = [(text, choice) for choice in chunk.choices[:1] if (text := self._answer.read(choice))]
        return [self._delta(text, 1, top_texts=_alternatives(choice)) for text, choice in told]

    async def end(self) -> Sequence[Delta]:
        """The sample's end waits for the usage, which comes after it."""
        answer = self._answer
        if answer.finish_reason is None:
            return ()
        self._ended = True
        spent = None if self.usage is None else self.usage.completion_tokens
        correction = 0 if spent is None else spent - answer.pieces
        return [self._delta(answer.rest(), correction, self._finish())]

    async def remaining(self) -> Sequence["ChatCall"]:
        sent = self.restarts or self._answer.pieces > 0
        return [
            ChatCall(self.conversation, self.sampling, self.index, self.vllm, self.path, set(self.tried), restarts=sent)
        ]

    def _sampling_fields(self) -> dict[str, Any]:
        fields = {"seed": self.sampling.seed + self.index}
        if self.sampling.max_tokens is not None:
            fields["max_tokens"] = self.sampling.max_tokens
        return fields | (vllm_fields(self.sampling) if self.vllm else _vendor_fields(self.sampling))

    def _delta(self, text: str, tokens: int, finish: Finish | None = None, top_texts: _TopTexts = ()) -> Delta:
        restart, self.restarts = self.restarts, False
        return Delta(self.index, text, unseen_tokens=tokens, finish=finish, restart=restart, top_texts=top_texts)

    def _finish(self) -> Finish:
        reason, matched = self._answer.finish_reason, self._answer.stop_reason
        prompt_tokens = None if self.usage is None else self.usage.prompt_tokens
        if reason == "content_filter":
            return Finish("error", detail="the upstream's content filter ended it", prompt_tokens=prompt_tokens)
        return Finish("length" if reason == "length" else "stop", matched, prompt_tokens=prompt_tokens)


class _Answer:
    """Puts what a chat API tells apart back into one text, as models write it."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.stop_reason: str | int | None = None
        self.pieces = 0
        """Events that told something; about as many as tokens."""
        self._thinking = False
        self._calls: dict[int, dict[str, str]] = {}

    def read(self, choice: _Choice) -> str:
        """Text of one event."""
        self.finish_reason = choice.finish_reason or self.finish_reason
        self.stop_reason = choice.stop_reason if choice.stop_reason is not None else self.stop_reason
        message = choice.delta
        for call in message.tool_calls or ():
            self._add(call)
        text = self._thought(message.reasoning_content or message.reasoning or "")
        if said := (message.content or message.refusal or ""):
            text += self._end_of_thought() + said
        self.pieces += bool(text)
        return text

    def rest(self) -> str:
        """What follows the last event: the calls, whole."""
        calls = (json.dumps(call, ensure_ascii=False) for _, call in sorted(self._calls.items()))
        return self._end_of_thought() + "".join(f"<tool_call>{call}</tool_call>" for call in calls)

    def _thought(self, text: str) -> str:
        if not text or self._thinking:
            return text
        self._thinking = True
        return "<think>" + text

    def _end_of_thought(self) -> str:
        was_thinking, self._thinking = self._thinking, False
        return "</think>" if was_thinking else ""

    def _add(self, part: _ToolCall) -> None:
        """A call comes in fragments: its id and name once, its arguments piece by piece."""
        call = self._calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
        call["id"] = part.id or call["id"]
        call["name"] = part.function.name or call["name"]
        call["arguments"] += part.function.arguments or ""


def _alternatives(choice: _Choice) -> _TopTexts:
    """Of the event's tokens, where they were asked for and are told."""
    tokens = (choice.logprobs and choice.logprobs.content) or ()
    return tuple(tuple((one.token, one.logprob) for one in token.top_logprobs) for token in tokens)


def response_format(form: StructuredOutput | None) -> dict[str, Any]:
    """OpenAI's field of a request. Raises InvalidRequest for forms that it lacks."""
    if form is None:
        return {}
    if form.json_object:
        return {"response_format": {"type": "json_object"}}
    if form.json_schema is None:
        (name,) = form.model_dump(exclude_none=True)
        raise InvalidRequest(
            f"This model's upstream can enforce json_schema and json_object, not {name}; a vLLM upstream can.",
            param="structured_outputs",
        )
    schema = {"name": "answer", "schema": form.model_dump(mode="json")["json_schema"]}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _tools_of(conversation: Conversation) -> dict[str, Any]:
    if not conversation.tools:
        return {}
    fields = {
        "tools": [dict(tool) for tool in conversation.tools],
        "tool_choice": conversation.tool_choice,
        "parallel_tool_calls": conversation.parallel_tool_calls,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _vendor_fields(sampling: Sampling) -> dict[str, Any]:
    """Fields that some vendors do not know, or refuse beside some models, are left out while they change nothing."""
    optional = {"top_p", "top_k", "min_p", "stop", "stop_token_ids", "logit_bias", "frequency_penalty"}
    chosen = sampling.model_dump(include={*optional, "presence_penalty"}, exclude_defaults=True, mode="json")
    wanted = sampling.top_logprobs
    alternatives = {"logprobs": True, "top_logprobs": wanted} if wanted else {}
    form = response_format(sampling.structured_output)
    return {"temperature": sampling.temperature, **chosen, **alternatives, **form}
