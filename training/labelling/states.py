"""What is known of the beginnings of one problem's solutions, each of which is completed at most once."""

from collections.abc import Callable
from dataclasses import dataclass, field

from deliberate.training.labelling.completions import Completer, Completion, Estimate
from deliberate.training.labelling.solutions import Cut, Solution

Prefix = tuple[int, ...]


@dataclass(slots=True)
class States:
    """Draws completions, remembers them, and counts what they cost."""

    completer: Completer
    cut: Cut
    seed: Callable[[Prefix], int]
    """Of the completions of a prefix."""
    num_completions: int
    """Drawn from each state."""
    until_right: bool = False
    """Stop at the first right one, which settles the hard label."""
    reuse: bool = True
    """A state through which a right solution is seen to pass is right, without completions of its own."""
    check_right: bool = False
    """A right answer does not vouch for the steps of its solution."""
    budget: int | None = None
    """Most completions in all; None sets no bound."""
    completions: int = 0
    """Drawn so far."""
    tokens: int = 0
    """In them."""
    drawn: dict[Prefix, list[Completion]] = field(default_factory=dict[Prefix, list[Completion]])
    _reached: set[Prefix] = field(default_factory=set[Prefix])

    @property
    def exhausted(self) -> bool:
        """The budget does not allow another state."""
        return self.budget is not None and self.completions + self.num_completions > self.budget

    async def complete(self, prefix: Prefix, most: int | None = None) -> list[Completion] | None:
        """Those of the state, or `most` of them; None where the budget does not allow them any more."""
        if prefix not in self.drawn:
            wanted = self.num_completions if most is None else min(most, self.num_completions)
            if self.budget is not None and self.completions + wanted > self.budget:
                return None
            self.drawn[prefix] = await self._draw(prefix, wanted)
        return self.drawn[prefix]

    async def is_right(self, prefix: Prefix) -> bool | None:
        """Whether the right answer can be reached from there; None where that could not be decided."""
        if prefix in self._reached:
            return True
        completions = await self.complete(prefix)
        return None if completions is None else Estimate.of(completions).reachable

    def estimate(self, prefix: Prefix) -> Estimate | None:
        """What its completions showed; None where they were not drawn."""
        return Estimate.of(self.drawn[prefix]) if prefix in self.drawn else None

    def share(self, prefix: Prefix) -> float | None:
        """The soft label. None where not all completions were drawn: those up to the first right one are no sample."""
        estimate = None if self.until_right else self.estimate(prefix)
        return None if estimate is None else estimate.share

    def add(self, solution: Solution) -> None:
        """Learn from a solution that was seen: a right one can be reached from all of its beginnings."""
        if solution.right:
            whole = self.reuse and not self.check_right
            self._reached.update(((), *solution.prefixes) if whole else ((),))

    def reached(self, solution: Solution) -> int:
        """Most steps of the solution that are known to be right."""
        steps = range(len(solution.steps), 0, -1)
        return next((count for count in steps if solution.prefix(count) in self._reached), 0)

    async def _draw(self, prefix: Prefix, most: int) -> list[Completion]:
        found = list[Completion]()
        while (wanted := self._wave(found, most)) > 0:
            new = await self.completer.complete(prefix, wanted, self.seed(prefix) + len(found))
            self.completions += len(new)
            self.tokens += sum(len(completion.tokens) for completion in new)
            found += new
            for completion in new:
                self._learn(prefix, completion)
        return found

    def _wave(self, found: list[Completion], most: int) -> int:
        """How many to draw at once: all, or as many again as there are."""
        left = most - len(found)
        if not self.until_right:
            return left
        return 0 if any(completion.right for completion in found) else min(left, max(1, len(found)))

    def _learn(self, prefix: Prefix, completion: Completion) -> None:
        if not completion.right:
            return
        self._reached.add(prefix)
        if self.reuse and (whole := joined(prefix, completion, self.cut)) is not None:
            self._reached.update(whole.prefixes)


def joined(prefix: Prefix, completion: Completion, cut: Cut) -> Solution | None:
    """The solution that a completion makes of its prefix."""
    return cut(Completion(prefix + completion.tokens, completion.right, completion.finished))
