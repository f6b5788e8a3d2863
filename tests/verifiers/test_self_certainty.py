import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Conversation, Sampling
from deliberate.engines.scripted import ScriptedEngine
from deliberate.engines.transformers import TransformersEngine, load
from deliberate.search.deliberation import prepare
from deliberate.search.events import Sampled, Scored
from deliberate.search.strategies.best_of_n import BestOfN
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.self_certainty import SelfCertaintyVerifier, confidence, self_certainty

from ..engines.tiny_models import make_model
from ..server.support import live

Top = tuple[tuple[tuple[int, float], ...], ...]


def tops(*tokens: list[float]) -> Top:
    """Alternatives with these probabilities, for each token."""
    return tuple(tuple((i, math.log(p)) for i, p in enumerate(token)) for token in tokens)


async def judge(resources: Resources, alternatives: Top, **options: Any) -> Verdict:
    verifier = parse_verifier({"kind": "self_certainty", **options}).build(resources)
    (verdict,) = await verifier.verify(Problem(()), [Candidate("x", top_logprobs=alternatives)])
    return verdict


def certainty(verdict: Verdict, scale: float = 10) -> float:
    """In nats, read back from the score."""
    assert verdict.score is not None
    return scale * verdict.score / (1 - verdict.score)


DISTRIBUTION = [0.7, 0.2, 0.05, 0.04, 0.01]


def test_it_is_the_divergence_of_the_uniform_distribution() -> None:
    expected = sum(1 / 5 * math.log((1 / 5) / p) for p in DISTRIBUTION)
    assert self_certainty([math.log(p) for p in DISTRIBUTION], 5) == pytest.approx(expected)
    assert self_certainty([math.log(1 / 5)] * 5, 5) == pytest.approx(0)


@pytest.mark.parametrize("known", [1, 2, 3, 4])
def test_what_is_not_reported_makes_it_a_lower_bound(known: int) -> None:
    exact = self_certainty([math.log(p) for p in DISTRIBUTION], 5)
    assert 0 < self_certainty([math.log(p) for p in DISTRIBUTION[:known]], 5) <= exact + 1e-12
    flat = [0.6, 0.1, 0.1, 0.1, 0.1]
    assert self_certainty([math.log(p) for p in flat[:known]], 5) == pytest.approx(
        self_certainty([math.log(p) for p in flat], 5)
    )


def test_confidence_is_minus_the_mean_log_probability_of_the_likeliest() -> None:
    assert confidence([math.log(0.5), math.log(0.25)]) == pytest.approx(1.5 * math.log(2))
    assert confidence([0.0, -math.inf]) == 50, "what cannot be stands for 100 nats"


async def test_which_tokens_count(resources: Resources) -> None:
    alternatives = tuple(((0, -float(value)),) for value in (1, 1, 9, 9, 3, 3, 3, 3, 3, 3, 5, 5))
    options = {"measure": "confidence", "window": 2}
    found = {
        over: certainty(await judge(resources, alternatives, over=over, **options))
        for over in ("mean", "lowest_group", "bottom_groups", "tail")
    }
    # The windows' means are 1 5 9 6 3 3 3 3 3 4 5: the lowest tenth of eleven are two.
    assert found == pytest.approx({"mean": 4, "lowest_group": 1, "bottom_groups": 2, "tail": 5})
    whole = await judge(resources, alternatives, over="lowest_group", measure="confidence")
    assert certainty(whole) == pytest.approx(4), "a candidate shorter than the window is one group"


async def test_a_surer_candidate_scores_higher_and_the_scale_scores_half(resources: Resources) -> None:
    sure, unsure = tops([0.98, 0.01]), tops([0.3, 0.3])
    for measure in ("self_certainty", "confidence"):
        high, low = [(await judge(resources, top, measure=measure)).score for top in (sure, unsure)]
        assert high is not None and low is not None and 0 < low < high < 1
    nats = confidence([math.log(0.98), math.log(0.01)])
    assert (await judge(resources, sure, measure="confidence", scale=nats)).score == pytest.approx(0.5)


