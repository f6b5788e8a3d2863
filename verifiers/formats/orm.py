"""The format `orm`: sequence classifiers that read a conversation to its end."""

from collections.abc import Sequence

from deliberate.engines.protocol import Engine, Tokenizer
from deliberate.verifiers.chains import plain_text
from deliberate.verifiers.formats.protocol import Format, Layout
from deliberate.verifiers.protocol import Candidate, Problem


class Orm(Format):
    """The conversation with the answer as the assistant's turn, which the chat template closes; its last token is read.

    What TRL's RewardTrainer trains on pairs ("Training language models to follow instructions", Ouyang 2022) and
    https://huggingface.co/Skywork/Skywork-Reward-V2-Qwen3-8B shows. A chain that is not finished is read as if it were.
    """

    name = "orm"
    reads_steps = False

    def lay_out(
        self,
        tokenizer: Tokenizer,
        policy: Engine | None,
        problem: Problem,
        candidates: Sequence[Candidate],
        separator: str,
    ) -> list[Layout]:
        return [_layout(tokenizer, problem, plain_text(candidate)) for candidate in candidates]


def _layout(tokenizer: Tokenizer, problem: Problem, text: str) -> Layout:
    answer = {"role": "assistant", "content": text}
    ids = tokenizer.apply_chat_template((*problem.messages, answer), add_generation_prompt=False)
    return Layout(tuple(ids), (len(ids) - 1,) if text.strip() else (), closed=0)
