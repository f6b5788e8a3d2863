"""The `code` verifier, as its users meet it."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from deliberate.verifiers.code import Code
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.sandbox.protocol import Tier
from deliberate.verifiers.sandbox.sandbox import Sandbox, SandboxConfig
from deliberate.verifiers.workers import WorkerPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOUBLE = "def double(x):\n    return 2 * x"
CALLS = [{"input": [n], "expected": 2 * n} for n in (0, 3, 5, 8)]


async def judged(options: dict[str, Any], replies: list[str], problem: Problem, warm: Resources) -> list[Verdict]:
    config = Code.model_validate(options)
    return await config.build(warm).verify(problem, [Candidate(reply) for reply in replies])


def fenced(program: str, info: str = "python") -> str:
    return f"Thus:\n\n```{info}\n{program}\n```\nDone."


async def outcome(options: dict[str, Any], reply: str, problem: Problem, warm: Resources) -> tuple[Any, str]:
    (verdict,) = await judged(options, [reply], problem, warm)
    assert verdict.status == "ok", verdict.reason
    return verdict.score, verdict.reason


async def test_the_score_is_the_share_of_calls_that_return_what_is_expected(problem: Problem, warm: Resources) -> None:
    options = {"entry_point": "double", "tests": CALLS}
    right, half = fenced(DOUBLE), fenced("def double(x):\n    return 2 * x if x < 4 else x")
    found = await judged(options, [right, half, fenced("def triple(x): return 3 * x")], problem, warm)
    assert [(verdict.score, verdict.passed) for verdict in found] == [(1, True), (0.5, False), (0, False)]
    assert found[0].reason == "all 4 tests passed"
    assert found[1].reason == "2 of 4 tests passed; the first that failed: double(5) gives '5'"
    assert "name 'double' is not defined" in found[2].reason


async def test_all_or_nothing_ends_with_the_first_failure(problem: Problem, warm: Resources) -> None:
    options = {"entry_point": "double", "tests": CALLS, "credit": "all"}
    score, reason = await outcome(options, fenced("def double(x):\n    return x"), problem, warm)
    assert (score, reason) == (0, "a test failed: double(3) gives '3'")
    assert (await outcome(options, fenced(DOUBLE), problem, warm))[0] == 1


@pytest.mark.parametrize(
    ("body", "expected", "options", "passes"),
    [
        ("1.0", 1, {}, True),
        ("True", 1, {}, True),
        ("'1'", 1, {}, False),
        ("None", False, {}, False),
        ("(1, 2)", [1, 2], {}, True),
        ("(1, 2)", [1, 2], {"tuples_are_lists": False}, False),
        ("(1, 2)", {"$tuple": [1, 2]}, {"tuples_are_lists": False}, True),
        ("{3, 1, 2}", {"$set": [1, 2, 3]}, {}, True),
        ("frozenset({1})", {"$set": [1]}, {}, True),
        ("[1, 2]", {"$set": [1, 2]}, {}, False),
        ("{'b': 1, 'a': 2}", {"a": 2, "b": 1}, {}, True),
        ("{1: 2}", {"$dict": [[1, 2]]}, {}, True),
        ("{'$set': [1]}", {"$dict": [["$set", [1]]]}, {}, True),
        ("b'ab'", {"$bytes": "YWI="}, {}, True),
        ("1j", {"$complex": [0, 1]}, {}, True),
        ("float('nan')", {"$float": "nan"}, {}, True),
        ("0.1 + 0.2", 0.3, {}, False),
        ("0.1 + 0.2", 0.3, {"tolerance": 1e-9}, True),
        ("[{'a': 0.30001}]", [{"a": 0.3}], {"tolerance": 1e-3}, True),
        ("[{'a': 0.31}]", [{"a": 0.3}], {"tolerance": 1e-3}, False),
        ("[1.0, 2.0, 3.0]", [1, 2], {"tolerance": 0.5}, False),
        ("2 ** 80", 2**80, {}, True),
        ("10 ** 5000", {"$int": hex(10**5000)}, {}, True),
        ("range(3)", [0, 1, 2], {}, False),
        ("'\\ud800 \\u00e9'", "\ud800 é", {}, True),
        ("__import__('collections').OrderedDict(a=1)", {"a": 1}, {}, True),
    ],
)
async def test_values_are_equal_as_in_python(
    body: str, expected: Any, options: dict[str, Any], passes: bool, problem: Problem, warm: Resources
) -> None:
    test = {"entry_point": "f", "tests": [{"input": [], "expected": expected}], **options}
    score, reason = await outcome(test, fenced(f"def f():\n    return {body}"), problem, warm)
    assert score == passes, reason


async def test_inputs_arrive_as_they_were_meant(problem: Problem, warm: Resources) -> None:
    given = [
        1,
        1.5,
        "é",
        None,
        True,
        [[]],
        {"a": {}},
        {"$tuple": [1]},
        {"$set": []},
        {"$bytes": ""},
        {"$dict": [[1, 2]]},
    ]
    shown = "[1, 1.5, 'é', None, True, [[]], {'a': {}}, (1,), set(), b'', {1: 2}]"
    options = {"entry_point": "f", "tests": [{"input": given, "expected": shown}]}
    assert (await outcome(options, fenced("def f(*a):\n    return repr(list(a))"), problem, warm))[0] == 1


async def test_a_method_is_called_on_a_new_object(problem: Problem, warm: Resources) -> None:
    tests = [{"input": [1], "expected": 1}, {"input": [2], "expected": 2}]
    program = "class Solution:\n    def __init__(self): self.sum = 0\n    def add(self, n):\n        self.sum += n\n"
    score, _ = await outcome(
        {"entry_point": "Solution.add", "tests": tests}, fenced(f"{program}        return self.sum"), problem, warm
    )
    assert score == 1


async def test_after_a_call_that_hangs_the_others_still_count(problem: Problem, warm: Resources) -> None:
    options = {"entry_point": "double", "tests": CALLS, "timeout_s": 0.5}
    program = "def double(x):\n    while x == 3: pass\n    return 2 * x"
    score, reason = await outcome(options, fenced(program), problem, warm)
    assert (score, reason) == (
        0.75,
        "3 of 4 tests passed; the first that failed: double(3) gives nothing: 'it took too long'",
    )


async def test_many_long_answers_come_one_after_the_other(problem: Problem, warm: Resources) -> None:
    options = {"entry_point": "f", "tests": [{"input": [n], "expected": f"{n}" * 100_000} for n in range(10, 60)]}
    score, reason = await outcome(options, fenced("def f(n):\n    return str(n) * 100_000"), problem, warm)
    assert score == 1, reason


async def test_calls_after_the_one_that_decides_are_not_waited_for(problem: Problem, warm: Resources) -> None:
    options = {"entry_point": "double", "tests": CALLS, "credit": "all", "timeout_s": 30}
    program = "import time\ndef double(x):\n    time.sleep(10 * (x > 0))\n    return 1"
    async with asyncio.timeout(5):
        assert (await outcome(options, fenced(program), problem, warm))[1] == "a test failed: double(0) gives '1'"


async def test_memory_is_limited(problem: Problem, warm: Resources) -> None:
    options = {"entry_point": "f", "tests": [{"input": [n], "expected": n} for n in (1, 200)], "memory_mb": 64}
    score, reason = await outcome(options, fenced("def f(n):\n    return len(bytes(n << 20)) >> 20"), problem, warm)
    assert score == 0.5, reason
    assert "MemoryError" in reason


async def test_standard_input_and_output(problem: Problem, warm: Resources) -> None:
    tests = [{"stdin": "2 3\n", "stdout": "5"}, {"stdin": "4 5\n", "stdout": "9\n"}]
    program = "a, b = map(int, input().split())\nif __name__ == '__main__':\n    print(a + b, end='  \\n\\n')"
    assert (await outcome({"tests": tests}, fenced(program), problem, warm))[0] == 1
    score, reason = await outcome({"tests": tests, "whitespace": "exact"}, fenced(program), problem, warm)
    assert (score, reason.partition("failed: ")[2]) == (0, "given '2 3\\n' it prints '5  \\n\\n'")
    assert (await outcome({"tests": tests}, fenced(program + "\nexit()"), problem, warm))[0] == 1
    score, reason = await outcome({"tests": tests}, fenced(program + "\nassert a == 2, 'no two'"), problem, warm)
    assert (score, reason.partition("failed: ")[2]) == (0.5, "given '4 5\\n' it fails: 'AssertionError: no two'")


@pytest.mark.parametrize(
    ("printed", "options", "passes"),
    [
        ("1 2  3\\n", {"whitespace": "tokens"}, True),
        ("1 2 3.0001", {"whitespace": "tokens"}, False),
        ("1 2 3.0001", {"whitespace": "tokens", "tolerance": 0.01}, True),
        ("1 2 x", {"whitespace": "tokens", "tolerance": 0.01}, False),
        ("1 2 3 4", {"whitespace": "tokens", "tolerance": 0.01}, False),
    ],
)
async def test_outputs_by_tokens(
    printed: str, options: dict[str, Any], passes: bool, problem: Problem, warm: Resources
) -> None:
    tests = {"tests": [{"stdout": "1\n2\n3"}], **options}
    assert (await outcome(tests, fenced(f"print('{printed}')"), problem, warm))[0] == passes


async def test_assertions_count_one_by_one(problem: Problem, warm: Resources) -> None:
    tests = "assert double(1) == 2\nassert double(2) == 4, 'two'\nfor n in [1, 2]:\n    assert double(n) > n"
    options = {"test_source": tests}
    assert (await outcome(options, fenced(DOUBLE), problem, warm))[0] == 1
    score, reason = await outcome(options, fenced("def double(x):\n    return 3 * x - 1"), problem, warm)
    assert (score, reason) == (
        0.75,
        "3 of 4 tests passed; the first that failed: assert double(2) == 4, 'two' (AssertionError: two)",
    )


async def test_tests_see_what_calls_change_and_objects_and_exceptions(problem: Problem, warm: Resources) -> None:
    program = """
