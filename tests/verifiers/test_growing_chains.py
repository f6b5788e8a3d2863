"""Chains that grow step by step: their scores are those of chains scored afresh, at the cost of what is new."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.engines.marks import MarkScorer
from deliberate.engines.protocol import Capabilities
from deliberate.engines.scripted import END_OF_SEQUENCE, ByteTokenizer, ScriptedEngine
from deliberate.engines.transformers import TransformersEngine, TransformersScorer, load, load_scorer
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict, Verifier
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.workers import WorkerPool

from ..engines.tiny_models import byte_tokenizer, make_model, make_reward_model

ENCODE = byte_tokenizer().encode
PROBLEM = Problem(({"role": "user", "content": "How many?"},), tuple(ENCODE("user: How many?\nassistant: ")))
STEPS = [f"{number} + {number} = {2 * number}, so far\n" for number in range(20)]


def begun(steps: Sequence[str], **fields: Any) -> Candidate:
    """A chain that waits for its next step."""
    text = "".join(steps)
    return Candidate(text, tuple(ENCODE(text)), finished=False, **fields)


async def step_by_step(verifier: Verifier) -> list[Verdict]:
    verdicts = list[Verdict]()
    for end in range(1, len(STEPS) + 1):
        candidate = begun(STEPS[:end], earlier=verdicts[-1] if verdicts else None)
        verdicts += await verifier.verify(PROBLEM, [candidate])
    return verdicts


async def afresh(verifier: Verifier) -> list[Verdict]:
    return [(await verifier.verify(PROBLEM, [begun(STEPS[:end])]))[0] for end in range(1, len(STEPS) + 1)]


def assert_same(one: Verdict, other: Verdict) -> None:
    assert one.status == other.status == "ok"
    assert one.score == pytest.approx(other.score, abs=1e-6)
    assert one.steps == pytest.approx(other.steps, abs=1e-6)
    assert one.evidence == pytest.approx(other.evidence, abs=1e-4)


class Models:
    """A policy, a scoring model and a reward model of one vocabulary, on the embedded engine."""

    def __init__(self, folder: Path) -> None:
        self.policy: TransformersEngine = load(str(make_model(folder / "policy", scale=4)))
        self.scorer: TransformersEngine = load(str(make_model(folder / "scorer", seed=1, scale=2)))
        self.judge: TransformersScorer = load_scorer(str(make_reward_model(folder / "judge", "token", 2)))

    @property
    def read(self) -> dict[str, int]:
        """Tokens that went through each model so far."""
        models = {"policy": self.policy, "scorer": self.scorer, "judge": self.judge}
        return {name: model.stats.prefill_tokens_total for name, model in models.items()}

    def lend(self, pool: WorkerPool) -> Resources:
        engines = {"policy": self.policy, "scorer": self.scorer}
        return Resources(
            pool,
            engines,
            policy="policy",
            scorer="scorer",
            scorers={"judge": self.judge},
            reward_model="judge",
            step_separator="\n",
        )


@pytest.fixture
async def models(tmp_path: Path) -> AsyncIterator[Models]:
    models = Models(tmp_path)
    yield models
    for model in (models.policy, models.scorer, models.judge):
        await model.close()


LIKELIHOODS = [
    {"kind": "likelihood", "aggregate": aggregate, "ratio": ratio}
    for aggregate in ("min", "mean", "sum")
    for ratio in (False, True)
]
REWARD_MODELS = [
    {"kind": "reward_model", "steps": True, "aggregate": aggregate}
    for aggregate in ("last", "min", "prod", "mean", "max")
]


@pytest.mark.parametrize(
    "config", [*LIKELIHOODS, *REWARD_MODELS], ids=lambda config: "-".join(map(str, config.values()))
)
async def test_twenty_steps_cost_about_one_reading(config: dict[str, Any], models: Models, workers: WorkerPool) -> None:
    verifier = parse_verifier(config).build(models.lend(workers))
    before = models.read
    grown = await step_by_step(verifier)
    chain = len(PROBLEM.prompt_ids) + len("".join(STEPS))
    read = {name: count - before[name] for name, count in models.read.items()}
    asked = {"judge"} if config["kind"] == "reward_model" else {"scorer"} | ({"policy"} if config["ratio"] else set())
    assert {name for name, count in read.items() if count} == asked
    assert all(count <= 1.5 * chain for count in read.values())
    for one, other in zip(grown, await afresh(verifier), strict=True):
        assert_same(one, other)
    assert [len(verdict.steps) for verdict in grown] == list(range(1, 21))
    assert {verdict.steps[0] for verdict in grown} == set(grown[0].steps), "a step keeps its score to the last digit"


async def test_members_of_an_ensemble_go_on_each_from_its_own(models: Models, workers: WorkerPool) -> None:
    members = ["calculator", {"kind": "likelihood", "weight": 2}, {"kind": "reward_model", "steps": True}]
    verifier = parse_verifier(members).build(models.lend(workers))
    before = models.read
    grown = await step_by_step(verifier)
    chain = len(PROBLEM.prompt_ids) + len("".join(STEPS))
    assert all(models.read[name] - before[name] <= 1.5 * chain for name in ("scorer", "judge"))
    for one, other in zip(grown, await afresh(verifier), strict=True):
        assert_same(one, other)


async def test_siblings_go_on_from_their_parent(models: Models, workers: WorkerPool) -> None:
    verifier = parse_verifier({"kind": "reward_model", "steps": True}).build(models.lend(workers))
    (parent,) = await verifier.verify(PROBLEM, [begun(STEPS[:5])])
    before = models.judge.stats.prefill_tokens_total
    siblings = [begun([*STEPS[:5], f"sibling {letter}\n"], earlier=parent) for letter in "abcd"]
    verdicts = await verifier.verify(PROBLEM, siblings)
    assert models.judge.stats.prefill_tokens_total - before <= 4 * len("sibling a\n") + 1
    assert {verdict.steps[:5] for verdict in verdicts} == {parent.steps}
    assert len({verdict.score for verdict in verdicts}) == 4


WIDE = {300: b".\n", 301: b"\nb", 302: b"a\nb", 303: b"\n\n", 304: b" \n", 305: "é\n".encode()}


class Wide(ByteTokenizer):
    """Some of its tokens hold separators and what stands around them, and encoding prefers these."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def encode(self, text: str) -> list[int]:
        data, ids = text.encode(), list[int]()
        while data:
            token = next((token for token, piece in WIDE.items() if data.startswith(piece)), data[0])
            ids.append(token)
            data = data[len(WIDE.get(token, b"x")) :]
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        return b"".join(map(self.token_bytes, token_ids)).decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        return WIDE[token_id] if token_id in WIDE else super().token_bytes(token_id)


