"""LaTeX and Unicode spellings of arithmetic, rewritten as plain text: `\\frac{1}{2}` is `(1)/(2)`, `\\times` is `*`."""

import re
import unicodedata

_VULGAR_FRACTION = re.compile("(?=[¼-¾⅐-⅞↉])")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴-⁹]+")
_CHARACTERS = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{FIGURE DASH}": "-",
        "\N{FRACTION SLASH}": "/",
        "\N{DIVISION SIGN}": "/",
        "\N{DIVISION SLASH}": "/",
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{MIDDLE DOT}": "*",
        "\N{DOT OPERATOR}": "*",
        "\N{BULLET OPERATOR}": "*",
        "\N{ASTERISK OPERATOR}": "*",
        "\N{ALMOST EQUAL TO}": "≈",
        "~": " ",
    }
)
_NUMERATOR = r"\\[dtc]?frac\s*(?:\{([^{}\\]{1,200})\}|(\d))\s*(?:\{([^{}\\]{1,200})\}|(\d))"
_FRACTION = re.compile(_NUMERATOR)
_WRAPPER = re.compile(
    r"\\(?:text|mathrm|mathbf|mathit|mathsf|textbf|textit|operatorname|mbox|boldsymbol)\s*\{([^{}]{0,200})\}"
)
_COMMANDS = (
    (re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])"), "*"),
    (re.compile(r"\\div(?![a-zA-Z])"), "/"),
    (re.compile(r"\\approx(?![a-zA-Z])"), "≈"),
    (re.compile(r"\\(?:left|right|displaystyle|quad|qquad|big|Big)(?![a-zA-Z])"), " "),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z])"), "°"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\([%$#&_])"), r"\1"),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\\[,!;: ]"), ""),
)


def plain(text: str) -> str:
    """The same arithmetic in plain characters. Linear in the length; unknown LaTeX stays as it is."""
    text = _SUPERSCRIPT.sub(r"^\g<0>", _VULGAR_FRACTION.sub(" ", text))
    text = unicodedata.normalize("NFKC", text).translate(_CHARACTERS)
    if "\\" not in text:
        return text
    for pattern, replacement in _COMMANDS:
        text = pattern.sub(replacement, text)
    text = _WRAPPER.sub(r" \1 ", text)
    return _FRACTION.sub(_as_division, text)


def _as_division(match: re.Match[str]) -> str:
    above, above_digit, below, below_digit = match.groups()
    return f" (({above or above_digit})/({below or below_digit}))"
