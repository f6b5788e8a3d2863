import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.verifiers.equivalence import answer_key, is_expression, quantity


@pytest.mark.parametrize(
    "spellings",
    [
        ("1000", "1,000", "1000.0", "1e3", "2000/2", "\\frac{2000}{2}", "$1,000.", "\\$1000", "x = 1000", "**1000**"),
        ("1/2", "0.5", ".5", "½", "\\frac12", "\\dfrac{1}{2}", "2/4", "\\(\\frac{1}{2}\\)", "$\\frac{1}{2}$"),
        ("5/2", "2 1/2", "2½", "2\\frac{1}{2}", "2.50", "5 / 2"),
        ("-5", "\u22125", "-$5", "$-5", "-5.0"),
        ("10%", "10 percent", "10\\%", "10.0 %"),
        ("5 cm", "5cm", "5.0 cm.", "5 \\text{ cm}"),
        ("90°", "90^\\circ"),
        ("3000", "3 \\times 10^{3}", "3 * 10^3"),
        ("18", "18 dollars", "18.", "018"),
        ('{"a": 1, "b": [2.5]}', '{"b":[25e-1],"a":1.0}'),
        ("Paris", "paris.", "  PARIS ", "**Paris**"),
        ("New  York", "new york"),
        ("(B)", "B", "b", "\\text{B}"),
        ("x + 3", "x+3"),
        ("(1, 2)", "(1,2)"),
    ],
)
def test_equal_answers_share_a_key(spellings: tuple[str, ...]) -> None:
    assert {answer_key(spelling) for spelling in spellings} == {answer_key(spellings[0])}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10", "10%"),
        ("5 cm", "5 m"),
        ("1/3", "0.333333"),
        ("5", "5!"),
        ("5^2", "52"),
        ("5²", "52"),
        ("1,5", "15"),
        ("(1, 2)", "12"),
        ('{"a": 1}', '{"a": 2}'),
        ('{"a": "1"}', '{"a": 1}'),
        ("12:30", "1230"),
        ("-5", "5"),
    ],
)
def test_different_answers_do_not(one: str, other: str) -> None:
    assert answer_key(one) != answer_key(other)


@given(st.fractions(max_denominator=10**6))
def test_a_fraction_is_itself_in_any_spelling(value: Fraction) -> None:
    doubled = f"\\frac{{{2 * value.numerator}}}{{{2 * value.denominator}}}"
    assert quantity(f"{value}") == quantity(doubled) == quantity(f"${value}$.")
    assert quantity(f"{value}") is not None


@given(st.integers(), st.sampled_from(["", ".", ".0", " ", "e0", "/1"]))
def test_an_integer_is_itself_in_any_spelling(value: int, ending: str) -> None:
    assert answer_key(f"{value:,}{ending}") == str(value)


@given(st.text(max_size=100) | st.text(st.characters(categories=["Cs", "No", "Nd", "P", "S"]), max_size=20))
def test_it_never_raises_and_keys_are_stable(answer: str) -> None:
    assert answer_key(answer) == answer_key(f" {answer} ")


@pytest.mark.parametrize("answer", ["10^(10^10)", "9" * 1_000_000, "1e999999999", "1/0", "[" * 1_000_000, "9" * 1_999])
def test_monsters_cost_nothing(answer: str) -> None:
    started = time.process_time()
    assert quantity(answer) is None
    assert answer_key(answer)
    assert time.process_time() - started < 0.2


def test_expressions_are_told_from_prose() -> None:
    assert is_expression("\\sqrt{x} + sin(y)")
    assert not is_expression("the sum of x and y")
