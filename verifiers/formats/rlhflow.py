"""The format `rlhflow`: language models that answer each step, a turn of the user, with + or -."""

from collections.abc import Sequence

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Message, Tokenizer
from deliberate.verifiers.formats.protocol import PLUS_MINUS, MarkedFormat, question
from deliberate.verifiers.protocol import Problem


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


_BEFORE: tuple[Message, ...] = (_user("?"),)
"""Stands for all earlier turns: the ids that a template gives to the next one do not depend on them."""
_RIGHT: Message = {"role": "assistant", "content": PLUS_MINUS[0]}


class RLHFlow(MarkedFormat):
    """The first turn is `question step`, each later one a step; all earlier ones are answered with +, right or wrong.

    The model is read where its own answer begins, before the +. "RLHF Workflow" (Dong 2024),
    https://github.com/RLHFlow/RLHF-Reward-Modeling, math-rm/prm_evaluate.py: the softmax over the logits of + and -.
    """

    name = "rlhflow"
    marks = PLUS_MINUS

    def check(self, tokenizer: Tokenizer) -> None:
        before, after = tokenizer.apply_chat_template(_BEFORE), tokenizer.apply_chat_template((*_BEFORE, _RIGHT))
        if after[: len(before)] != before:
            raise InvalidRequest(
                "The model's chat template rewrites a turn once it is answered, so that no chain of steps could grow; "
                "models of the format 'rlhflow' have a template that does not.",
                param="verifier.format",
            )

    def first_step(self, tokenizer: Tokenizer, problem: Problem, text: str, separator: str) -> Sequence[int]:
        return tokenizer.apply_chat_template([_user(f"{question(problem)} {text}")])

    def step(self, tokenizer: Tokenizer, text: str, separator: str) -> Sequence[int]:
        before = tokenizer.apply_chat_template(_BEFORE)
        return tokenizer.apply_chat_template((*_BEFORE, _RIGHT, _user(text)))[len(before) :]
