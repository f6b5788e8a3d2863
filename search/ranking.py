"""From candidates to ranked answers: voting and its ties.

Candidates with the same canonical answer are one group. A candidate cut by length did not end, so it
neither votes nor wins while any other did.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from deliberate.engines.protocol import Sample
from deliberate.search.errors import every_sample_failed
from deliberate.search.events import Choice, Completed, Event, Failed, Sampled
from deliberate.verifiers.answers import final_answer
from deliberate.verifiers.equivalence import answer_key


@dataclass(frozen=True, slots=True)
class Ballot:
    """A candidate and the answer it votes for; `answer` is None when none could be read from it."""

    index: int
    sample: Sample
    answer: str | None

    @property
    def confidence(self) -> float:
        """Breaks ties."""
        return mean_logprob(self.sample.logprobs)

    @property
    def identity(self) -> str:
        """What makes it different from other answers: its answer, or else its whole text."""
        return f"text:{self.sample.text.strip()}" if self.answer is None else f"answer:{self.answer}"


def mean_logprob(logprobs: Sequence[float]) -> float:
    """Per token, in nats; 0 where none are known."""
    return fmean(logprobs) if logprobs else 0.0


def ballot(event: Sampled | Completed) -> Ballot:
    """A candidate with the answer read from it."""
    return Ballot(event.index, event.sample, _read_answer(event.sample.text))


def counting(cast: Iterable[Ballot]) -> list[Ballot]:
    """The candidates that count, by index: all that ended, or, if none did, those cut by length."""
    by_index = sorted(cast, key=lambda b: b.index)
    return [b for b in by_index if b.sample.finish.reason == "stop"] or by_index


def ballots(events: Iterable[Event]) -> list[Ballot]:
    """The candidates of a log that count. Raises SearchFailed when every candidate failed."""
    logged = list(events)
    cast = [ballot(e) for e in logged if isinstance(e, Sampled)]
    if not cast:
        raise every_sample_failed([e for e in logged if isinstance(e, Failed)])
    return counting(cast)


def _read_answer(text: str) -> str | None:
    answer = final_answer(text)
    return None if answer is None else answer_key(answer)


def by_votes(
    candidates: Sequence[Ballot], weights: Mapping[int, float] | None = None
) -> tuple[list[Choice], str | None]:
    """Answers by summed weight (one vote each without `weights`), and the reason for falling back, if it did.

    Self-consistency (Wang et al. 2022); weighted: argmax_a sum_i 1[a_i = a] * score(s_i). Ties go to the
    group with the higher mean confidence, then to the earliest. Without any readable answer the best
    score wins, or without weights the likeliest candidate.
    """
    voters = [b for b in candidates if b.answer is not None and (weights is None or b.index in weights)]
    if not voters and weights:
        return by_score(candidates, weights), "no candidate gave an answer that can be compared: the best score won"
    if not voters:
        ranked = sorted(candidates, key=lambda b: (-b.confidence, b.index))
        return _distinct(ranked, lambda b: b.confidence), (
            "no candidate gave an answer that can be compared: the likeliest candidate won"
        )

    def weight(ballot: Ballot) -> float:
        return 1.0 if weights is None else weights[ballot.index]

    def order(group: list[Ballot]) -> tuple[float, float, int]:
        return (-sum(map(weight, group)), -fmean(b.confidence for b in group), group[0].index)

    choices = [
        Choice(max(group, key=lambda b: (weight(b), b.confidence, -b.index)).index, sum(map(weight, group)))
        for group in sorted(_groups(voters), key=order)
    ]
    return choices, None


def by_score(candidates: Sequence[Ballot], scores: Mapping[int, float]) -> list[Choice]:
    """Answers by their best candidate's score.

    Ties, common with verifiers that only accept or reject, go to the answer that more of the tied
    candidates give, then to the more confident candidate, then to the earliest.
    """
    scored = [b for b in candidates if b.index in scores]
    support = {b.identity: [scores[o.index] for o in scored if o.identity == b.identity] for b in scored}

    def order(ballot: Ballot) -> tuple[float, int, float, int]:
        score = scores[ballot.index]
        return (-score, -support[ballot.identity].count(score), -ballot.confidence, ballot.index)

    return _distinct(sorted(scored, key=order), lambda b: scores[b.index])


def _groups(candidates: Iterable[Ballot]) -> Iterable[list[Ballot]]:
    groups: dict[str, list[Ballot]] = {}
    for ballot in candidates:
        groups.setdefault(ballot.identity, []).append(ballot)
    return groups.values()


def _distinct(ranked: Iterable[Ballot], weight: Callable[[Ballot], float]) -> list[Choice]:
    """The first of each answer, in order."""
    first: dict[str, Choice] = {}
    for ballot in ranked:
        first.setdefault(ballot.identity, Choice(ballot.index, weight(ballot)))
    return list(first.values())
