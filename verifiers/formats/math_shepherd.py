"""The format `math_shepherd`: language models that say + or - after the mark ` ки` that closes each step."""

from collections.abc import Sequence

from deliberate.engines.protocol import Tokenizer
from deliberate.verifiers.formats.protocol import PLUS_MINUS, MarkedFormat, question
from deliberate.verifiers.protocol import Problem

MARK = " ки"


class MathShepherd(MarkedFormat):
    """`question step ки` and a line `step ки` for each further step; the model is read at the marks.

    "Math-Shepherd" (Wang 2023), https://huggingface.co/peiyi9979/math-shepherd-mistral-7b-prm: the softmax over the
    logits of + and - at the mark.
    """

    name = "math_shepherd"
    marks = PLUS_MINUS

    def opening(self, tokenizer: Tokenizer, problem: Problem) -> Sequence[int]:
        return tokenizer.beginning_of_sequence

    def first_step(self, tokenizer: Tokenizer, problem: Problem, text: str, separator: str) -> Sequence[int]:
        return tokenizer.encode(f"{question(problem)} {text}{MARK}")

    def step(self, tokenizer: Tokenizer, text: str, separator: str) -> Sequence[int]:
        # Some tokenizers put a token for a blank before every text; in a line that goes on there is none.
        added = len(tokenizer.encode("\n")) - 1
        return tokenizer.encode(f"\n{text}{MARK}")[added:]
