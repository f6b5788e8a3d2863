"""A knock-out among a few: who meets whom, and what the results say of each. N - 1 matches for N entrants."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Result: TypeAlias = Literal["first", "second", "tie", "void"]
"""Who is better; `void` where nobody could say."""


@dataclass(frozen=True, slots=True)
class Match:
    """Two entrants, the one that stays first, and how they met."""

    stays: int
    leaves: int
    round: int
    result: Literal["won", "tie", "void"]


@dataclass(frozen=True, slots=True)
class Knockout:
    """All matches, in the order of their rounds."""

    entrants: int
    matches: tuple[Match, ...]

    def scores(self) -> dict[int, float | None]:
        """Of each entrant, in [0, 1].

        The one that stays to the end has 1, one that lost in round r of R has r / R (from 0), one that left by a tie,
        or for want of a result, what the other one has. None for whom no match was decided; 1/2 for all where every
        match was a tie.
        """
        decided = [match for match in self.matches if match.result != "void"]
        known = {entrant for match in decided for entrant in (match.stays, match.leaves)}
        if all(match.result == "tie" for match in decided):
            return {entrant: 0.5 if entrant in known else None for entrant in range(self.entrants)}
        scores = self._standing()
        return {entrant: scores[entrant] if entrant in known else None for entrant in range(self.entrants)}

    def _standing(self) -> dict[int, float]:
        """From the last match back, so that whoever stays has a score before whoever left."""
        rounds = 1 + self.matches[-1].round
        standing = {self.matches[-1].stays: 1.0}
        for match in reversed(self.matches):
            lost = match.result == "won"
            standing[match.leaves] = match.round / rounds if lost else standing[match.stays]
        return standing


async def knock_out(entrants: int, meet: Callable[[int, int], Awaitable[Result]]) -> Knockout:
    """Let neighbours meet, all of a round at once, until one is left. Of a tie, or a match without a result, the first
    stays; the last of an odd number waits for the next round."""
    matches = list[Match]()
    left = list(range(entrants))
    while len(left) > 1:
        pairs = list(zip(left[::2], left[1::2], strict=False))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_play(meet, pair, matches[-1].round + 1 if matches else 0)) for pair in pairs]
        played = [task.result() for task in tasks]
        matches += played
        left = [match.stays for match in played] + left[2 * len(pairs) :]
    return Knockout(entrants, tuple(matches))


async def _play(meet: Callable[[int, int], Awaitable[Result]], pair: tuple[int, int], number: int) -> Match:
    first, second = pair
    match await meet(first, second):
        case "first":
            return Match(first, second, number, "won")
        case "second":
            return Match(second, first, number, "won")
        case result:
            return Match(first, second, number, result)
