"""Python literals from text, within bounds."""

import ast
import warnings
from typing import Any

MAX_CHARACTERS = 200_000


class NotLiteral(ValueError):
    """The text is no Python literal, or too large a one."""


def literal(text: str) -> Any:
    """The value of a number, string, list, tuple, set, dict, True, False or None. Nothing is run.

    For worker processes: text that nests too deep may end the process. Raises NotLiteral.
    """
    if len(text) > MAX_CHARACTERS:
        raise NotLiteral(f"a literal has {len(text)} characters, more than {MAX_CHARACTERS}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of unknown escapes
            return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise NotLiteral(f"no Python literal: {type(error).__name__}") from error
