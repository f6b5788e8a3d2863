"""Exact arithmetic on expressions of numbers, `+ - * / ^`, percent signs and parentheses.

Values are rationals of bounded size: an expression beyond the bounds has no value, it never costs time.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

MAX_TOKENS = 200
MAX_BITS = 4_096
"""Of a numerator or denominator."""
MAX_NESTING = 40

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(NUMBER)


class NoValue(Exception):
    """The expression is malformed, divides by zero or outgrows the bounds."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a percent sign means: one hundredth, or nothing (as in `25 / 100 * 40 = 10%`)."""

    percent: Fraction


def is_number(token: str) -> bool:
    return _NUMBER.fullmatch(token) is not None


def number(token: str) -> Fraction:
    """The value of a number as written, thousands separators allowed."""
    if len(token) > 60:
        raise NoValue
    return Fraction(token.replace(",", ""))


def evaluate(tokens: Sequence[str], reading: Reading) -> Fraction:
    """The exact value of an expression given as tokens. Raises NoValue."""
    if not tokens or len(tokens) > MAX_TOKENS:
        raise NoValue
    parser = _Parser(tokens, reading)
    value = parser.sum()
    if parser.position != len(tokens):
        raise NoValue
    return value


class _Parser:
    """Precedence climbing, one method per level."""

    def __init__(self, tokens: Sequence[str], reading: Reading) -> None:
        self._tokens = tokens
        self._reading = reading
        self._nesting = 0
        self.position = 0

    def sum(self) -> Fraction:
        return self._chain(self._product, ("+", "-"))

    def _product(self) -> Fraction:
        return self._chain(self._signed, ("*", "/"))

    def _chain(self, operand: Callable[[], Fraction], operators: tuple[str, str]) -> Fraction:
        value = operand()
        while self._peek() in operators:
            operator = self._take()
            value = _apply(operator, value, operand())
        return value

    def _signed(self) -> Fraction:
        sign = 1
        while self._peek() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        return sign * self._power()

    def _power(self) -> Fraction:
        value = self._atom()
        while self._peek() == "%":
            self._take()
            value *= self._reading.percent
        if self._peek() == "^":
            self._take()
            value = _raised(value, self._signed())
        return value

    def _atom(self) -> Fraction:
        token = self._take()
        if token != "(":
            if not is_number(token):
                raise NoValue
            return number(token)
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise NoValue
        value = self.sum()
        if self._take() != ")":
            raise NoValue
        self._nesting -= 1
        return value

    def _peek(self) -> str:
        return self._tokens[self.position] if self.position < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self.position += 1
        return token


def _apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    if operator == "/" and right == 0:
        raise NoValue
    operations = {"+": left.__add__, "-": left.__sub__, "*": left.__mul__, "/": left.__truediv__}
    return _bounded(operations[operator](right))


def _raised(base: Fraction, exponent: Fraction) -> Fraction:
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if exponent.denominator != 1 or size * abs(exponent) > MAX_BITS or abs(exponent) > MAX_BITS:
        raise NoValue
    if base == 0 and exponent < 0:
        raise NoValue
    return base ** int(exponent)


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise NoValue
    return value
