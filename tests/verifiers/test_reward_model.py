import math
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from deliberate.engines.checks import check_positions
from deliberate.engines.errors import EngineStopped, InvalidRequest, UnknownName, UpstreamFailed
from deliberate.engines.protocol import Capabilities, EngineStats
from deliberate.engines.scripted import END_OF_SEQUENCE, ByteTokenizer, ScriptedEngine
from deliberate.engines.transformers import TransformersScorer, load_scorer
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict
from deliberate.verifiers.reward_model import RewardModel
from deliberate.verifiers.workers import WorkerPool

from ..engines.tiny_models import REWARD_HEADS, make_reward_model

PROMPT = tuple(b"Q: ")
SCORES = {ord("a"): 1.0, ord("b"): -2.0, ord("c"): 0.5, ord("\n"): 3.0, END_OF_SEQUENCE: 9.0}


class Foreign(ByteTokenizer):
    fingerprint = "foreign"


class Scorer:
    """Its log-odds after a token are those of SCORES, or what `say` makes of all it has read; remembers its calls."""

    def __init__(
        self,
        tokenizer: ByteTokenizer | None = None,
        say: Callable[[Sequence[int]], float] = lambda read: SCORES[read[-1]],
    ) -> None:
        self.capabilities = Capabilities(200, 257)
        self.tokenizer = tokenizer or ByteTokenizer()
        self.stats = EngineStats()
        self.failure: BaseException | None = None
        self._say = say
        self.asked = list[tuple[list[tuple[int, ...]], list[list[int]]]]()

    async def score(
        self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        if self.failure is not None:
            raise self.failure
        check_positions(self.capabilities, sequences, positions)
        self.asked.append(([tuple(sequence) for sequence in sequences], [list(asked) for asked in positions]))
        return [
            tuple(self._say(sequence[: at + 1]) for at in asked)
            for sequence, asked in zip(sequences, positions, strict=True)
        ]

    async def close(self) -> None:
        self.failure = EngineStopped("closed")


def lend(pool: WorkerPool, scorer: Scorer | TransformersScorer) -> Resources:
    return Resources(
        pool,
        {"tiny": ScriptedEngine(["ok"])},
        policy="tiny",
        scorers={"judge": scorer},
        reward_model="judge",
        step_separator="\n",
    )


def sampled(text: str, end: bool = True) -> Candidate:
    return Candidate(text, (*text.encode(), *([END_OF_SEQUENCE] if end else [])), finished=end)


async def judge(resources: Resources, *candidates: Candidate, **options: Any) -> list[Verdict]:
    verifier = RewardModel.model_validate(options).build(resources)
    return await verifier.verify(Problem(({"role": "user", "content": "Q"},), PROMPT), candidates)


def last_letter(read: Sequence[int]) -> float:
    return SCORES[[token for token in read if token in b"abc"][-1]]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


async def test_an_outcome_is_read_at_the_last_token(workers: WorkerPool) -> None:
    scorer = Scorer()
    ended, cut = await judge(lend(workers, scorer), sampled("ca"), sampled("ab", end=False))
    assert ended.score == pytest.approx(sigmoid(9.0))
    assert cut.score == pytest.approx(sigmoid(-2.0)), "judged at what it wrote, with no end of sequence added"
    assert (cut.steps, cut.reason) == ((), "log-odds -2")
    assert scorer.asked == [([(*PROMPT, *b"ca", END_OF_SEQUENCE), (*PROMPT, *b"ab")], [[5], [4]])]


@pytest.mark.parametrize(
    ("rule", "score"),
    [
        ("last", sigmoid(0.5)),
        ("min", sigmoid(-2.0)),
        ("max", sigmoid(1.0)),
        ("mean", (sigmoid(1.0) + sigmoid(-2.0) + sigmoid(0.5)) / 3),
        ("prod", sigmoid(1.0) * sigmoid(-2.0) * sigmoid(0.5)),
    ],
)
async def test_steps_are_aggregated(rule: str, score: float, workers: WorkerPool) -> None:
    scorer = Scorer(say=last_letter)
    (verdict,) = await judge(lend(workers, scorer), sampled("ba\nab\n\nc"), steps=True, aggregate=rule)
    assert verdict.steps == pytest.approx([sigmoid(1.0), sigmoid(-2.0), sigmoid(0.5)])
    assert verdict.score == pytest.approx(score)
    assert verdict.reason == f"{rule} of 3 steps"


async def test_a_step_ends_with_its_separator_and_a_trailing_one_opens_no_step(workers: WorkerPool) -> None:
    scorer = Scorer(say=last_letter)
    growing = [sampled("a\n", end=False), sampled("a\nb\n", end=False), sampled("a\nb\n"), sampled("a\nb", end=False)]
    verdicts = await judge(lend(workers, scorer), *growing, steps=True)
    assert [len(verdict.steps) for verdict in verdicts] == [1, 2, 2, 2]
    assert scorer.asked[0][1] == [[4], [4, 6], [4, 6], [4, 5]], "an end of sequence does not move the last step's end"


async def test_trap_label_shift_of_one(workers: WorkerPool) -> None:
    """A step's score is the head's value after its own last token: not before it, not after the next one."""
    scorer = Scorer(say=lambda read: float(len(read)))
    (verdict,) = await judge(lend(workers, scorer), sampled("a\nbb\nc", end=False), steps=True)
    ends = [len(PROMPT) + len(text) for text in ("a\n", "a\nbb\n", "a\nbb\nc")]
    assert verdict.steps == pytest.approx([sigmoid(end) for end in ends], abs=0)


async def test_steps_that_share_a_token_share_its_score(workers: WorkerPool) -> None:
    class Wide(Foreign):
        def encode(self, text: str) -> list[int]:
            return [7] if text == "a\nb" else super().encode(text)

        def decode(self, token_ids: Sequence[int]) -> str:
            return "a\nb" if list(token_ids) == [7] else super().decode(token_ids)

        def token_bytes(self, token_id: int) -> bytes:
            return b"a\nb" if token_id == 7 else super().token_bytes(token_id)

    scorer = Scorer(Wide(), say=lambda read: 1.0)
    (verdict,) = await judge(lend(workers, scorer), Candidate("a\nb"), steps=True)
    assert verdict.steps == pytest.approx([sigmoid(1.0)] * 2)
    assert [len(asked) for asked in scorer.asked[0][1]] == [1]


async def test_equal_candidates_are_asked_once(workers: WorkerPool) -> None:
    scorer = Scorer()
    verdicts = await judge(lend(workers, scorer), sampled("a"), sampled("b"), sampled("a"))
    assert verdicts[0] == verdicts[2]
    assert [len(sequences) for sequences, _ in scorer.asked] == [2]


async def test_another_vocabulary_reads_the_text(workers: WorkerPool) -> None:
    scorer = Scorer(Foreign())
    await judge(lend(workers, scorer), sampled("a"))
    template = scorer.tokenizer.apply_chat_template([{"role": "user", "content": "Q"}])
    assert scorer.asked == [([(*template, ord("a"))], [[len(template)]])]


async def test_an_overlong_or_empty_candidate_does_not_hurt_the_others(workers: WorkerPool) -> None:
    long, short, empty = await judge(lend(workers, Scorer()), sampled("a" * 300), sampled("a"), sampled("", end=False))
    assert (long.status, short.status, empty.status) == ("unavailable", "ok", "unavailable")
    assert "304 tokens exceed the scorer's context of 200" in long.reason


@pytest.mark.parametrize("failure", [EngineStopped("gone"), UpstreamFailed("gone")])
async def test_a_scorer_that_is_gone_decides_nothing(failure: BaseException, workers: WorkerPool) -> None:
    scorer = Scorer()
    scorer.failure = failure
    verdicts = await judge(lend(workers, scorer), sampled("a"), sampled("b"))
    assert {(verdict.score, verdict.status) for verdict in verdicts} == {(None, "unavailable")}
    assert "gone" in verdicts[0].reason


async def test_values_that_are_no_numbers_decide_nothing_and_infinite_ones_do(workers: WorkerPool) -> None:
    values = {ord("a"): math.nan, ord("b"): math.inf, ord("c"): -math.inf}
    scorer = Scorer(say=lambda read: values[read[-1]])
    nan, sure, hopeless = await judge(lend(workers, scorer), *(sampled(text, end=False) for text in "abc"))
    assert (nan.status, nan.score) == ("unavailable", None)
    assert (sure.score, hopeless.score) == (1.0, 0.0)


def test_what_it_judges(workers: WorkerPool) -> None:
    resources = lend(workers, Scorer())
    assert RewardModel().build(resources).judges is Judges.PARTIAL
    assert RewardModel(steps=True).build(resources).judges is Judges.STEPS


def test_a_missing_model_is_named_with_the_alternatives(workers: WorkerPool) -> None:
    with pytest.raises(UnknownName, match=r"'jugde'; known: judge. Did you mean 'judge'") as caught:
        RewardModel(model="jugde").build(lend(workers, Scorer()))
    assert caught.value.param == "verifier.model"
    alone = Resources(workers, {"tiny": ScriptedEngine(["ok"])}, policy="tiny", scorers={"judge": Scorer()})
    with pytest.raises(InvalidRequest, match=r"'tiny' has no reward model of its own; name one \(served: judge\)"):
        RewardModel().build(alone)
    assert RewardModel(model="judge").build(alone)


@pytest.fixture
async def trained(tmp_path: Path) -> AsyncIterator[tuple[Path, TransformersScorer]]:
    """A reward model on the embedded engine, and its folder."""
    folder = make_reward_model(tmp_path, "token", 2)
    scorer = load_scorer(str(folder))
    yield folder, scorer
    await scorer.close()


async def test_scores_are_those_of_the_plain_model(
    trained: tuple[Path, TransformersScorer], workers: WorkerPool
) -> None:
    folder, scorer = trained
    text = "3 + 4 = 7\nSo he has 7.\n"
    (verdict,) = await judge(lend(workers, scorer), Candidate(text), steps=True, aggregate="prod")
    prompt = scorer.tokenizer.apply_chat_template([{"role": "user", "content": "Q"}])
    model: Any = REWARD_HEADS["token"].from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        right = model(torch.tensor([[*prompt, *scorer.tokenizer.encode(text)]])).logits[0].softmax(-1)[:, 1].tolist()
    ends = [len(prompt) + end for end, letter in enumerate(text) if letter == "\n"]
    assert list(verdict.steps) == pytest.approx([right[end] for end in ends], abs=1e-4)
    assert verdict.score == pytest.approx(math.prod(verdict.steps))
