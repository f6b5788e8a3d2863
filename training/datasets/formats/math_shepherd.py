"""Math-Shepherd (Wang et al. 2023, arXiv:2312.08935): steps labelled by whether the right answer follows from them.

`input` is the problem and its steps, each ended by the mark `ки`; `label` is the same with `+` or `-` in place of the
marks. Some of the published problems have a mark within, which is left out with its label.
"""

import re
from collections.abc import Iterator

from deliberate.training.datasets.formats._judging import user
from deliberate.training.datasets.records import Record
from deliberate.training.datasets.rows import StepwiseRow
from deliberate.training.json_lines import BadLine

MARK = "ки"
_FIRST = re.compile("step 1:", re.IGNORECASE)
_LABELS = {"+": 1.0, "-": 0.0}


class MathShepherd:
    """math-shepherd.jsonl, and peiyi9979/Math-Shepherd on the Hub. Steps keep their `Step 1:`."""

    name = "math_shepherd"

    def rows(self, record: Record) -> Iterator[StepwiseRow]:
        *pieces, rest = record.text("input").split(MARK)
        if not pieces:
            raise BadLine(f"has an 'input' without the step mark {MARK!r}; end each step with it")
        if rest.strip():
            raise BadLine(f"has an 'input' that goes on after its last step mark: {rest.strip()[:40]!r}; end it there")
        labels = tuple(_labels(record.text("label"), pieces))
        problem, *steps = _problem_and_steps(pieces)
        yield StepwiseRow(
            id=record.key,
            place=record.place,
            prompt=user(problem),
            steps=tuple(steps),
            labels=labels[len(labels) - len(steps) :],
        )


def _problem_and_steps(pieces: list[str]) -> Iterator[str]:
    """The text up to `Step 1:`, and then what each mark ends, without the marks within the problem."""
    first = next((number for number, piece in enumerate(pieces) if _FIRST.search(piece)), None)
    if first is None:
        raise BadLine("has no 'Step 1:' between the problem and its first step mark; add it")
    head = "".join(pieces[: first + 1])
    problem = _FIRST.split(head, maxsplit=1)[0]
    if not problem.strip():
        raise BadLine("has an 'input' without a problem before 'Step 1:'; add it")
    yield problem.strip()
    for number, step in enumerate((head[len(problem) :], *pieces[first + 1 :]), 1):
        if not step.strip():
            raise BadLine(f"has an empty step {number}; leave one of the marks {MARK!r} out")
        yield step.strip()


def _labels(label: str, pieces: list[str]) -> Iterator[float]:
    """What stands in place of each mark."""
    position = 0
    for number, piece in enumerate(pieces, 1):
        mark = position + len(piece)
        if not label.startswith(piece, position) or label[mark : mark + 1] not in _LABELS:
            raise BadLine(
                f"has a 'label' that does not fit its {len(pieces)} steps: at step {number} it must repeat "
                f"the 'input' with + or - for {MARK!r}, and not {label[position:][:40]!r}"
            )
        yield _LABELS[label[mark]]
        position = mark + 1
    if label[position:].strip():
        raise BadLine(f"has a 'label' with more than the {len(pieces)} steps of its 'input': {label[position:][:40]!r}")


FORMAT = MathShepherd()
