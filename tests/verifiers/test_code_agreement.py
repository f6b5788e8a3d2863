"""Programs without tests: candidates that behave alike speak for each other."""

from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from deliberate.engines.protocol import Conversation, Sampling
from deliberate.engines.scripted import ScriptedEngine
from deliberate.search.deliberation import prepare
from deliberate.search.log import Log
from deliberate.search.strategies.best_of_n import BestOfN
from deliberate.verifiers.code import Code
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASK = """Write a function that adds up the even numbers of a list.

```python
from typing import List

def sum_even(numbers: List[int]) -> int:
    \"\"\"
    >>> sum_even([1, 2, 4])
    6
    \"\"\"
```
"""
RIGHT = "def sum_even(numbers):\n    return sum(n for n in numbers if n % 2 == 0)"
ALSO_RIGHT = (
    "def sum_even(numbers):\n    total = 0\n    for n in numbers:\n        total += n * (1 - n % 2)\n    return total"
)
POSITIVE_ONLY = "def sum_even(numbers):\n    return sum(n for n in numbers if n % 2 == 0 and n > 0)"
BROKEN = "def sum_even(numbers):\n    return undefined"


def asked(text: str) -> Problem:
    return Problem(({"role": "system", "content": "You write code."}, {"role": "user", "content": text}))


async def judged(problem: Problem, programs: list[str], warm: Resources, **options: Any) -> list[Verdict]:
    replies = [f"```python\n{program}\n```" for program in programs]
    return await Code.model_validate(options).build(warm).verify(problem, list(map(Candidate, replies)))


async def test_the_score_is_the_share_that_behaves_alike(warm: Resources) -> None:
    programs = [RIGHT, POSITIVE_ONLY, ALSO_RIGHT, RIGHT, BROKEN, "def sum_even("]
    found = await judged(asked(TASK), programs, warm)
    assert [verdict.score for verdict in found] == [3 / 6, 1 / 6, 3 / 6, 3 / 6, 0, 0]
    assert len({verdict.answer for verdict in found[:1] + found[2:4]}) == 1
    assert found[0].answer != found[1].answer
    assert found[0].reason == "3 of 6 behave alike on 16 inputs"
    assert [verdict.passed for verdict in found] == [None] * 5 + [False]
    assert found == await judged(asked(TASK), programs, warm)


async def test_one_that_stands_for_several_samples_counts_as_often(warm: Resources) -> None:
    """Searches ask about each distinct text once: what most of them say must win over what is said in most words."""
    programs = {RIGHT: 1, ALSO_RIGHT: 1, POSITIVE_ONLY: 4, BROKEN: 2}
    once = [Candidate(f"```python\n{program}\n```", copies=copies) for program, copies in programs.items()]
    found = await Code().build(warm).verify(asked(TASK), once)
    assert [verdict.score for verdict in found] == [2 / 8, 2 / 8, 4 / 8, 0]
    assert found[2].reason == "4 of 8 behave alike on 16 inputs"


@pytest.mark.parametrize("stop_at_pass", [None, True])
async def test_a_search_takes_what_most_samples_do(warm: Resources, stop_at_pass: bool | None) -> None:
    replies = [f"```python\n{program}\n```" for program in (RIGHT, ALSO_RIGHT, *(POSITIVE_ONLY,) * 3)]
    conversation = Conversation(asked(TASK).messages)
    resources = replace(warm, engines={"policy": ScriptedEngine(replies)}, policy="policy")
    deliberation = prepare(
        BestOfN(n=5, verifier=Code(), stop_at_pass=stop_at_pass), conversation, Sampling(), resources
    )
    log = Log()
    async with aclosing(deliberation.events()) as events:
        async for event in events:
            log.add(event)
    assert log.sample(log.chosen.choices[0].index).text == replies[2]
    assert log.chosen.choices[0].weight == 3 / 5


async def test_what_all_get_wrong_alike_is_not_agreement(warm: Resources) -> None:
    found = await judged(asked(TASK), [BROKEN, BROKEN.replace("undefined", "nothing"), RIGHT], warm)
    assert [verdict.score for verdict in found] == [0, 0, 1 / 3]


@pytest.mark.parametrize(
    ("right", "wrong", "task"),
    [
        ("def f(s: str) -> str:\n    return s[::-1]", "def f(s: str) -> str:\n    return s", "Reverse a text."),
        ("def f(a: int, b: 'int'):\n    return a * b", "def f(a: int, b: 'int'):\n    return a + b", "Multiply."),
        (
            "def f(d: dict[str, int]):\n    return max(d, default='')",
            "def f(d: dict[str, int]):\n    return min(d, default='')",
            "",
        ),
        (
            "def f(x, y):\n    return [x, y]",
            "def f(x, y):\n    return [y, x]",
            "A pair: assert f([1], 'a') == [[1], 'a']",
        ),
        ("def f(p: tuple[float, float]):\n    return p[0]", "def f(p: tuple[float, float]):\n    return p[1]", ""),
        ("def f(x: int | None = None):\n    return 1", "def f(x: int | None = None):\n    return 2", ""),
        (
            "class Solution:\n    def f(self, n: int):\n        return n",
            "class Solution:\n    def f(self, n: int):\n        return -n",
            "",
        ),
    ],
)
async def test_inputs_are_made_for_the_signature(right: str, wrong: str, task: str, warm: Resources) -> None:
    entry_point = "Solution.f" if "class" in right else None
    found = await judged(asked(task), [right, right + "  # again", wrong], warm, entry_point=entry_point)
    assert [verdict.score for verdict in found] == [2 / 3, 2 / 3, 1 / 3], [verdict.reason for verdict in found]


async def test_given_inputs_decide(warm: Resources) -> None:
    calls = {"entry_point": "sum_even", "inputs": [[[1, 2]], [[4]]]}
    found = await judged(asked(TASK), [RIGHT, POSITIVE_ONLY], warm, **calls)
    assert [verdict.score for verdict in found] == [1, 1]
    found = await judged(asked(TASK), [RIGHT, POSITIVE_ONLY], warm, **{**calls, "inputs": [[[-2]]]})
    assert [verdict.score for verdict in found] == [1 / 2, 1 / 2]


async def test_whole_programs_agree_by_what_they_print(warm: Resources) -> None:
    programs = ["print(int(input()) * 2)", "n = int(input())\nprint(n + n)", "print(int(input()) ** 2)", "1 / 0"]
    found = await judged(asked("Double a number."), programs, warm, inputs=["1\n", "2\n", "5\n"])
    assert [verdict.score for verdict in found] == [2 / 4, 2 / 4, 1 / 4, 0]


async def test_with_nothing_to_run_them_on_programs_must_parse(warm: Resources) -> None:
    found = await judged(asked("Say hello."), ["print('hello')", "print('hello'"], warm)
    assert [(verdict.score, verdict.passed) for verdict in found] == [(1, None), (0, False)]


async def test_candidates_cannot_choose_what_others_run_on(warm: Resources) -> None:
    """One that makes the reader of signatures fail, and one with a signature of its own."""
    deep = "(" * 5_000 + ")" * 5_000
    strange = "def sum_even(*, a, b, c):\n    return 0"
    found = await judged(asked(TASK), [RIGHT, ALSO_RIGHT, deep, strange, "x = " + "-" * 100_000 + "1"], warm)
    assert [verdict.score for verdict in found] == [2 / 5, 2 / 5, 0, 0, 0], [verdict.reason for verdict in found]
