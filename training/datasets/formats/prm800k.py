"""PRM800K (Lightman et al. 2023, arXiv:2305.20050), both phases: steps that people rated -1, 0 or +1.

A line gives the chain that was chosen step by step, and for each other rated completion of a step a row in which that
completion alone is labelled. As in the paper, 0 counts as right. Lines that served to watch the labellers, and those
whose problem was reported as broken, teach nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from deliberate.training.datasets.formats._judging import by_reference, user
from deliberate.training.datasets.records import Record
from deliberate.training.datasets.rows import StepwiseRow

_LABELS: dict[int | None, float | None] = {-1: 0.0, 0: 1.0, 1: 1.0, None: None}
_FINISHED = ("found_error", "solution", "give_up", "bad_problem")
_WATCHING = ("is_quality_control_question", "is_initial_screening_question")


@dataclass(frozen=True, slots=True)
class _Completion:
    """One of the ways in which a step may go."""

    text: str
    label: float | None


class PRM800K:
    """phase1_train.jsonl, phase2_train.jsonl and the files beside them."""

    name = "prm800k"

    def rows(self, record: Record) -> Iterator[StepwiseRow]:
        question, label = record.object("question"), record.object("label")
        problem, answer = question.text("problem"), question.optional_text("ground_truth_answer")
        reason = label.text("finish_reason")
        if reason not in _FINISHED:
            raise label.wrong("finish_reason", f"one of {', '.join(_FINISHED)}")
        if reason == "bad_problem" or any(record.fields.get(name) for name in _WATCHING) or not _steps(label):
            return
        for number, (steps, labels) in enumerate(_chains(_steps(label))):
            yield StepwiseRow(
                id=f"{record.key}#{number}",
                place=record.place,
                prompt=user(problem),
                answer=answer,
                verifier=None if answer is None else by_reference(answer),
                steps=steps,
                labels=labels,
            )


def _steps(label: Record) -> list[Record]:
    """None where the labeller gave up at once."""
    return label.objects("steps") if label.value("steps") != [] else []


def _chains(steps: list[Record]) -> Iterator[tuple[tuple[str, ...], tuple[float | None, ...]]]:
    """The chosen chain with its labels, then each alternative after the steps that lead to it."""
    chosen, others = list[_Completion](), list[tuple[int, _Completion]]()
    for place, step in enumerate(steps):
        completions, number = _completions(step), _chosen(step)
        human = _human(step) if number is None else None
        if human is not None:
            chosen.append(human)
        elif completions:
            chosen.append(completions.pop(number or 0))
        others += [(place, completion) for completion in completions if completion.label is not None]
        if number is None and human is None:
            # Labelling ended here, with the first error or for want of a way on: the model's own step ends the chain.
            break
    if any(step.label is not None for step in chosen):
        yield tuple(step.text for step in chosen), tuple(step.label for step in chosen)
    for place, completion in others:
        before = tuple(step.text for step in chosen[:place])
        yield (*before, completion.text), (*(None for _ in before), completion.label)


def _completions(step: Record) -> list[_Completion]:
    if not step.fields.get("completions"):
        return []
    return [_Completion(found.text("text"), _label(found)) for found in step.objects("completions")]


def _label(completion: Record) -> float | None:
    rating = completion.fields.get("rating")
    if isinstance(rating, bool) or rating not in _LABELS:
        raise completion.wrong("rating", "-1, 0 or 1")
    return _LABELS[rating]


def _chosen(step: Record) -> int | None:
    if not step.has("chosen_completion"):
        return None
    number, count = step.whole("chosen_completion"), len(step.items("completions"))
    if not 0 <= number < count:
        raise step.wrong("chosen_completion", f"one of its {count} completions, counted from 0")
    return number


def _human(step: Record) -> _Completion | None:
    """The labeller's own step, which is right unless it is rated."""
    if not step.has("human_completion"):
        return None
    if isinstance(step.value("human_completion"), str):
        return _Completion(step.text("human_completion"), 1.0)
    written = step.object("human_completion")
    return _Completion(written.text("text"), _label(written) if written.has("rating") else 1.0)


FORMAT = PRM800K()
