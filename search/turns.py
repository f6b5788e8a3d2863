"""A tree of actions: what simulations may do after a chain, and where they go next."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from deliberate.search.actions import FOLLOWERS, Action, Wording, draft_of
from deliberate.search.nodes import Draft
from deliberate.search.tree import Tree
from deliberate.search.visits import Branch, uct


@dataclass(slots=True, eq=False)
class Turn(Branch):
    """An action that simulations may take. Its node is the chain before it, until one did."""

    draft: Draft | None = None
    """How it is drawn, but for the seed; None for the question itself."""
    wording: Wording | None = None
    """What it answers; None for the question itself."""
    returned: bool = False
    """A simulation that took it is back."""

    @property
    def action(self) -> Action | None:
        return None if self.draft is None else Action(self.draft.action)

    @property
    def turns(self) -> "list[Turn]":
        """What may follow."""
        return [child for child in self.children if isinstance(child, Turn)]

    @property
    def has_returned_twin(self) -> bool:
        """The same action after the same chain led to the same before."""
        others = self.parent.children if self.parent is not None and not self.is_aside else []
        return any(isinstance(other, Turn) and other.returned and self._is_twin_of(other) for other in others)

    def _is_twin_of(self, other: "Turn") -> bool:
        return other is not self and (other.action, other.node.chain.token_ids) == (
            self.action,
            self.node.chain.token_ids,
        )

    @property
    def is_aside(self) -> bool:
        return self.draft is not None and self.draft.aside

    def offer(self, tree: Tree, wording: Wording, times: Callable[[Action], int]) -> None:
        """What may follow, each action so many times; after a chain's last step but one only all of its rest."""
        last = self.node.depth + 1 >= tree.rules.max_steps
        for action in (Action.REST,) if last else FOLLOWERS[self.action]:
            draft = draft_of(action, wording, self.node, tree.context.engine.tokenizer)
            if draft is not None and _has_room(tree, draft):
                self.children += [Turn(self.node, self, draft=draft, wording=wording) for _ in range(times(action))]

    def next_after(self, chance: Random, exploration: float) -> "Turn | None":
        """Down the tree to an action that nobody took, along those most worth it; of equals by chance."""
        turn = self
        while turn.open and turn.turns:
            worth = {following: uct(following, exploration) for following in turn.turns if following.open}
            best = max(worth.values())
            turn = chance.choice([following for following, value in worth.items() if value == best])
        return turn if turn.open else None


def _has_room(tree: Tree, draft: Draft) -> bool:
    # What the caller asked is drawn in any case, so that the engine says where that alone does not fit.
    length = tree.context.engine.capabilities.context_length
    known = draft.prompt_ids == tree.context.prompt.token_ids
    return known or length is None or len(draft.prompt_ids) + len(draft.chain.token_ids) < length
