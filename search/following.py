"""What strategies share that hear of each step and say at once which chains go on."""

from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from deliberate.search.events import Event
from deliberate.search.stepwise import StepStrategy
from deliberate.search.strategy import Context
from deliberate.search.tree import Tree


class Follower(Protocol):
    """Knows which chains of a tree are extended when."""

    @property
    def tree(self) -> Tree: ...

    @property
    def over(self) -> bool:
        """The search ends, whatever still runs."""
        ...

    def hear(self, event: Event) -> None:
        """Take what happened and extend what can be."""
        ...


class FollowingStrategy(StepStrategy, frozen=True):
    """Start the first steps, hear what comes of each, and choose among the chains that ended."""

    @abstractmethod
    def follow(self, context: Context) -> Follower:
        """Start the first steps."""

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        follower = self.follow(context)
        async with aclosing(follower.tree.events()) as events:
            async for event in events:
                yield event
                follower.hear(event)
                if follower.over:
                    break
        async for event in self.choose(follower.tree):
            yield event
