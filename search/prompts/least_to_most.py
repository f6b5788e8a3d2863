"""Least-to-most prompting (Zhou et al. 2022, arXiv:2205.10625): simpler questions first, seeing earlier answers."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Message, Sample
from deliberate.search.transform import Dialogue, PromptTransform, Text, saying, with_messages
from deliberate.verifiers.answers import after_reasoning

_LIST_MARK = re.compile(r"[\s*_]*(?:[-•*]|\(?\d{1,3}[.):])\s+")


class LeastToMost(PromptTransform, frozen=True):
    """Have the model split the question, answer its parts one after another, and then see them beside the question.

    The paper shows the model how other questions are split; here it is told to. The parts are asked in one growing
    conversation, whose beginning is read only once. A question that the model does not split is asked as it stands. An
    answer that `max_tokens` cut is taken as far as it came; one that failed ends the search.
    """

    kind: Literal["least_to_most"] = "least_to_most"
    max_questions: Annotated[int, Field(ge=1, le=32)] = 8
    """Most parts that are asked; of more, the first."""
    decompose: Text = (
        "Do not answer yet. Which simpler questions have to be answered first, one after another? "
        "List only these questions, one per line."
    )
    """Follows the question, to have it split."""
    solve: Text = "Answer only this first:"
    """Stands between the question and its first part."""
    conclude: Text = "With these answers, answer the whole question:"
    """Stands before the question when its parts are answered."""

    def apply(self, conversation: Conversation) -> Dialogue:
        before, last, after = self.last_question(conversation)
        if after:
            raise InvalidRequest(
                f"The prompt transform {self.kind!r} splits the question of the last message, and that is of role "
                f"{after[-1]['role']!r}. End with a user's message.",
                param="prompt",
            )
        question = str(last["content"])
        listed = yield with_messages(conversation, before, [saying(last, f"{question}\n\n{self.decompose}")])
        solved = list[Message]()
        for part in sub_questions(listed, question)[: self.max_questions]:
            turn = saying(last, part if solved else f"{question}\n\n{self.solve}\n{part}")
            answer = yield with_messages(conversation, before, solved, [turn])
            if text := after_reasoning(answer.text).strip():
                solved += [turn, {"role": "assistant", "content": text}]
        final = saying(last, f"{self.conclude}\n{question}") if solved else last
        return with_messages(conversation, before, solved, [final])


def sub_questions(listed: Sample, question: str) -> list[str]:
    """The different questions of a list, but for the question itself: its items, and lines that end as questions do."""
    lines = after_reasoning(listed.text).splitlines()
    if listed.finish.reason == "length":
        lines = lines[:-1]  # the last was cut
    return [part for part in dict.fromkeys(_questions(lines)) if part.casefold() != question.strip().casefold()]


def _questions(lines: list[str]) -> Iterator[str]:
    for line in lines:
        item = _LIST_MARK.match(line)
        text = line[item.end() if item else 0 :].strip(" \t*_")
        if text and (item or text.endswith("?")):
            yield text
