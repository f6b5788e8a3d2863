"""A search as a tree in the terminal: the way to the answer bold and green, what was given up dim."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.text import Text
from rich.tree import Tree

from deliberate.search.events import Asked, Event
from deliberate.search.outline import Outline, Step

MOST_SIBLINGS = 6
"""Steps that are shown after the same chain; the others are counted."""
MOST_CANDIDATES = 32
"""The same of whole candidates, which have nothing below them."""
_TEXT_WIDTH = 64


def draw(events: Sequence[Event], title: str) -> Tree:
    """The steps of a search over steps, or the candidates of one over whole answers."""
    tree = Tree(Text(title), guide_style="dim")
    for number, asked in enumerate(event for event in events if isinstance(event, Asked)):
        tree.add(Text(f"question {number}: {_shortened(asked.sample.text)}  {asked.sample.tokens} tokens", "dim"))
    _add_children(tree, Outline(events).root)
    return tree


def _add_children(branch: Tree, step: Step) -> None:
    groups = _alike(step.children)
    most = MOST_SIBLINGS if any(child.children for child in step.children) or step.depth else MOST_CANDIDATES
    shown = sorted(groups, key=lambda group: _interest(group[0]), reverse=True)[:most]
    for child, copies in sorted(shown, key=lambda group: group[0].index):
        _add_children(branch.add(_label(child, copies)), child)
    hidden = sum(copies for _, copies in groups) - sum(copies for _, copies in shown)
    if hidden:
        branch.add(Text(f"… {hidden} more", "dim"))


def _alike(steps: Iterable[Step]) -> list[tuple[Step, int]]:
    """Steps with how often they were drawn: those that say the same are one, unless more than one of them went on."""
    groups: list[tuple[Step, int]] = []
    by_text = sorted(steps, key=lambda step: (step.text, step.fate in ("cancelled", "failed"), step.index))
    for _, same in groupby(by_text, key=lambda step: (step.text, step.fate in ("cancelled", "failed"))):
        first, *others = sorted(same, key=_interest, reverse=True)
        apart = [step for step in others if step.children or step.rank is not None]
        groups += [(first, 1 + len(others) - len(apart)), *((step, 1) for step in apart)]
    return groups


def _interest(step: Step) -> tuple[bool, bool, int, float, int]:
    """What is shown first: the answer's steps, then those that were followed furthest, then the best."""
    return (step.chosen, bool(step.children), step.visits, -1.0 if step.score is None else step.score, -step.index)


def _label(step: Step, copies: int) -> Text:
    label = Text(style=_style(step), no_wrap=True, overflow="ellipsis")
    label.append("" if step.score is None else f"{_score(step.score)}  ")
    label.append(_shortened(step.text) or step.fate)
    label.append("".join(f"  {part}" for part in _details(step, copies)), "" if step.chosen else "dim")
    return label


def _style(step: Step) -> str:
    if step.chosen:
        return "bold green"
    if step.fate == "failed":
        return "red"
    return "dim" if step.pruned or step.fate == "cancelled" else ""


def _details(step: Step, copies: int) -> Iterable[str]:
    if step.rank is not None:
        yield "← the answer" if step.rank == 0 else f"← answer {step.rank}"
    if copies > 1:
        yield f"{copies} times"
    if step.value is not None:
        yield f"{step.visits} {'visit' if step.visits == 1 else 'visits'}, mean {step.value:.2f}"
    if step.answer is not None and _shortened(step.text).endswith("…"):
        yield f"→ {step.answer}"
    yield f"{step.tokens} tokens"
    if step.verdict is not None and step.score is None:
        yield f"not judged: {step.verdict.reason}"
    if step.fate in ("truncated", "pruned") or (step.fate in ("cancelled", "failed") and step.text):
        yield step.fate
    if step.fate == "failed":
        yield step.detail


def _score(score: float) -> str:
    return f"{score:.2f}" if score >= 0.005 or score == 0 else f"{score:.0e}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_WIDTH else line[: _TEXT_WIDTH - 1] + "…"
