"""Which completions of a problem are kept where there are more than are wanted."""

from collections.abc import Callable, Mapping, Sequence

from deliberate.training.datasets.deduplication import similarity
from deliberate.training.selection.candidates import Candidate


def chosen(candidates: Sequence[Candidate], most: int | None, by: str) -> list[Candidate]:
    """The wanted ones, in the order in which they were sampled. `by` is `SelectionOptions.choose`."""
    if most is None or len(candidates) <= most:
        return list(candidates)
    kept = _diverse(candidates, most) if by == "diverse" else sorted(candidates, key=_KEYS[by])[:most]
    return [candidate for candidate in candidates if candidate in kept]


_KEYS: Mapping[str, Callable[[Candidate], float]] = {
    "first": lambda candidate: 0,
    "shortest": lambda candidate: len(candidate.text),
    "best": lambda candidate: -(candidate.score or 0.0),
}
"""Those with the smallest are kept; among equals those that were sampled first."""


def _diverse(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """Farthest-first: the first, then again and again the one whose nearest kept neighbour is farthest."""
    kept = [candidates[0]]
    nearest = [similarity(candidate.text, kept[0].text) for candidate in candidates]
    while len(kept) < most:
        taken = {id(candidate) for candidate in kept}
        left = [i for i, candidate in enumerate(candidates) if id(candidate) not in taken]
        kept.append(candidates[min(left, key=nearest.__getitem__)])
        nearest = [
            max(near, similarity(candidate.text, kept[-1].text))
            for near, candidate in zip(nearest, candidates, strict=True)
        ]
    return kept
