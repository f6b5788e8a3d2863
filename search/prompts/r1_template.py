"""The template of DeepSeek-R1-Zero (DeepSeek-AI 2025, arXiv:2501.12948, table 1): reason, then answer, in tags."""

from typing import Literal

from deliberate.engines.protocol import Conversation
from deliberate.search.transform import Rewrite, Text, saying, with_messages

_TEXT = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with the answer. "
    "The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, "
    "i.e., <think> reasoning process here </think> <answer> answer here </answer>."
)


class R1Template(Rewrite, frozen=True):
    """Tell the model in the system message to write `<think>…</think> <answer>…</answer>`.

    The paper writes the turns out, `User: … Assistant:`, for a base model; here the model's own chat template does. A
    conversation that begins with a system message keeps it, after the template: many chat templates take only one.
    """

    kind: Literal["r1_template"] = "r1_template"
    text: Text = _TEXT
    """The system message, or its beginning."""

    def rewrite(self, conversation: Conversation) -> Conversation:
        first = conversation.messages[0]
        if first["role"] != "system":
            return with_messages(conversation, [{"role": "system", "content": self.text}], conversation.messages)
        system = saying(first, f"{self.text}\n\n{first['content']}")
        return with_messages(conversation, [system], conversation.messages[1:])
