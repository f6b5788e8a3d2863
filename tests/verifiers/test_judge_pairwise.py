"""Which of two is better, for all of a batch."""

from collections.abc import Callable

import pytest

from deliberate.engines.scripted import Reply
from deliberate.verifiers.judging.knockout import Result, knock_out
from deliberate.verifiers.workers import WorkerPool

from .judge_bench import Bench, answers_in


def prefers(better: Callable[[str, str], str]) -> Callable[[str, int], Reply]:
    """A judge that says of two answers what the function says."""
    return lambda prompt, number: Reply(f"Hm.\nVerdict: {better(*answers_in(prompt))}")


def longer(a: str, b: str) -> str:
    return "A" if len(a) > len(b) else "B"


async def test_the_best_comes_out_on_top(workers: WorkerPool) -> None:
    judge = Bench(workers, prefers(longer))
    texts = ["a", "aaa", "aa", "aaaaa", "aaaa"]
    verdicts = await judge(*texts, mode="pairwise", samples=1)
    assert verdicts[3].score == 1
    assert all(verdict.score is not None and verdict.score < 1 for verdict in verdicts if verdict is not verdicts[3])
    assert len(judge.engine.calls) == 2 * 4
    tokens = judge.engine.stats.generated_tokens_total
    assert verdicts[0].reason == f"1 lost of 1 matches; all matches took {tokens} tokens"
    assert await judge(*texts[::-1], mode="pairwise", samples=1) == verdicts[::-1]


async def test_both_orders_are_asked(workers: WorkerPool) -> None:
    judge = Bench(workers, prefers(longer))
    await judge("a", "aaa", mode="pairwise", samples=3)
    assert sorted(tuple(answers_in(prompt)) for prompt in judge.prompts) == [("a", "aaa"), ("aaa", "a")]
    assert [call.n for call in judge.engine.calls] == [3, 3]


@pytest.mark.parametrize("place", ["A", "B", "Tie"])
async def test_a_judge_that_likes_a_place_ties_all(workers: WorkerPool, place: str) -> None:
    verdicts = await Bench(workers, [f"Verdict: {place}"])("1", "2", "3", "4", "5", mode="pairwise")
    assert {verdict.score for verdict in verdicts} == {0.5}
    assert all("tied" in verdict.reason for verdict in verdicts)


async def test_a_judge_that_goes_round_in_circles_still_ranks(workers: WorkerPool) -> None:
    beats = {("rock", "scissors"), ("scissors", "paper"), ("paper", "rock")}
    judge = Bench(workers, prefers(lambda a, b: "A" if (a, b) in beats else "B"))
    verdicts = await judge("rock", "paper", "scissors", mode="pairwise")
    assert sorted(verdict.score for verdict in verdicts if verdict.score is not None) == [0, 0.5, 1]
    for seed in range(3):
        again = await judge("scissors", "rock", "paper", mode="pairwise", seed=seed)
        assert again == await judge("scissors", "rock", "paper", mode="pairwise", seed=seed)


async def test_matches_that_nobody_can_read_decide_nothing(workers: WorkerPool) -> None:
    judge = Bench(workers, prefers(lambda a, b: "?" if "odd" in (a, b) else longer(a, b)))
    verdicts = dict(zip(texts := ["a", "aaa", "odd"], await judge(*texts, mode="pairwise"), strict=True))
    assert verdicts["odd"].status == "unavailable"
    assert "'Hm.\\nVerdict: ?'" in verdicts["odd"].reason


async def test_one_candidate_is_no_match(workers: WorkerPool) -> None:
    judge = Bench(workers, [])
    for texts in (["42"], ["42", "42"]):
        for verdict in await judge(*texts, mode="pairwise"):
            assert verdict.status == "unavailable"
            assert "two different candidates" in verdict.reason
    assert judge.engine.calls == []


async def test_who_ties_stands_with_the_other() -> None:
    """0 beats 1 and loses to 2, who tied with 3; 4 waits twice and loses the last match."""
    results: dict[tuple[int, int], Result] = {(0, 1): "first", (2, 3): "tie", (0, 2): "second", (2, 4): "first"}

    async def meet(first: int, second: int) -> Result:
        return results[first, second]

    knockout = await knock_out(5, meet)
    assert [(match.stays, match.leaves, match.round) for match in knockout.matches] == [
        (0, 1, 0),
        (2, 3, 0),
        (2, 0, 1),
        (2, 4, 2),
    ]
    assert knockout.scores() == {0: 1 / 3, 1: 0, 2: 1, 3: 1, 4: 2 / 3}
