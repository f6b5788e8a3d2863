"""Math-Shepherd (Wang et al. 2023, arXiv:2312.08935): steps labelled by whether the right answer follows from them.

`input` is the problem and its steps, each ended by the mark `ки`; `label` is the same with `+` or `-` in place of the
marks.
"""

from collections.abc import Iterator

from deliberate.training.datasets.formats._judging import user
from deliberate.training.datasets.records import Record
from deliberate.training.datasets.rows import StepwiseRow
from deliberate.training.json_lines import BadLine

MARK = "ки"
_FIRST = "Step 1:"
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
        labels = _labels(record.text("label"), pieces)
        problem, first, step = pieces[0].partition(_FIRST)
        steps = tuple(piece.strip() for piece in (first + step, *pieces[1:]))
        if not problem.strip() or not step.strip():
            raise BadLine(f"has no {_FIRST!r} between the problem and its first step mark; add it")
        if not all(steps):
            raise BadLine(f"has an empty step {steps.index('') + 1}; leave one of the marks {MARK!r} out")
        yield StepwiseRow(
            id=record.key, place=record.place, prompt=user(problem.strip()), steps=steps, labels=tuple(labels)
        )


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
