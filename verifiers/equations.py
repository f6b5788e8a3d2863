"""Finds the equations between numbers in a line of prose, and recomputes them exactly.

A run of adjacent numbers, operators and equals signs is cut at the equals signs into sides. Neighbouring sides are
compared when both have a value and any side of the run has an operator. A side has none when it touches what this
reader does not know: a variable, a unit in the middle, a root, two numbers without an operator. So words and units
cost coverage, never a false alarm.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product

from deliberate.verifiers.arithmetic import NUMBER, NoValue, Reading, evaluate, is_number
from deliberate.verifiers.plain_math import plain

_READINGS = (Reading(Fraction(1, 100)), Reading(Fraction(1)))
_TOKEN = re.compile(
    rf"(?P<number>{NUMBER})|(?P<operator>\*\*|[-+*/^%()])|(?P<times>(?<=[\d)%\s])[xX](?=\s*[\d(.]))"
    r"|(?P<of>(?<=%)\s*of\b(?=\s*[\d(.]))|(?P<other>[<>!]=|=+>)|(?P<equals>=+|≈)"
    r"|(?P<word>[^\W\d_]+)|(?P<glue>[\\√!_°|&#@'])|(?P<mark>\S)"
)
_ARITHMETIC = frozenset(("number", "operator", "times", "of", "equals"))
_ITEM_MARK = re.compile(r"\s*(?:[-*+•]\s+|\(?\w{1,2}[.):]\s+)*")
_DOLLAR_BEFORE_NUMBER = re.compile(r"[$€£](?=[\d.])")
_DOLLAR = re.compile(r"[$€£]")
_MULTIPLIERS = frozenset(["hundred", "thousand", "million", "billion", "trillion", "dozen", "k"])


@dataclass(frozen=True, slots=True)
class Equation:
    """Two neighbouring sides as written, and whether they agree."""

    left: str
    right: str
    holds: bool
    computed: Fraction
    """The exact value of the left side."""


def equations(line: str) -> list[Equation]:
    """The equations of one line that can be checked, in order."""
    text = _DOLLAR.sub(" ", _DOLLAR_BEFORE_NUMBER.sub("", plain(_ITEM_MARK.sub("", line, count=1))))
    return [equation for sides in _runs(_tokens(text)) for equation in _compared(sides)]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    tight: bool
    """No space stands before it."""


@dataclass(slots=True)
class _Side:
    """Arithmetic between two equals signs."""

    tokens: list[str]
    approximate: bool = False
    """It follows `≈`."""
    known: bool = True
    """False when it touches something that is not arithmetic."""

    @property
    def literal(self) -> str | None:
        """The digits, where the side is one number as written."""
        digits = [token for token in self.tokens if is_number(token)]
        signs = {token for token in self.tokens if not is_number(token)}
        return digits[0] if len(digits) == 1 and signs <= {"-", "+", "%"} else None

    def values(self) -> list[Fraction]:
        """The value under each reading of the percent sign; nothing when it has none."""
        try:
            return [evaluate(self.tokens, reading) for reading in _READINGS] if self.known else []
        except NoValue:
            return []

    def __str__(self) -> str:
        return re.sub(r" ([%)])|(\() ", r"\1\2", " ".join(self.tokens))


def _tokens(text: str) -> list[_Token]:
    tokens, end = list[_Token](), -1
    for match in _TOKEN.finditer(text):
        spelling = {"times": "*", "of": "*"}.get(match.lastgroup or "", match[0]).replace("**", "^")
        tokens.append(_Token(match.lastgroup or "mark", spelling, match.start() == end))
        end = match.end()
    return tokens


def _runs(tokens: list[_Token]) -> Iterator[list[_Side]]:
    """The sides of each run of arithmetic; two numbers without an operator between them part two runs."""
    start = 0
    for index, token in enumerate(tokens):
        parted = index > 0 and token.kind == "number" == tokens[index - 1].kind
        if token.kind not in _ARITHMETIC or parted:
            if index > start:
                yield _sides(tokens, start, index)
            start = index if parted else index + 1
    if len(tokens) > start:
        yield _sides(tokens, start, len(tokens))


def _sides(tokens: list[_Token], start: int, end: int) -> list[_Side]:
    """The run tokens[start:end] cut at its equals signs."""
    sides = [_Side([])]
    for previous, token in zip([None, *tokens[start : end - 1]], tokens[start:end], strict=True):
        if token.kind == "equals":
            sides.append(_Side([], approximate=token.text == "≈"))
            continue
        if token.text == "(" and previous and (previous.kind == "number" or previous.text == ")"):
            sides[-1].tokens.append("*")
        sides[-1].tokens.append(token.text)
    sides[0].known = _starts_clean(tokens[start - 1] if start else None, tokens[start : start + 2])
    sides[-1].known &= _ends_clean(tokens[end - 1], tokens[end] if end < len(tokens) else None)
    if len(sides) > 1:
        sides[0].tokens = _unopened(sides[0].tokens)
        sides[-1].tokens = _unclosed(sides[-1].tokens)
    return sides


def _starts_clean(before: _Token | None, run: list[_Token]) -> bool:
    """Nothing before the run belongs to its first side."""
    first = run[0]
    if before is None:
        return True
    if before.kind in ("glue", "number"):
        return False
    if first.text in ("-", "+"):
        signs_number = len(run) == 2 and run[1].tight and not first.tight
        return before.text in ("<", ",", ":", ";") or (signs_number and before.kind == "word" and len(before.text) > 1)
    if before.kind == "word":  # `f(3 + 4)`, `x3 + 4`, `week 2 = 5 * 7`
        return not first.tight and not (len(run) == 2 and run[1].kind == "equals")
    return not (first.tight and before.text in (":", ",", "."))  # `6:30`, `16,0000`


def _ends_clean(last: _Token, after: _Token | None) -> bool:
    """Nothing after the run belongs to its last side."""
    if after is None:
        return True
    if after.kind in ("glue", "number") or after.text.lower() in _MULTIPLIERS or (after.tight and after.text == ":"):
        return False
    return not (after.tight and after.kind == "word" and len(after.text) == 1 and last.kind != "equals")


def _unopened(tokens: list[str]) -> list[str]:
    """Without the parenthesis that opens around the whole equation: `(3 + 4 = 7)`."""
    return tokens[1:] if tokens[:1] == ["("] and tokens.count("(") == tokens.count(")") + 1 else tokens


def _unclosed(tokens: list[str]) -> list[str]:
    return tokens[:-1] if tokens[-1:] == [")"] and tokens.count(")") == tokens.count("(") + 1 else tokens


def _compared(sides: list[_Side]) -> Iterator[Equation]:
    valued = [(side, side.values()) for side in sides]
    if all(side.literal is not None for side, values in valued if values):
        return
    for (left, left_values), (right, right_values) in pairwise(valued):
        if left_values and right_values:
            pairs = list(product(left_values, right_values)) if "%" in left.tokens + right.tokens else []
            pairs = pairs or [(left_values[0], right_values[0])]
            holds = any(_agree(left, right, a, b) for a, b in pairs)
            yield Equation(str(left), str(right), holds, left_values[0])


def _agree(left: _Side, right: _Side, a: Fraction, b: Fraction) -> bool:
    """Equal, or equal to the digits that the side written as a decimal prints."""
    return abs(a - b) <= max(_rounding(left, right.approximate), _rounding(right, right.approximate))


def _rounding(side: _Side, approximate: bool) -> Fraction:
    """Half a unit of the last printed digit; an integer after `=` is exact."""
    if side.literal is None:
        return Fraction(0)
    decimals = len(side.literal.partition(".")[2])
    if decimals == 0 and not approximate:
        return Fraction(0)
    unit = Fraction(1, 10**decimals) / 2
    return unit / 100 if "%" in side.tokens else unit
