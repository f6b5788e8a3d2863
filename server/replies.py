"""What the server sends: OpenAI's shapes to the letter, plus `deliberation`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from deliberate.search.budget import Limit


class Reply(BaseModel):
    """Base of everything that is sent."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


FinishReason = Literal["stop", "length", "tool_calls"]


class ErrorBody(Reply):
    """What went wrong."""

    message: str
    """A sentence that names the value at fault and the alternatives."""
    type: str
    param: str | None
    """The field at fault."""
    code: str | None


class ErrorReply(Reply):
    """Every error has this shape."""

    error: ErrorBody


class TopLogprob(Reply):
    """An alternative at one position."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(TopLogprob):
    """One token of the content."""

    top_logprobs: list[TopLogprob]


class Logprobs(Reply):
    """Log-probabilities of the content's tokens under the model itself, in nats."""

    content: list[TokenLogprob]
    refusal: None = None


class ToolCallFunction(Reply):
    """What is called."""

    name: str
    arguments: str
    """JSON, as the model wrote it: it may be wrong."""


class ToolCallReply(Reply):
    """A call of one of the request's tools."""

    id: str
    type: Literal["function"] = "function"
    function: ToolCallFunction


class AssistantMessage(Reply):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    """Null where there are only calls of tools."""
    refusal: None = None
    reasoning_content: str | None = None
    """The chain of thought, where the model wrote one."""
    reasoning: str | None = None
    """The same, under the name that vLLM uses."""
    tool_calls: list[ToolCallReply] | None = None


class Choice(Reply):
    """One answer; the best has index 0."""

    index: int
    message: AssistantMessage
    finish_reason: FinishReason
    logprobs: Logprobs | None


class CompletionTokensDetails(Reply):
    """What the completion tokens were spent on."""

    reasoning_tokens: int
    """Tokens that the content does not show: chains of thought, and candidates that were not chosen."""


class Usage(Reply):
    """Tokens of the request."""

    prompt_tokens: int
    """Counted once, however many candidates there are."""
    completion_tokens: int
    """Of all candidates, whatever became of them, and of what prompt transforms asked before."""
    total_tokens: int
    completion_tokens_details: CompletionTokensDetails


class CandidateReport(Reply):
    """One candidate of the search."""

    index: int
    status: Literal["finished", "truncated", "cancelled", "failed"]
    answer: str | None
    """Its final answer, where one can be read from it."""
    text: str | None
    """All it wrote; null when it was cancelled or failed."""
    tokens: int
    chosen: int | None
    """Index of the choice it became."""
    score: float | None
    """The verifier's score in [0, 1]; null when nobody judged it or nothing could be decided."""
    passed: bool | None
    verdict: Literal["ok", "unavailable", "timeout"] | None
    """Whether the verifier could decide; null when it was not asked."""
    reason: str | None
    """What the verifier says, or why the candidate failed."""
    steps: list[float]
    """Scores of the steps, from verifiers that judge steps."""


class StepsReport(Reply):
    """The steps of a search over steps."""

    drawn: int
    pruned: int
    """Chains that were not followed any further."""
    cancelled: int
    """Stopped before their end."""
    failed: int


class DeliberationReport(Reply):
    """How the answer was found."""

    id: str
    strategy: dict[str, Any]
    """What ran, as a request would write it."""
    verifier: dict[str, Any] | None
    """What judged, as a request would write it."""
    prompt: list[dict[str, Any]]
    """The prompt transforms, in order, as a request would write them."""
    seed: int
    """Send it as `seed` to get the same answer again."""
    candidates: list[CandidateReport]
    """Whole answers; of a search over steps the chains that ended."""
    steps: StepsReport | None
    """Null of searches over whole answers."""
    tokens: int
    """Of all candidates and steps, and of what prompt transforms asked before."""
    reason: str
    """Why the search ended."""
    fallback: str | None
    """Set when the strategy could not do what it was asked to; says what it did instead."""
    limit: Limit | None
    """The limit of the budget that ended the search, where one did."""
    seconds: float
    verifier_seconds: float


