"""Candidates as a scoring model reads them, the same for every verifier that asks one."""

from collections.abc import Sequence
from dataclasses import dataclass

from deliberate.engines.errors import (
    ContextOverflow,
    EngineStopped,
    InvalidRequest,
    Overloaded,
    UnknownName,
    UpstreamFailed,
)
from deliberate.engines.protocol import Capabilities, Engine, Tokenizer
from deliberate.verifiers.protocol import Candidate, Problem, Resources
from deliberate.verifiers.steps import before_last_step

NO_SCORES = (EngineStopped, Overloaded, UpstreamFailed, ContextOverflow)
"""What a scoring model raises when it has no scores: then nothing is decided."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One candidate's tokens, after its prompt's."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    settled: int
    """How many of the tokens stay what they are when the chain goes on."""

    @property
    def ids(self) -> tuple[int, ...]:
        return self.prompt + self.tokens

    def obstacle(self, capabilities: Capabilities) -> "Undecided | None":
        """Why no model with these capabilities can score it."""
        return too_long(len(self.ids), capabilities) if self.tokens else Undecided("the candidate is empty")


@dataclass(frozen=True, slots=True)
class Undecided:
    """Why a chain has no scores."""

    reason: str


def too_long(length: int, capabilities: Capabilities) -> Undecided | None:
    """Why a model with these capabilities cannot read so many tokens, if it cannot."""
    context = capabilities.context_length
    if context is None or length <= context:
        return None
    return Undecided(f"{length} tokens exceed the scorer's context of {context}")


def scoring_engine(resources: Resources, name: str, *also: str) -> Engine:
    """A served language model that can score given tokens.

    Raises InvalidRequest, naming the alternatives, `also` among them.
    """
    if name not in resources.engines:
        raise UnknownName("model", name, [*resources.engines, *also], param="verifier.model")
    engine = resources.engines[name]
    if not engine.capabilities.scores:
        able = sorted(other for other, engine in resources.engines.items() if engine.capabilities.scores)
        message = f"The model {name!r} cannot score given tokens; these can: {', '.join(able) or 'none'}."
        raise InvalidRequest(message, param="verifier.model")
    return engine


def same_vocabulary(one: Tokenizer, other: Tokenizer) -> bool:
    """Token ids of one mean the same to the other."""
    return one.fingerprint == other.fingerprint


def read_chains(
    tokenizer: Tokenizer, policy: Engine | None, problem: Problem, candidates: Sequence[Candidate], separator: str
) -> list[Chain]:
    """Exact token ids where the scorer's tokenizer shares the policy's vocabulary, re-encoded text elsewhere."""
    shared = policy is not None and same_vocabulary(tokenizer, policy.tokenizer)
    exact = bool(shared and problem.prompt_ids)
    prompt = problem.prompt_ids if exact else tuple(tokenizer.apply_chat_template(problem.messages))
    chains = list[Chain]()
    for candidate in candidates:
        if shared and candidate.token_ids is not None:
            chains.append(Chain(prompt, candidate.token_ids, len(candidate.token_ids)))
        else:
            chains.append(_encoded(tokenizer, prompt, candidate, separator))
    return chains


def plain_text(candidate: Candidate) -> str:
    """Its text without lone surrogates, which texts from outside may hold and no tokenizer takes."""
    return candidate.text.encode("utf-8", "replace").decode()


def _encoded(tokenizer: Tokenizer, prompt: tuple[int, ...], candidate: Candidate, separator: str) -> Chain:
    """What goes on after a separator may become one token with it: only what a step has followed is settled."""
    text = plain_text(candidate)
    tokens = tuple(tokenizer.encode(text))
    if candidate.finished:
        return Chain(prompt, tokens, len(tokens))
    before = tuple(tokenizer.encode(before_last_step(text, separator)))
    return Chain(prompt, tokens, len(before) if tokens[: len(before)] == before else 0)


class Pieces(dict[int, bytes]):
    """The bytes of each token; none for special tokens, which the text does not show either."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token: int) -> bytes:
        shown = self._tokenizer.decode([token]) != ""
        return self.setdefault(token, self._tokenizer.token_bytes(token) if shown else b"")
