"""What prompt transforms ask the model before a search: one sample after another, told as events."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from deliberate.engines.errors import ContextOverflow, SearchFailed
from deliberate.engines.protocol import Conversation, Prompt, Sample
from deliberate.search.events import Asked, Event, Prompted
from deliberate.search.sampling import STREAM_INTERVAL, draw
from deliberate.search.strategy import Context
from deliberate.search.templating import prompt_of
from deliberate.search.transform import Dialogue, PromptTransform, apply_all


def opening(transforms: Sequence[PromptTransform], conversation: Conversation) -> Conversation:
    """What the model reads first: the transforms' first question, or, where they ask nothing, the prompt itself.

    Raises InvalidRequest for a conversation that they cannot change.
    """
    return _go_on(apply_all(transforms, conversation))[0]


class Preparation:
    """The transforms' dialogue with the model, and the context of the search that follows."""

    def __init__(self, context: Context, transforms: Sequence[PromptTransform], conversation: Conversation) -> None:
        """`context` holds the prompt of `opening`."""
        self.context = context
        """What the strategy works with, once the events are over."""
        self._dialogue = apply_all(transforms, conversation)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Asked for each answer, then Prompted; nothing where nothing is asked.

        Raises SearchFailed when a sample fails, ContextOverflow when a conversation outgrows the context.
        """
        conversation, complete = _go_on(self._dialogue)
        asked = 0
        while not complete:
            sample = await self._answer(conversation, asked)
            yield Asked(asked, sample)
            if sample.finish.reason == "error":
                raise SearchFailed(f"Question {asked} of the prompt transforms failed: {sample.finish.detail}")
            asked += 1
            conversation, complete = _go_on(self._dialogue, sample)
        if asked:
            prompt = await self._prompt(conversation)
            problem = replace(self.context.problem, prompt_ids=prompt.token_ids)
            self.context = replace(self.context, prompt=prompt, problem=problem)
            yield Prompted(len(prompt.token_ids))

    async def _answer(self, conversation: Conversation, number: int) -> Sample:
        """One sample, drawn as the request says; forms and tools are meant for the answer itself."""
        prompt = await self._prompt(replace(conversation, tools=(), tool_choice=None, parallel_tool_calls=None))
        sampling = self.context.sampling
        changes = {"structured_output": None, "top_logprobs": 0, "stream_interval": STREAM_INTERVAL}
        sampling = sampling.model_copy(update=changes | {"seed": sampling.seed + number})
        return await draw(self.context.engine, prompt, sampling)

    async def _prompt(self, conversation: Conversation) -> Prompt:
        engine = self.context.engine
        prompt = await asyncio.to_thread(prompt_of, engine, conversation)
        check_fits(engine.capabilities.context_length, prompt, "prompt")
        return prompt


def check_fits(context_length: int | None, prompt: Prompt, param: str) -> None:
    """Raises ContextOverflow for a prompt that leaves no room for an answer; `param` is what made it."""
    if context_length is not None and len(prompt.token_ids) >= context_length:
        raise ContextOverflow(len(prompt.token_ids), context_length, param=param)


def _go_on(dialogue: Dialogue, answer: Sample | None = None) -> tuple[Conversation, bool]:
    """The dialogue's next conversation, and whether it is its last: the prompt, and no question."""
    try:
        return (next(dialogue) if answer is None else dialogue.send(answer)), False
    except StopIteration as end:
        return end.value, True