class ChatCompletion(Reply):
    """OpenAI's `chat.completion`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: Usage
    deliberation: DeliberationReport


class DeliberationTrace(Reply):
    """All that a search has said, in order."""

    id: str
    object: Literal["deliberation"] = "deliberation"
    created: int
    model: str
    strategy: dict[str, Any]
    """What ran, as a request would write it."""
    verifier: dict[str, Any] | None
    """What judged, as a request would write it."""
    prompt: list[dict[str, Any]]
    """The prompt transforms, in order, as a request would write them."""
    seed: int
    prompt_tokens: int
    seconds: float
    """From the request's arrival to the end of the search."""
    error: str | None
    """Why there is no answer; the events then are those until it came to that."""
    events: list[dict[str, Any]]
    """Each with its `kind`, and `at`, the seconds since the search began."""


class ToolCallDelta(ToolCallReply):
    """A call, whole."""

    index: int
    """Counts the choice's calls."""


class ChunkDelta(Reply):
    """New text. Keys that say nothing are left out."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class ChunkChoice(Reply):
    """One choice's part of a chunk."""

    index: int
    delta: ChunkDelta
    logprobs: Logprobs | None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(Reply):
    """OpenAI's `chat.completion.chunk`; the last one carries `deliberation`."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    deliberation: DeliberationReport | None = None

    def data(self, with_usage: bool) -> str:
        """As sent: absent keys left out, except those OpenAI sends as null."""
        fields = self.model_dump(exclude={"choices", "usage", "deliberation"})
        fields["choices"] = [
            choice.model_dump() | {"delta": choice.delta.model_dump(exclude_none=True)} for choice in self.choices
        ]
        if with_usage:
            fields["usage"] = None if self.usage is None else self.usage.model_dump()
        if self.deliberation is not None:
            fields["deliberation"] = self.deliberation.model_dump()
        return to_json(fields).decode()


class ModelCard(Reply):
    """One served model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "deliberate"
    root: str
    """What the model was loaded from; its name where that is not known."""
    parent: str | None = None
    max_model_len: int | None
    """Prompt and answer together, in tokens; null where the engine does not tell."""
    strategy: dict[str, Any] | None = None
    """What a name with a suffix runs."""


class ModelList(Reply):
    """The served models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class AttachmentReply(Reply):
    """Something to look at, such as a screenshot."""

    name: str
    data_url: str
    """`data:image/jpeg;base64,…`"""


class VerdictReply(Reply):
    """A verifier's word on one candidate."""

    index: int
    score: float | None
    """In [0, 1]; null when nothing could be decided, which is no score of 0."""
    passed: bool | None
    """Of verifiers that accept or reject."""
    status: Literal["ok", "unavailable", "timeout"]
    reason: str
    """What was found, or why nothing could be decided."""
    answer: str | None
    """What the candidate answers, in one spelling, where the verifier knows better than the text shows."""
    steps: list[float]
    attachments: list[AttachmentReply]
    """What else there is to see of it."""


class VerifyUsage(Reply):
    """What a request for verdicts took."""

    verdicts: int
    undecided: int
    """Verdicts that are none: their status is not `ok`."""
    seconds: float
    """From the request's arrival."""


class VerdictList(Reply):
    """One verdict per candidate, in order."""

    object: Literal["list"] = "list"
    verifier: dict[str, Any]
    data: list[VerdictReply]
    usage: VerifyUsage


class VerdictGroup(Reply):
    """The verdicts on the answers to one problem, in order."""

    index: int
    id: str | int | None
    """As it was sent."""
    verifier: dict[str, Any]
    verdicts: list[VerdictReply]


class VerdictGroups(Reply):
    """The verdicts on many problems, in order."""

    object: Literal["list"] = "list"
    data: list[VerdictGroup]
    usage: VerifyUsage


class Tokens(Reply):
    """Text as token ids."""

    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: list[str]


class DetokenizedText(Reply):
    """Token ids as text."""

    prompt: str


class Health(Reply):
    """The server is well."""

    status: Literal["ok"] = "ok"


class Version(Reply):
    """What runs."""

    version: str
