"""The format `qwen_prm`: a head with two classes that is read at the token `<extra_0>` after each step."""

from collections.abc import Sequence

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Tokenizer
from deliberate.verifiers.formats.protocol import MarkedFormat
from deliberate.verifiers.protocol import Problem

MARK = "<extra_0>"


class QwenPrm(MarkedFormat):
    """The conversation in the model's chat template, then the answer with the mark after each step and nothing else.

    "The Lessons of Developing Process Reward Models in Mathematical Reasoning" (Zhang 2025),
    https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B: the softmax over the two classes at the mark, P(class 1).
    """

    name = "qwen_prm"
    architectures = frozenset({"Qwen2ForProcessRewardModel"})

    def check(self, tokenizer: Tokenizer) -> None:
        if len(ids := tokenizer.encode(MARK)) != 1:
            raise InvalidRequest(
                f"Models of the format 'qwen_prm' have a token {MARK!r}; to this one it is {len(ids)} tokens.",
                param="verifier.format",
            )

    def opening(self, tokenizer: Tokenizer, problem: Problem) -> Sequence[int]:
        return tokenizer.apply_chat_template(problem.messages)

    def step(self, tokenizer: Tokenizer, text: str, separator: str) -> Sequence[int]:
        return (*tokenizer.encode(text), *tokenizer.encode(MARK))