@pytest.mark.parametrize("alternatives", [(), ((),), (((0, -1.0),), ()), (((0, math.nan),),)])
async def test_without_alternatives_nothing_is_decided(alternatives: Top, resources: Resources) -> None:
    verdict = await judge(resources, alternatives)
    assert (verdict.status, verdict.score) == ("unavailable", None)
    assert "log-probabilities" in verdict.reason


async def test_extreme_log_probabilities_stay_in_range(resources: Resources) -> None:
    for values in ([0.0], [0.0] * 257, [1e-9, -1e-9], [-math.inf], [-1e300], [-5.55] * 257):
        for measure in ("self_certainty", "confidence"):
            verdict = await judge(resources, (tuple(enumerate(values)),), measure=measure)
            assert verdict.score is not None and 0 <= verdict.score < 1


def test_an_engine_without_tokens_is_refused(resources: Resources) -> None:
    hidden = replace(resources, engines={"policy": ScriptedEngine(["x"], token_ids=False)})
    with pytest.raises(InvalidRequest, match="shows none"):
        parse_verifier("self_certainty").build(hidden)


@pytest.mark.parametrize("options", [{"window": 0}, {"top": 0}, {"scale": 0}, {"over": "median"}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse_verifier({"kind": "self_certainty", **options})


class TestInSearch:
    @pytest.fixture
    async def engine(self, tmp_path: Path) -> AsyncIterator[TransformersEngine]:
        engine = load(str(make_model(tmp_path)))
        yield engine
        await engine.close()

    async def test_with_all_alternatives_of_a_model_it_is_exact(
        self, engine: TransformersEngine, resources: Resources
    ) -> None:
        size = engine.capabilities.vocabulary_size
        assert size is not None
        config = parse_verifier({"kind": "self_certainty", "top": size})
        lent = replace(resources, engines={"policy": engine})
        conversation = Conversation(({"role": "user", "content": "?"},))
        deliberation = prepare(BestOfN(n=2, verifier=config), conversation, Sampling(max_tokens=4, seed=1), lent)
        events = [event async for event in deliberation.events()]
        prompt = deliberation.context.prompt.token_ids
        samples = {event.index: event.sample for event in events if isinstance(event, Sampled)}
        for scored in (event for event in events if isinstance(event, Scored)):
            ids = (*prompt, *samples[scored.index].token_ids)
            positions = range(len(prompt) - 1, len(ids) - 1)
            (rows,) = await engine.next_logprobs([ids], [list(positions)], list(range(size)))
            divergence = sum(-sum(row) / size - math.log(size) for row in rows) / len(rows)
            assert certainty(scored.verdict) == pytest.approx(divergence, rel=1e-3)

    def test_the_engine_is_asked_and_the_reply_shows_what_was_asked_for(self) -> None:
        with live(["a", "b"]) as server:
            ensemble = [{"kind": "self_certainty", "top": 7}, {"kind": "length", "maximum": 9}]
            strategy = {"kind": "best_of_n", "n": 2, "verifier": ensemble}
            reply = server.chat(strategy=strategy, logprobs=True).json()
            assert reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []
            assert server.engine.calls[-1].sampling.top_logprobs == 7
            reply = server.chat(strategy=strategy, logprobs=True, top_logprobs=1).json()
            assert len(reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]) == 1
            assert "length: 2 tokens" in str(reply["deliberation"])
            assert "self_certainty" in str(reply["deliberation"])
            server.chat(strategy={"kind": "best_of_n", "n": 2, "verifier": "calculator"})
            assert server.engine.calls[-1].sampling.top_logprobs == 0


def test_partial_chains_are_judged_too(resources: Resources) -> None:
    verifier = parse_verifier("self_certainty").build(resources)
    assert isinstance(verifier, SelfCertaintyVerifier)
    assert verifier.judges == "partial"
