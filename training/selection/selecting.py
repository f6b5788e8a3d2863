"""The whole of selection: from rollouts to lines of data, with a count for each reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deliberate.training.datasets.decontamination import EvaluationIndex
from deliberate.training.datasets.deduplication import deduplicated, without_near_duplicates
from deliberate.training.datasets.loading import read_dataset
from deliberate.training.datasets.rows import RolloutRow, Row
from deliberate.training.selection.candidates import Candidate, candidates_of, fault_of, is_too_easy
from deliberate.training.selection.choosing import chosen
from deliberate.training.selection.languages import language_shares
from deliberate.training.selection.options import SelectionOptions


@dataclass(slots=True)
class Selection:
    """Rollouts, of which less and less is kept. What is dropped is counted by its first reason."""

    options: SelectionOptions
    rows: Sequence[RolloutRow]
    index: EvaluationIndex
    """Of the data that is evaluated on."""
    dropped: Counter[str] = field(default_factory=Counter[str])
    """Completions."""

    async def kept(self, folder: Path, done: Callable[[int], None]) -> list[Candidate]:
        """What is worth learning from, in order. `folder` keeps what is slow to find; `done` hears of progress."""
        problems = self._readable()
        if self.options.min_language_consistency is not None:
            problems = await self._of_one_language(problems, self.options.min_language_consistency, folder, done)
        new = self._new([candidate for candidates in problems.values() for candidate in candidates])
        return [
            candidate for candidates in _by_problem(self._clean(new)).values() for candidate in self._few(candidates)
        ]

    def metrics(self, kept: Sequence[Candidate]) -> dict[str, float]:
        """For the artifact."""
        return {
            "problems": len(self.rows),
            "problems_kept": len({candidate.problem for candidate in kept}),
            "completions": sum(len(row.samples) for row in self.rows),
            "completions_kept": len(kept),
            **{f"dropped_{reason}": count for reason, count in sorted(self.dropped.items())},
        }

    def _readable(self) -> dict[str, list[Candidate]]:
        """What is right and readable by itself, by problem; none of those that are too easy."""
        problems: dict[str, list[Candidate]] = {}
        for row in self.rows:
            if is_too_easy(row, self.options):
                self.dropped["too_easy"] += len(row.samples)
                continue
            for candidate, sample in zip(candidates_of(row, self.options), row.samples, strict=True):
                fault = fault_of(sample, self.options)
                if fault is None:
                    problems.setdefault(row.id, []).append(candidate)
                else:
                    self.dropped[fault] += 1
        return problems

    async def _of_one_language(
        self, problems: dict[str, list[Candidate]], least: float, folder: Path, done: Callable[[int], None]
    ) -> dict[str, list[Candidate]]:
        shares = await language_shares(problems, folder, done)

        def mixed(candidate: Candidate) -> bool:
            share = shares[candidate.row.id]
            return share is not None and share < least

        self.dropped["mixed_language"] += sum(mixed(one) for candidates in problems.values() for one in candidates)
        return {name: [one for one in candidates if not mixed(one)] for name, candidates in problems.items()}

    def _new(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that say something that none before them said of the same problem."""
        by_id = {candidate.row.id: candidate for candidate in candidates}
        rows = deduplicated(candidate.row for candidate in candidates)
        self.dropped["duplicate"] += len(candidates) - len(rows)
        new = [by_id[row.id] for row in rows]
        threshold = self.options.near_duplicates
        if threshold is None:
            return new
        unlike = [
            by_id[row.id]
            for group in _by_problem(new).values()
            for row in without_near_duplicates([one.row for one in group], threshold, text=_completion)
        ]
        self.dropped["near_duplicate"] += len(new) - len(unlike)
        return unlike

    def _clean(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        clean = [candidate for candidate in candidates if self.index.match(candidate.row) is None]
        self.dropped["contaminated"] += len(candidates) - len(clean)
        return clean

    def _few(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        few = chosen(candidates, self.options.max_per_problem, self.options.choose)
        self.dropped["more_than_wanted"] += len(candidates) - len(few)
        return few


def evaluation_index(options: SelectionOptions) -> EvaluationIndex:
    """Of all data that is evaluated on. Raises BadData where it cannot be read."""
    rows = (row for config in options.evaluation for row in read_dataset(config).rows)
    return EvaluationIndex(rows, options.ngram, solutions=options.evaluation_solutions)


def _by_problem(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    problems: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        problems.setdefault(candidate.problem, []).append(candidate)
    return problems


def _completion(row: Row) -> str:
    return row.completions[0]
