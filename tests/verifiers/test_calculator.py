import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.verifiers.calculator import Calculator
from deliberate.verifiers.equations import equations
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict


@pytest.mark.parametrize(
    "line",
    [
        "3 + 4 = 7",
        "- 3 + 4 = 7",
        "1. 3 + 4 = 7.",
        "-3 + 4 = 1",
        "2 + 3 * 4 = 14",
        "(2 + 3) \u00d7 4 = 20 apples",
        "2(3 + 4) = 14",
        "6 x 7 = 42, so 42 - 2 = 40",
        "10 ÷ 4 = 2.5",
        "10 / 4 = 5/2 = 2.5",
        "$1,250 + $50 = $1,300",
        "1/3 = 0.33",
        "2 / 3 = 0.67",
        "0.1 + 0.2 = 0.3",
        "10 / 3 ≈ 3",
        "20% of 50 = 10",
        "15 / 60 = 25%",
        "15 / 60 * 100 = 25%",
        "10% + 5% = 15%",
        "3 * 5 = 15 + 2 - 2 = 15",
        "2^3 + 1 = 9",
        "5² - 1 = 24",
        "\\frac{1}{2} + \\frac{1}{4} = \\frac{3}{4}",
        "3 \\times 4 = 12",
        "She has 16 - 3 - 4 = <<16-3-4=9>>9 eggs left.",
        "The sum (3 + 4 = 7) is odd.",
        "5 - -3 = 8",
    ],
)
def test_right_equations_hold(line: str) -> None:
    found = equations(line)
    assert found
    assert all(equation.holds for equation in found), found


@pytest.mark.parametrize(
    ("line", "computed"),
    [
        ("3 + 4 = 8", "7"),
        ("2 + 3 * 4 = 20", "14"),
        ("1/3 = 0.34", "1/3"),
        ("2 / 3 = 0.66", "2/3"),
        ("10 / 3 = 3", "10/3"),
        ("$1,250 + $50 = $1,200", "1300"),
        ("3 + 4 = 7 = 8", "7"),
        ("20% of 50 = 11", "10"),
    ],
)
def test_wrong_equations_do_not(line: str, computed: str) -> None:
    assert [str(equation.computed) for equation in equations(line) if not equation.holds] == [computed]


@pytest.mark.parametrize(
    "line",
    [
        "x + 5 - 2 = 10",
        "3x = 12",
        "2x + 3 = 11",
        "7 = 8",
        "f(3 + 4) = 10",
        "√16 + 1 = 5",
        "\\sqrt{16} + 1 = 5",
        "4! + 1 = 25",
        "5 * 60 minutes = 5 hours",
        "6 * 1000 = 6 thousand",
        "6:30 + 48 = 7:18",
        "week 2 = 5 * 7",
        "2 1/2 + 1 = 3 1/2",
        "4 / 0 = 0",
        "9^9^9^9 = 1",
        "3 + 4 >= 8",
        "9" * 5_000 + " + 1 = 2",
        "(" * 5_000 + "1 + 1 = 3",
        "+" * 5_000 + "1 + 1 = 3 +",
    ],
)
def test_what_it_cannot_read_it_does_not_judge(line: str) -> None:
    assert [equation for equation in equations(line) if not equation.holds] == []


@given(st.integers(-999, 999), st.sampled_from("+-*"), st.integers(0, 999), st.integers(-5, 5))
def test_integers_are_exact(a: int, operator: str, b: int, error: int) -> None:
    result = {"+": a + b, "-": a - b, "*": a * b}[operator] + error
    assert [equation.holds for equation in equations(f"{a} {operator} {b} = {result}")] == [error == 0]


@given(st.text(max_size=100) | st.text(alphabet="0123456789+-*/^%()=. x$,≈\\", max_size=60))
def test_it_never_raises(line: str) -> None:
    equations(line)


async def verdict(text: str, problem: Problem, resources: Resources, finished: bool = True, **options: str) -> Verdict:
    verifier = Calculator.model_validate(options).build(resources)
    assert verifier.judges is Judges.STEPS
    (found,) = await verifier.verify(problem, [Candidate(text, finished=finished)])
    return found


async def test_the_reason_names_the_first_wrong_line(problem: Problem, resources: Resources) -> None:
    found = await verdict("Let us see.\n\n3 + 4 = 7\n7 * 2 = 15\n15 - 1 = 13\n", problem, resources)
    assert found == Verdict(0.0, False, (1.0, 1.0, 0.0, 0.0), "step 3: 7 * 2 = 14, not 15")


@pytest.mark.parametrize(("rule", "score"), [("last", 1.0), ("min", 0.0), ("prod", 0.0), ("mean", 0.75), ("max", 1.0)])
async def test_the_aggregation_makes_the_score(rule: str, score: float, problem: Problem, resources: Resources) -> None:
    found = await verdict("1 + 1 = 2\n1 + 2 = 4\n2 + 2 = 4\nDone", problem, resources, aggregation=rule)
    assert (found.score, found.passed) == (score, False)


async def test_nothing_to_check_is_no_verdict(problem: Problem, resources: Resources) -> None:
    assert (await verdict("It is 42.", problem, resources)).status == "unavailable"


async def test_the_unfinished_line_is_not_judged(problem: Problem, resources: Resources) -> None:
    text = "12 + 30 = 42\n42 * 10 = 4"
    assert await verdict(text, problem, resources, finished=False) == Verdict(1.0, True, (1.0,), "1 equation hold")
    assert (await verdict(text, problem, resources)).score == 0.0


async def test_steps_follow_the_separator(problem: Problem, resources: Resources) -> None:
    found = await verdict("1 + 1 = 2\n2 + 2 = 5\n\n5 + 1 = 6", problem, resources, step_separator="\n\n")
    assert found.steps == (0.0, 1.0)
