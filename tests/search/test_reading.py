"""What a beam over many steps reads, counted by the engines of the bundled pair."""

from contextlib import aclosing

import pytest

from deliberate.engines.protocol import Conversation, Sampling
from deliberate.engines.transformers import load
from deliberate.models import bundled
from deliberate.search.deliberation import prepare
from deliberate.search.events import Expanded
from deliberate.search.log import Log
from deliberate.search.strategies.beam_search import BeamSearch
from deliberate.training.tasks import load_task
from deliberate.verifiers.likelihood import Likelihood
from deliberate.verifiers.protocol import Resources
from deliberate.verifiers.workers import WorkerPool

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("speculate", [True, False])
async def test_a_beam_reads_each_prefix_once_and_scores_each_step_once(speculate: bool) -> None:
    """Problems of seven steps, with those that open and close the chain of thought and the answer: ten lines."""
    policy, scorer = load(str(bundled("tiny"))), load(str(bundled("tiny-verifier")))
    workers = WorkerPool()
    resources = Resources(
        workers, {"tiny": policy, "tiny-verifier": scorer}, policy="tiny", scorer="tiny-verifier", step_separator="\n"
    )
    try:
        for problem in load_task("word_problems").problems("test", 3, 3, (7,)):
            read, scored = policy.stats.prefill_tokens_total, scorer.stats.prefill_tokens_total
            deliberation = prepare(
                BeamSearch(width=4, expansions=4, speculate=speculate),
                Conversation(({"role": "user", "content": problem.question},)),
                Sampling(temperature=1.0, max_tokens=256, seed=7),
                resources,
                default_verifier=Likelihood(),
            )
            log = Log()
            async with aclosing(deliberation.events()) as events:
                async for event in events:
                    log.add(event)
            prompt, new = len(deliberation.context.prompt.token_ids), log.completion_tokens
            depth = max(len(e.steps) for c in log.candidates if (e := c.verdict) is not None)
            assert depth >= 8, "a chain of so many steps"
            assert sum(isinstance(event, Expanded) for event in log.events) > 50
            assert policy.stats.prefill_tokens_total - read <= 1.2 * (prompt + new)
            assert scorer.stats.prefill_tokens_total - scored <= 1.5 * new
            assert policy.stats.generated_tokens_total >= new
    finally:
        await policy.close()
        await scorer.close()
        workers.close()