class Stack:
    def __init__(self): self.items = []
    def push(self, item): self.items.append(item)
    def __len__(self): return len(self.items)
    def pop(self):
        if not self.items: raise IndexError('empty')
        return self.items.pop()
def reverse(items): items.reverse()
def numbers(n): yield from range(n)
LIMIT = 7
"""
    tests = """
from solution import reverse
def test_objects():
    stack = Stack()
    stack.push((1, {2}))
    assert len(stack) == 1 and stack.items == [(1, {2})]
    assert stack.pop() == (1, {2})
    assert stack != Stack()
    try:
        stack.pop()
        assert False, 'nothing was raised'
    except IndexError as error:
        assert str(error) == 'IndexError: empty'
def test_the_rest():
    items = [1, 2, 3]
    reverse(items)
    assert items == [3, 2, 1]
    assert list(numbers(3)) == [0, 1, 2]
    assert LIMIT == 7
"""
    (verdict,) = await judged({"test_source": tests}, [fenced(program)], problem, warm)
    assert verdict.passed, verdict.reason


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("assert (", "the tests are no Python: SyntaxError"),
        ("import nowhere\nassert double(1) == 2", "the tests cannot run: ModuleNotFoundError"),
        ("double(1)", "the tests assert nothing that was reached"),
        ("assert double(lambda x: x) == 2", "a test passes a value of type function to the candidate"),
        ("def check(candidate):\n    assert candidate(1) == 2", "name the candidate's function as `entry_point`"),
        ("import os\nos._exit(0)", "the tests ended by exited, status 0"),
    ],
)
async def test_tests_at_fault_decide_nothing(tests: str, reason: str, problem: Problem, warm: Resources) -> None:
    (verdict,) = await judged({"test_source": tests}, [fenced(DOUBLE)], problem, warm)
    assert (verdict.status, verdict.score) == ("unavailable", None)
    assert reason in verdict.reason


async def test_helpers_of_the_prefix_are_the_tests_own(problem: Problem, warm: Resources) -> None:
    """A candidate that defines them anew deceives only itself."""
    prefix = "def apply(f, x):\n    return f(x)\n\ndef double(x):\n"
    options = {"prefix": prefix, "entry_point": "double", "test_source": "assert apply(double, 2) == 4"}
    forged = "def apply(f, x):\n    return 4\ndef double(x):\n    return x"
    assert (await outcome(options, "    return 2 * x", problem, warm))[0] == 1
    assert (await outcome(options, fenced("return x + x"), problem, warm))[0] == 1
    assert (await outcome(options, fenced(forged), problem, warm))[0] == 0


async def test_the_program_is_the_last_block_of_its_language_that_defines_the_function(
    problem: Problem, warm: Resources
) -> None:
    options = {"entry_point": "double", "tests": CALLS}
    example = "```python\nprint(double(2))\n```\n```text\n4\n```\n```\nno program\n```"
    reply = f"<think>{fenced('def double(x): return 0')}</think>{fenced('oh no(')}{fenced(DOUBLE)}{example}"
    assert (await outcome(options, reply, problem, warm))[0] == 1
    named = fenced(DOUBLE, 'python title="double.py"') + fenced("x = 1", "python other.py")
    assert (await outcome({**options, "block": "double.py"}, named, problem, warm))[0] == 1
    assert (await outcome({**options, "block": "nowhere.py"}, named, problem, warm)) == (
        0,
        "there is no code block with a program",
    )


async def test_a_prefix_that_is_no_program_by_itself_decides_nothing_of_its_helpers(
    problem: Problem, warm: Resources
) -> None:
    options = {"prefix": "def apply(f, x): return f(x)\nx = (", "entry_point": "double"}
    forged = fenced("def apply(f, x): return 4\ndef double(x): return x")
    (verdict,) = await judged({**options, "test_source": "assert apply(double, 2) == 4"}, [forged], problem, warm)
    assert (verdict.status, verdict.score) == ("unavailable", None)
    (verdict,) = await judged({**options, "test_source": "assert double(2) == 4"}, [forged], problem, warm)
    assert verdict.passed is False


@pytest.mark.parametrize(
    "value",
    [
        "10 ** 4000",
        "-(10 ** 400)",
        "1e308 * 10",
        "complex(1e308 * 10, 1)",
        "__import__('functools').reduce(lambda a, _: [a], range(99), 0)",
        "__import__('functools').reduce(lambda a, _: {0: a}, range(99), 0)",
        "__import__('functools').reduce(lambda a, _: [a], range(900), 0)",
        "[[]] * 100_000",
        "{n * (2 ** 61 - 1) for n in range(3_000)}",
        "'x' * 10_000_000",
        "{'$tuple': 1}",
        "{'$int': 'no'}",
    ],
)
async def test_strange_values_are_wrong_and_nothing_else(value: str, problem: Problem, warm: Resources) -> None:
    """The other candidates of the batch keep their verdicts."""
    programs = [fenced(f"def double(x):\n    return {value}"), fenced(DOUBLE)]
    for options in ({"entry_point": "double", "tests": CALLS}, {"test_source": "assert double(1) == 2"}):
        for tolerance in (0, 0.1):
            found = await judged({**options, "tolerance": tolerance}, programs, problem, warm)
            assert [verdict.passed for verdict in found] == [False, True], found[0].reason
    found = await judged({"entry_point": "double"}, programs, problem, warm)
    assert [verdict.score is not None for verdict in found] == [True, True]


@pytest.mark.parametrize("reply", ["", "I cannot do that.", "```python\ndef double(x:\n```", "```python\n\0\n```"])
async def test_what_is_no_program_fails(reply: str, problem: Problem, warm: Resources) -> None:
    for options in ({"entry_point": "double", "tests": CALLS}, {"test_source": "assert double(1) == 2"}, {}):
        score, reason = await outcome(options, reply, problem, warm)
        assert score == 0
        assert "no code block" in reason or "does not compile" in reason


async def test_hostile_words_are_cut_and_quoted(problem: Problem, warm: Resources) -> None:
    program = "def double(x):\n    raise ValueError('\\x1b[31m' + 'x' * 10_000 + '\\n')"
    _, reason = await outcome({"entry_point": "double", "tests": CALLS}, fenced(program), problem, warm)
    assert len(reason) < 500
    assert reason.isprintable()


async def test_programs_that_behave_alike_vote_together(problem: Problem, warm: Resources) -> None:
    replies = [fenced(DOUBLE), fenced("double = lambda n: n + n"), fenced("def double(x):\n    return x")]
    for options in ({"entry_point": "double", "tests": CALLS}, {"test_source": "assert double(2) == 4"}):
        first, second, third = await judged(options, replies, problem, warm)
        assert first.answer == second.answer != third.answer
        assert first.answer is not None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"language": "klingon"}, "unknown language 'klingon'; known: "),
        ({"tests": CALLS}, "calls need entry_point"),
        ({"entry_point": "f", "tests": CALLS, "test_source": "assert f"}, "only one of tests, test_source and inputs"),
        ({"entry_point": "f", "tests": [*CALLS, {"stdout": ""}]}, "all calls .* or all texts"),
        ({"entry_point": "f", "tests": [{"input": [], "expected": {"$no": 1}}]}, "stands for no value"),
        ({"entry_point": "f()", "tests": CALLS}, "entry_point"),
        ({"entry_point": "f", "tests": CALLS * 300}, "tests"),
        ({"timeout_s": 1e9}, "timeout_s"),
        ({"memory_mb": 1}, "memory_mb"),
        ({"test_source": "x" * 600_000}, "test_source"),
    ],
)
async def test_impossible_specifications_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Code.model_validate(options)


async def test_without_boxes_nothing_is_decided(workers: WorkerPool, problem: Problem) -> None:
    none = Sandbox(SandboxConfig(min_tier=Tier.A, python="/nowhere/python"))
    for resources in (Resources(workers, {}), Resources(workers, {}, sandbox=none)):
        for options in ({"entry_point": "double", "tests": CALLS}, {"test_source": "assert double(1) == 2"}, {}):
            (verdict,) = await judged(options, [fenced(DOUBLE)], problem, resources)
            assert (verdict.status, verdict.score) == ("unavailable", None)
            assert "sandbox" in verdict.reason
    await none.close()


async def test_interpreters_that_are_started_for_each_program_say_the_same(problem: Problem, warm: Resources) -> None:
    sandbox = Sandbox(SandboxConfig(warm=False))
    fresh = Resources(warm.workers, {}, sandbox=sandbox)
    programs = [fenced(DOUBLE), fenced("def double(x):\n    return x"), fenced("def double(x)\n    return 2 * x")]
    for options in ({"entry_point": "double", "tests": CALLS}, {"test_source": "assert double(3) == 6"}):
        found, expected = [await judged(options, programs, problem, resources) for resources in (fresh, warm)]
        assert [verdict.score for verdict in found] == [verdict.score for verdict in expected]
        assert found[0].passed
        assert [verdict.reason for verdict in found] == [verdict.reason for verdict in expected]
    await sandbox.close()
