"""When two answers are the same answer: canonical keys that group candidates for a vote.

Keys are exact and cheap: no symbolic algebra, nothing is evaluated but one fraction or power of ten. What they
cannot see (`x(x+1)` and `x^2+x`) is left apart; the `reference` verifier asks math-verify there.
"""

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction

from deliberate.verifiers.plain_math import plain
from deliberate.verifiers.strict_json import NotJson, canonical_text

MAX_CHARACTERS = 2_000
"""Longer answers are equal only when they are the same text."""
MAX_DIGITS = 400
"""Of a number, its power of ten included; beyond it the answer is compared as text."""

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?!\d)|\d+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d*)?|\.\d+)"
_QUANTITY = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<currency>[$€£¥₹]?)\s*(?P<sign2>[+-]?)"
    rf"(?:(?P<whole>\d+) +(?P<part>\d+/\d+)"
    rf"|(?P<above>{_DECIMAL})\s*/\s*(?P<below>[+-]?{_DECIMAL})"
    rf"|(?P<number>{_DECIMAL})(?:[eE](?P<e>[+-]?\d+)|\s*[*x]\s*10\s*\^\s*[{{]?(?P<power>[+-]?\d+)[}}]?)?)"
    r"\s*(?P<unit>[%$€£¥₹]|[^\W\d_°][^\W_]*(?:[ /^][^\W_]+){0,3}|°\s*[CF]?)?",
    re.ASCII,
)
_ASSIGNMENT = re.compile(r"[a-zA-Z]\s*=\s*(?=[^=])")
_QUOTES = "\u2018\u2019\u201c\u201d"
_WRAPPING = " \t\r\n*_`\"'" + _QUOTES
_EXCLAMATION = re.compile(r"(?<=[^\W\d])!+$")
_WORD = re.compile(r"(?<![\\a-zA-Z])[^\W\d_]{3,}")
_FUNCTIONS = {
    "sin",
    "cos",
    "tan",
    "cot",
    "sec",
    "csc",
    "arcsin",
    "arccos",
    "arctan",
    "log",
    "exp",
    "sqrt",
    "mod",
    "inf",
}
_UNIT_SPELLINGS = {"percent": "%", "per cent": "%", "dollar": "$", "dollars": "$", "usd": "$"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact number and what it counts."""

    value: Fraction
    unit: str
    """As written, case-folded; "%" for percent; empty for none, and for dollars."""

    def __str__(self) -> str:
        return f"{self.value} {self.unit}".rstrip()


def answer_key(answer: str) -> str:
    """The canonical spelling that equal answers share; never raises.

    Numbers are exact rationals (1,000 = 1e3 = 2000/2), a dollar sign is dropped, percent and units are kept (10 %
    is not 10, 5 cm is not 5 m). JSON objects and arrays ignore key order and spaces. All else is compared as text
    without regard to case, spacing and closing punctuation.
    """
    answer = answer.strip()
    if len(answer) > MAX_CHARACTERS:
        digest = hashlib.sha256(" ".join(answer.split()).encode("utf-8", "surrogatepass"))
        return f"sha256:{digest.hexdigest()}"
    number = quantity(answer)
    if number is not None:
        return str(number)
    return _document_key(answer) or _text_key(answer)


def quantity(answer: str) -> Quantity | None:
    """The answer as an exact number with its unit; None when it is anything else."""
    text = _bare(answer)
    if len(text) > MAX_CHARACTERS:
        return None
    if "(" in text and "," not in text:
        text = text.replace("(", "").replace(")", "").strip()
    match = _QUANTITY.fullmatch(_ASSIGNMENT.sub("", text, count=1))
    if match is None:
        return None
    value = _value(match)
    return None if value is None else Quantity(value, _unit(match))


def is_expression(text: str) -> bool:
    """It reads as mathematics: no word of three letters or more but names of functions and LaTeX commands."""
    return all(word.lower() in _FUNCTIONS for word in _WORD.findall(plain(text)))


def _bare(answer: str) -> str:
    """Plain arithmetic without the marks that wrap or end an answer."""
    text = plain(answer.strip()).strip(_WRAPPING)
    while text.startswith("$") and text.endswith("$") and len(text) > 1:
        text = text[1:-1].strip(_WRAPPING)
    return text.rstrip(".,;:?" + _WRAPPING)


def _value(match: re.Match[str]) -> Fraction | None:
    """None for what cannot be a number here: too many digits, a zero denominator."""
    if len(match[0]) > MAX_DIGITS:
        return None
    power = int(match["e"] or match["power"] or 0)
    if abs(power) > MAX_DIGITS:
        return None
    sign = -1 if (match["sign"] == "-") != (match["sign2"] == "-") else 1
    if match["whole"]:
        above, below = match["part"].split("/")
        return None if int(below) == 0 else sign * (int(match["whole"]) + Fraction(int(above), int(below)))
    below = _fraction(match["below"] or "1")
    if below == 0:
        return None
    return sign * _fraction(match["above"] or match["number"]) / below * Fraction(10) ** power


def _fraction(digits: str) -> Fraction:
    digits = digits.replace(",", "").replace(" ", "")
    return Fraction(digits + "0" if digits.endswith(".") else digits)


def _unit(match: re.Match[str]) -> str:
    unit = " ".join((match["unit"] or match["currency"] or "").casefold().split())
    unit = _UNIT_SPELLINGS.get(unit, unit)
    return "" if unit == "$" else unit


def _document_key(answer: str) -> str | None:
    if not answer.lstrip().startswith(("{", "[")):
        return None
    try:
        return canonical_text(answer)
    except NotJson:
        return None


def _text_key(answer: str) -> str:
    text = _EXCLAMATION.sub("", _bare(answer)).casefold()
    text = " ".join(text.split())
    if len(text) == 3 and text[0] == "(" and text[2] == ")":
        return text[1]
    return text.replace(" ", "") if is_expression(text) else text
