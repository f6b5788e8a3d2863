"""The format `trl`: token classifiers as TRL's PRMTrainer trains them, read at the separator after each step."""

from collections.abc import Sequence

from deliberate.engines.protocol import Tokenizer
from deliberate.verifiers.formats.protocol import MarkedFormat, question
from deliberate.verifiers.protocol import Problem


class Trl(MarkedFormat):
    """The question, then each step with the request's `step_separator` after it, all encoded one by one and joined.

    https://huggingface.co/docs/trl/prm_trainer (`PRMTrainer.tokenize_row`): the softmax over the two classes at the
    separator's last token, P(class 1). TRL's own separator is a newline unless it was trained with another.
    """

    name = "trl"

    def opening(self, tokenizer: Tokenizer, problem: Problem) -> Sequence[int]:
        return (*tokenizer.beginning_of_sequence, *tokenizer.encode(question(problem)))

    def step(self, tokenizer: Tokenizer, text: str, separator: str) -> Sequence[int]:
        return (*tokenizer.encode(text), *tokenizer.encode(separator))
