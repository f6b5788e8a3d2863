"""Mathematical equality by math-verify, as a job for a worker process. Import it anywhere: it loads sympy only there.

Only math-verify's LaTeX reader is used: its reader of plain expressions hands them to Python's `eval`.
"""

import logging
from typing import Any


class Unreadable(Exception):
    """One of the answers is not mathematics that math-verify can read (or it ran out of memory or stack reading it)."""


def equal(reference: str, answer: str) -> bool:
    """Whether two LaTeX (or plain) expressions are equal. Raises Unreadable."""
    # Slow to import, and of no use to the process that schedules the job.
    from math_verify import LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    # Its own time limit is an alarm signal, which loses against long C calls; the pool's kill does not.
    options: dict[str, Any] = {"fallback_mode": "no_fallback", "parsing_timeout": None}

    def read(text: str) -> list[Any]:
        parsed = parse(f"${text.replace('$', '')}$", [LatexExtractionConfig()], **options)
        if not parsed:
            raise Unreadable(f"{text!r} could not be read as mathematics")
        return parsed

    return verify(read(reference), read(answer), timeout_seconds=None)
