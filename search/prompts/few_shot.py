"""Few-shot prompting: answered examples come before the question (Brown et al. 2020, arXiv:2005.14165).

Examples whose answers reason step by step are few-shot chain of thought (Wei et al. 2022, arXiv:2201.11903).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from deliberate.engines.protocol import Conversation, Message
from deliberate.search.transform import Rewrite, Text, with_messages


class Example(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """A question with the answer that it should have."""

    question: Text
    """As a user would ask it."""
    answer: Text
    """As the model should write it, with its reasoning where answers should reason."""

    @property
    def turns(self) -> tuple[Message, Message]:
        """As two messages of a conversation."""
        return {"role": "user", "content": self.question}, {"role": "assistant", "content": self.answer}


class FewShot(Rewrite, frozen=True):
    """Put answered examples, as earlier turns, before the user's last message."""

    kind: Literal["few_shot"] = "few_shot"
    examples: Annotated[tuple[Example, ...], Field(min_length=1)]
    """In the order in which the model reads them."""

    def rewrite(self, conversation: Conversation) -> Conversation:
        before, question, after = self.last_question(conversation)
        turns = [turn for example in self.examples for turn in example.turns]
        return with_messages(conversation, before, turns, [question], after)
