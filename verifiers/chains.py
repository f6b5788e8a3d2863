"""Candidates as a scoring model reads them, the same for every verifier that asks one."""

from collections.abc import Sequence
from dataclasses import dataclass

from deliberate.engines.errors import ContextOverflow, EngineStopped, Overloaded, UpstreamFailed
from deliberate.engines.protocol import Capabilities, Engine, Tokenizer
from deliberate.verifiers.protocol import Candidate, Problem

NO_SCORES = (EngineStopped, Overloaded, UpstreamFailed, ContextOverflow)
"""What a scoring model raises when it has no scores: then nothing is decided."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One candidate's tokens, after its prompt's."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        return self.prompt + self.tokens

    def obstacle(self, capabilities: Capabilities) -> "Undecided | None":
        """Why no model with these capabilities can score it."""
        if not self.tokens:
            return Undecided("the candidate is empty")
        length, context = len(self.ids), capabilities.context_length
        too_long = context is not None and length > context
        return Undecided(f"{length} tokens exceed the scorer's context of {context}") if too_long else None


@dataclass(frozen=True, slots=True)
class Undecided:
    """Why a chain has no scores."""

    reason: str


def same_vocabulary(one: Tokenizer, other: Tokenizer) -> bool:
    """Token ids of one mean the same to the other."""
    return one.fingerprint == other.fingerprint


def read_chains(
    tokenizer: Tokenizer, policy: Engine | None, problem: Problem, candidates: Sequence[Candidate]
) -> list[Chain]:
    """Exact token ids where the scorer's tokenizer shares the policy's vocabulary, re-encoded text elsewhere."""
    shared = policy is not None and same_vocabulary(tokenizer, policy.tokenizer)
    exact = bool(shared and problem.prompt_ids)
    prompt = problem.prompt_ids if exact else tuple(tokenizer.apply_chat_template(problem.messages))
    chains = list[Chain]()
    for candidate in candidates:
        ids = candidate.token_ids if shared else None
        # Texts from outside may hold lone surrogates, which no tokenizer takes.
        text = candidate.text.encode("utf-8", "replace").decode()
        chains.append(Chain(prompt, tuple(tokenizer.encode(text)) if ids is None else ids))
    return chains


class Pieces(dict[int, bytes]):
    """The bytes of each token; none for special tokens, which the text does not show either."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token: int) -> bytes:
        shown = self._tokenizer.decode([token]) != ""
        return self.setdefault(token, self._tokenizer.token_bytes(token) if shown else b"")
