"""Zero-shot chain of thought: ask for the steps, not only for the answer (Kojima et al. 2022, arXiv:2205.11916)."""

from typing import Literal

from deliberate.engines.protocol import Conversation
from deliberate.search.transform import Rewrite, Text, saying, with_messages


class ZeroShotCot(Rewrite, frozen=True):
    """Let the user's last message end in a request for reasoning.

    The paper lets the answer begin with it; a user's message says the same to models that chat, and to servers that
    continue no given beginning. The paper's second prompt, which extracts the answer, has no part here: answers are
    read from the text as it stands.
    """

    kind: Literal["zero_shot_cot"] = "zero_shot_cot"
    text: Text = "Let's think step by step."
    """Follows the user's last message."""

    def rewrite(self, conversation: Conversation) -> Conversation:
        before, question, after = self.last_question(conversation)
        return with_messages(conversation, before, [saying(question, f"{question['content']}\n\n{self.text}")], after)
