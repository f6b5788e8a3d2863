"""The format `chat`: the conversation as the model's chat template writes it, and the answer as it was sampled."""

from collections.abc import Sequence

from deliberate.engines.protocol import Engine, Tokenizer
from deliberate.verifiers.chains import Chain, Pieces, read_chains
from deliberate.verifiers.formats.protocol import Format, Layout
from deliberate.verifiers.protocol import Candidate, Problem
from deliberate.verifiers.steps import tokens_by_step


class Chat(Format):
    """Nothing is added to the chain, whose exact token ids are read where the model shares the policy's vocabulary.

    The chain as a whole is read at its last token, a step at its last token that is not a special one: its score stays
    the same when the chain goes on or ends.
    """

    name = "chat"

    def lay_out(
        self,
        tokenizer: Tokenizer,
        policy: Engine | None,
        problem: Problem,
        candidates: Sequence[Candidate],
        separator: str,
    ) -> list[Layout]:
        pieces = Pieces(tokenizer)
        chains = read_chains(tokenizer, policy, problem, candidates, separator)
        return [_layout(chain, [pieces[token] for token in chain.tokens], separator) for chain in chains]


def _layout(chain: Chain, spelled: Sequence[bytes], separator: str) -> Layout:
    steps = tokens_by_step(spelled, separator) if chain.tokens else []
    ends = [step.end(spelled) for step in steps]
    closed = sum(1 for step, end in zip(steps, ends, strict=True) if step.closed and end < chain.settled)
    return Layout(chain.ids, tuple(len(chain.prompt) + end for end in ends), closed)
