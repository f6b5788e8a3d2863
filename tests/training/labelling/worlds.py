"""Problems whose solutions are chains of tokens, one for each step: 0 is right, anything else is an error."""

import random
from dataclasses import dataclass, field

from deliberate.training.labelling.completions import Completion
from deliberate.training.labelling.solutions import Solution
from deliberate.training.labelling.states import Prefix, States

END = 9


def cut(whole: Completion) -> Solution | None:
    """One step for each token, END apart."""
    steps = [token for token in whole.tokens if token != END]
    if not steps:
        return None
    ends = tuple(range(1, len(steps) + 1))
    return Solution(whole.tokens, tuple(map(str, steps)), ends, whole.right, whole.finished)


def solution(*steps: int, right: bool | None = None, finished: bool = True) -> Solution:
    """A chain that ended; right exactly when all its steps are, unless it is said."""
    tokens = (*steps, END) if finished else steps
    whole = Completion(tokens, not any(steps) if right is None and finished else right, finished)
    found = cut(whole)
    assert found is not None
    return found


@dataclass
class World:
    """A completer that errs in a step with probability `slips`, and never recovers. It counts what it is asked."""

    length: int
    slips: float = 0.0
    undecided: frozenset[Prefix] = frozenset()
    """Prefixes whose completions nobody can judge."""
    lucky: frozenset[Prefix] = frozenset()
    """Prefixes whose completions are right all the same."""
    asked: list[tuple[Prefix, int]] = field(default_factory=list[tuple[Prefix, int]])

    async def complete(self, prefix: Prefix, n: int, seed: int) -> list[Completion]:
        assert n > 0
        self.asked.append((prefix, n))
        return [self._completion(prefix, seed + number) for number in range(n)]

    def _completion(self, prefix: Prefix, seed: int) -> Completion:
        rng = random.Random(f"{prefix}:{seed}")
        rest = [
            (rng.randint(1, 3) if rng.random() < self.slips else 0) for _ in range(max(0, self.length - len(prefix)))
        ]
        right = prefix in self.lucky or not any((*prefix, *rest))
        return Completion((*rest, END), None if prefix in self.undecided else right)

    def states(
        self,
        num_completions: int,
        *,
        until_right: bool = False,
        reuse: bool = True,
        check_right: bool = False,
        budget: int | None = None,
        seed: int = 0,
    ) -> States:
        """What is known of its solutions: nothing yet."""
        return States(
            self,
            cut,
            lambda prefix: random.Random(f"{seed}:{prefix}").randrange(2**32),
            num_completions,
            until_right=until_right,
            reuse=reuse,
            check_right=check_right,
            budget=budget,
        )
