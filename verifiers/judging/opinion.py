"""From what a judge replied to what it thinks: the mean of what can be read."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from deliberate.verifiers.judging.asking import Replies
from deliberate.verifiers.judging.options import JudgeOptions
from deliberate.verifiers.protocol import Candidate, Verdict

SHOWN = 120
"""Characters of a reply that nobody can read."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What came of one question."""

    value: float | None
    """In [0, 1]; None where the judge could not be understood."""
    reason: str
    tokens: int = 0
    """New ones that it took."""


def mean_opinion(replies: Replies, read: Callable[[str], float | None]) -> Opinion:
    """The mean of the replies that can be read, if these are half of those asked for."""
    values = [value for text in replies.texts if (value := read(text)) is not None]
    spent = f"{len(values)} of {replies.asked} replies could be read, {replies.tokens} tokens"
    if 2 * len(values) >= replies.asked:
        return Opinion(fmean(values), spent, replies.tokens)
    if replies.failure:
        return Opinion(None, f"the judge did not answer: {replies.failure}", replies.tokens)
    unread = next((text for text in replies.texts if read(text) is None), None)
    ending = "none other ended in time" if unread is None else f"one ends: {unread[-SHOWN:]!r}"
    return Opinion(None, f"only {spent}; {ending}", replies.tokens)


def verdict(opinion: Opinion, candidate: Candidate, options: JudgeOptions) -> Verdict:
    """The opinion of a candidate as its verdict."""
    if opinion.value is None:
        return Verdict.undecided(opinion.reason)
    passed = None if options.pass_score is None else opinion.value >= options.pass_score
    cut = len(candidate.text) > options.max_characters
    note = f"; of {len(candidate.text)} characters it read {options.max_characters}" if cut else ""
    return Verdict(opinion.value, passed, reason=opinion.reason + note)
