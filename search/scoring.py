"""Asking the verifier about a set of candidates, each distinct text once."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence

from deliberate.engines.protocol import Sample
from deliberate.search.events import Scored
from deliberate.search.ranking import Ballot
from deliberate.search.strategy import Context
from deliberate.verifiers.protocol import Candidate


def as_candidate(sample: Sample, copies: int = 1) -> Candidate:
    """A sample as verifiers see it, in place of so many that say the same."""
    ids = sample.token_ids or None  # engines that show no tokens leave them out
    finished = sample.finish.reason == "stop"
    return Candidate(
        sample.text,
        ids,
        ids and sample.logprobs,
        finished,
        top_logprobs=sample.top_logprobs if ids else (),
        copies=copies,
    )


async def verdicts(context: Context, candidates: Sequence[Ballot]) -> AsyncGenerator[Scored, None]:
    """A verdict for each candidate, in order; equal texts are judged once."""
    assert context.verifier is not None, "the runner builds a verifier for every strategy that needs one"
    if not candidates:
        return
    copies = Counter(ballot.sample.text for ballot in candidates)
    distinct = {b.sample.text: as_candidate(b.sample, copies[b.sample.text]) for b in candidates}
    judged = dict(zip(distinct, await context.verifier.verify(context.problem, list(distinct.values())), strict=True))
    for ballot in candidates:
        yield Scored(ballot.index, judged[ballot.sample.text])


def undecided(scored: Sequence[Scored]) -> str:
    """Why candidates could not be judged, in a phrase; empty when all could."""
    missing = [s.verdict for s in scored if s.verdict.score is None]
    if not missing:
        return ""
    return f"{len(missing)} of {len(scored)} candidates could not be judged ({missing[0].reason})"
