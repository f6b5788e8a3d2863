"""The five actions of rStar (Qi et al. 2024, arXiv:2408.06195): ways to go on with an answer, as prompts.

The paper shows the model how each is done; here it is told to, so that any question will do. What the model has written
of the answer stands after each of these prompts as the token ids that it sampled.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from deliberate.engines.protocol import Conversation, Engine, Finish, Sample, Tokenizer
from deliberate.search.nodes import Draft, Node
from deliberate.search.templating import prompt_of
from deliberate.search.transform import saying, with_messages

_NOTHING = Sample("", (), (), Finish("stop"))


class Action(StrEnum):
    """In the paper A1 to A5."""

    STEP = "step"
    REST = "rest"
    SUB_QUESTION = "sub_question"
    """The next simpler question, with its answer."""
    RE_ANSWER = "re_answer"
    """Another answer to it."""
    REPHRASE = "rephrase"
    """The whole question in other words, which all that follows reads too."""


FOLLOWERS: Mapping[Action | None, Sequence[Action]] = {
    None: (Action.STEP, Action.REST, Action.SUB_QUESTION, Action.REPHRASE),
    Action.STEP: (Action.STEP, Action.REST),
    Action.REST: (),
    Action.SUB_QUESTION: (Action.STEP, Action.REST, Action.SUB_QUESTION, Action.RE_ANSWER),
    Action.RE_ANSWER: (Action.STEP, Action.REST, Action.SUB_QUESTION),
    Action.REPHRASE: (Action.STEP, Action.REST, Action.SUB_QUESTION),
}
"""Which action may follow which; None is the question itself."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A question, in token ids as the actions ask it."""

    plain: tuple[int, ...]
    by_parts: tuple[int, ...]
    """To be answered by simpler questions and their answers."""
    rephrase: tuple[int, ...]
    """To be put in other words."""

    @classmethod
    async def of(cls, engine: Engine, asked: Conversation, by_parts: str, rephrase: str) -> "Wording":
        """`by_parts` and `rephrase` are what the user says after the question.

        Raises InvalidRequest when the model's chat template refuses the conversation.
        """

        conversations = [asked, *(_change(asked, _followed_by(more)) for more in (by_parts, rephrase))]
        prompts = await asyncio.to_thread(lambda: [prompt_of(engine, conversation) for conversation in conversations])
        return cls(*(prompt.token_ids for prompt in prompts))


def put_as(asked: Conversation, question: str) -> Conversation:
    """The conversation with its question in these words too.

    The paper's code drops the first words, and what they said of the answer's form with them. Beside them a rephrasing
    that lost a number does no harm (Deng et al. 2023, Rephrase and Respond, arXiv:2311.04205, show both).
    """
    return _change(asked, _followed_by(question))


def draft_of(action: Action, wording: Wording, node: Node, tokenizer: Tokenizer) -> Draft | None:
    """How the action goes on with a chain, but for the seed; None where it cannot."""
    match action:
        case Action.STEP | Action.REST:
            return Draft(action.value, wording.plain, node.chain, 0, whole=action is Action.REST)
        case Action.SUB_QUESTION:
            return Draft(action.value, wording.by_parts, node.chain, 0)
        case Action.RE_ANSWER:
            asked = _up_to_the_question(node, tokenizer)
            return None if asked is None else Draft(action.value, wording.by_parts, asked, 0)
        case Action.REPHRASE:
            return Draft(action.value, wording.rephrase, _NOTHING, 0, whole=True, aside=True)


def _up_to_the_question(node: Node, tokenizer: Tokenizer) -> Sample | None:
    """The chain without what follows the first question mark of its last step; None where nothing does."""
    assert node.parent is not None, "the chain ends with a step"
    chain, start = node.chain, len(node.parent.chain.token_ids)
    pieces = [tokenizer.token_bytes(token) for token in chain.token_ids[start:]]
    length = next((number for number, piece in enumerate(pieces, 1) if b"?" in piece), len(pieces))
    if length == len(pieces):
        return None
    end = start + length
    text = node.parent.chain.text + b"".join(pieces[:length]).decode(errors="ignore")
    return Sample(text, chain.token_ids[:end], chain.logprobs[:end], chain.finish, chain.top_logprobs[:end])


def _followed_by(instruction: str) -> Callable[[str], str]:
    return lambda question: f"{question}\n\n{instruction}"


def _change(asked: Conversation, change: Callable[[str], str]) -> Conversation:
    """With the user's last words changed."""
    messages = asked.messages
    for at in reversed(range(len(messages))):
        if messages[at]["role"] == "user":
            changed = saying(messages[at], change(str(messages[at]["content"])))
            return with_messages(asked, messages[:at], [changed], messages[at + 1 :])
    return with_messages(asked, messages, [{"role": "user", "content": change("").strip()}])
