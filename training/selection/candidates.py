"""The completions of rollouts one by one, each with what becomes of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from deliberate.training.datasets.rows import ProblemRow, RolloutRow, Sample
from deliberate.training.datasets.sources import BadData
from deliberate.training.selection.options import SelectionOptions
from deliberate.training.selection.readability import has_code, longest_paragraph


@dataclass(frozen=True, slots=True)
class Candidate:
    """A completion that may be learned from."""

    row: ProblemRow
    """Its problem, with it as the solution."""
    problem: str
    """Id of its problem."""
    score: float | None

    @property
    def text(self) -> str:
        return self.row.solution or ""


def merged(rows: Iterable[RolloutRow]) -> tuple[RolloutRow, ...]:
    """One row for each problem: more rollouts of one that was sampled before are more of its completions.

    Raises BadData where two problems have one id.
    """
    found: dict[str, RolloutRow] = {}
    for row in rows:
        before = found.setdefault(row.id, row)
        if before is row:
            continue
        if before.prompt != row.prompt:
            raise BadData(
                f"{row.place} has the id {row.id!r} of {before.place}, and is another problem; give each its own. "
                "Nothing was written."
            )
        found[row.id] = replace(before, samples=before.samples + row.samples)
    return tuple(found.values())


def candidates_of(row: RolloutRow, options: SelectionOptions) -> Iterator[Candidate]:
    """All completions of a problem."""
    prompt = row.prompt
    if options.drop_system_prompt:
        prompt = tuple(message for message in prompt if message.get("role") not in ("system", "developer"))
    for number, sample in enumerate(row.samples):
        completed = ProblemRow(
            id=f"{row.id}#{number}",
            place=row.place,
            prompt=prompt,
            tools=row.tools,
            answer=row.answer,
            verifier=row.verifier,
            solution=sample.text,
        )
        yield Candidate(completed, row.id, sample.score)


def is_too_easy(row: RolloutRow, options: SelectionOptions) -> bool:
    """Whether the policy solves it more often than there is something to learn from."""
    scores = [sample.score for sample in row.samples if sample.score is not None]
    right = sum(score >= options.min_score for score in scores)
    return right > options.max_pass_rate * len(scores)


def fault_of(sample: Sample, options: SelectionOptions) -> str | None:
    """Why nobody should learn from it, as far as it shows by itself; None where it is right and readable."""
    if sample.score is None:
        return "undecided"
    if sample.score < options.min_score:
        return "wrong"
    if not sample.finished:
        return "unfinished"
    if not sample.text.strip():
        return "empty"
    if options.max_paragraph_length is not None and longest_paragraph(sample.text) > options.max_paragraph_length:
        return "long_paragraph"
    if not options.code_blocks and has_code(sample.text):
        return "code_block"
    return None
