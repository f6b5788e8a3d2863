"""The format `skywork`: a value head that is read at the newline after each step."""

from collections.abc import Sequence

from deliberate.engines.protocol import Tokenizer
from deliberate.verifiers.formats.protocol import MarkedFormat, question
from deliberate.verifiers.protocol import Problem


class Skywork(MarkedFormat):
    """The question and each step on a line; the sigmoid of the value at its newline is a step's score.

    Skywork-o1-Open-PRM (2024), https://github.com/SkyworkAI/skywork-o1-prm-inference, model_utils/io_utils.py. There a
    newline at the end of the answer opens one more step, which is empty and scored; here it does not.
    """

    name = "skywork"
    architectures = frozenset({"Qwen2ForPrmModel"})

    def opening(self, tokenizer: Tokenizer, problem: Problem) -> Sequence[int]:
        return (*tokenizer.beginning_of_sequence, *tokenizer.encode(question(problem) + "\n"))

    def step(self, tokenizer: Tokenizer, text: str, separator: str) -> Sequence[int]:
        return (*tokenizer.encode(text), tokenizer.encode("\n")[-1])
