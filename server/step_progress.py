"""Lines of progress of searches over steps."""

from collections.abc import Iterator
from typing import Any

from deliberate.search.events import Asked, Chosen, Completed, Event, Expanded, Scored
from deliberate.search.outline import Outline
from deliberate.server.progress import Progress, plural


class StepProgress(Progress):
    """Says how deep the tree is, what its steps are worth, and how many chains ended."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._outline = Outline()

    def lines(self, event: Event) -> Iterator[str]:
        self._outline.add(event)
        match event:
            case Expanded(index) | Scored(index) if self._due():
                yield self._depth(self._outline.steps[index].depth)
            case Completed() if self._due():
                yield self._chains()
            case Asked() | Chosen():
                yield from super().lines(event)
            case _:
                pass

    def _depth(self, depth: int) -> str:
        steps = list(self._outline.at_depth(depth))
        scores = [step.score for step in steps if step.score is not None]
        best = f", best {max(scores):.2g}" if scores else ""
        return self._told(f"Depth {depth}: {len(steps)} {plural(len(steps), 'step')}{best}")

    def _chains(self) -> str:
        ended = len(self._log.candidates)
        return self._told(f"{ended} {plural(ended, 'chain')} ended{self._tally()}")