def engine(tokenizer: ByteTokenizer, salt: int) -> ScriptedEngine:
    """Its log-probabilities depend on all that stands before a token."""

    def logprob(sequence: Sequence[int], position: int) -> float:
        return -1.0 - hash((salt, *sequence[: position + 1])) % 997 / 100

    engine = ScriptedEngine(["ok"], token_logprob=logprob)
    engine.tokenizer = tokenizer
    engine.capabilities = Capabilities(4096, 400)
    return engine


TOKENS = st.lists(st.sampled_from([*b"ab. \n", *WIDE, END_OF_SEQUENCE]), min_size=1, max_size=16)


@settings(max_examples=60, deadline=None)
@given(
    tokens=TOKENS,
    cuts=st.lists(st.integers(1, 15), max_size=3),
    separator=st.sampled_from(["\n", "\n\n"]),
    foreign=st.booleans(),
)
@pytest.mark.parametrize("config", [*LIKELIHOODS[:2], *REWARD_MODELS[:1]], ids=["likelihood", "ratio", "reward_model"])
def test_separators_inside_tokens(
    config: dict[str, Any], tokens: list[int], cuts: list[int], separator: str, foreign: bool, workers: WorkerPool
) -> None:
    """From any earlier beginnings, by token ids or by text, the verdict is the same; closed steps keep their scores."""
    policy = engine(Wide("policy"), 1)
    scorer = engine(Wide("foreign" if foreign and not config.get("ratio") else "policy"), 2)
    marks = MarkScorer(scorer, *b"+-")
    resources = Resources(
        workers,
        {"policy": policy, "scorer": scorer},
        policy="policy",
        scorer="scorer",
        scorers={"marks": marks},
        reward_model="marks",
        step_separator=separator,
    )
    verifier = parse_verifier(config).build(resources)

    def chain(length: int) -> Candidate:
        ids = tokens[:length]
        return Candidate(policy.tokenizer.decode(ids), tuple(ids), finished=length == len(tokens))

    async def check() -> None:
        (fresh,) = await verifier.verify(PROBLEM, [chain(len(tokens))])
        earlier: Verdict | None = None
        for length in [*sorted({cut for cut in cuts if cut < len(tokens)}), len(tokens)]:
            (grown,) = await verifier.verify(PROBLEM, [replace(chain(length), earlier=earlier)])
            (alone,) = await verifier.verify(PROBLEM, [chain(length)])
            assert grown == alone
            earlier = grown
            if config["kind"] == "reward_model" and grown.status == "ok":
                assert fresh.steps[: len(grown.evidence)] == grown.steps[: len(grown.evidence)]

    asyncio.run(check())


async def test_an_undecided_beginning_is_read_again(workers: WorkerPool) -> None:
    policy = engine(ByteTokenizer(), 1)
    resources = Resources(workers, {"policy": policy}, policy="policy", step_separator="\n")
    verifier = parse_verifier("likelihood").build(resources)
    earlier = Verdict.undecided("gone")
    (again,) = await verifier.verify(PROBLEM, [begun(STEPS[:2], earlier=earlier)])
    (fresh,) = await verifier.verify(PROBLEM, [begun(STEPS[:2])])
    assert again == fresh
    assert again.score is not None and math.isfinite(again.score)
