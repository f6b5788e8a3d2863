"""What Coq's programs print, read."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deliberate.verifiers.provers.reasons import SHOWN, failure, shown
from deliberate.verifiers.sandbox.protocol import Outcome

_ERROR = re.compile(
    r'(?:^File "\./\w+\.v", line (?P<line>\d+), characters (?P<column>\d+)-\d+:\n)?^Error:\s*(?P<text>.*)\Z',
    re.MULTILINE | re.DOTALL,
)
_LAST_ERROR = re.compile(r'^(?:File "\./\w+\.v", line \d+, characters \d+-\d+:\n)?Error:', re.MULTILINE)
_EXISTENTIAL = re.compile(r"^Existential \d+ =", re.MULTILINE)
_CLOSED = "Closed under the global context"
_SUMMARY = "\nCONTEXT SUMMARY\n===============\n"
_OWN = ("Task.Cand.", "Task.Check.")
_GIVEN = ("Goal.", "Task.Goal.")


@dataclass(frozen=True, slots=True)
class End:
    """Where a beginning leaves Coq."""

    open_goals: int
    given_up: bool
    in_proof: bool


def after_mark(outcome: Outcome, mark: str) -> End | None:
    """How things stand at the mark; None when Coq did not get there."""
    _, reached, rest = _said(outcome).partition(f"No term of basename {mark}")
    if not reached:
        return None
    goals = len(_EXISTENTIAL.findall(rest))
    return End(goals, "(given up)" in rest, "There are pending proofs" in rest)


def complaint(outcome: Outcome) -> str:
    """Why a file was not compiled, for people."""
    found = _last_error(outcome)
    return failure(outcome, found["text"] if found else _said(outcome)[-SHOWN:], "Coq")


def is_syntax_error(outcome: Outcome) -> bool:
    """Coq could not even read it."""
    found = _last_error(outcome)
    return found is not None and found["text"].startswith("Syntax error")


def error_offset(outcome: Outcome, text: str) -> int | None:
    """The byte of the file where the error begins; its end when the error is that more should follow, None without an
    error."""
    found = _last_error(outcome)
    if outcome.ended != "exited" or found is None:
        return None
    if found["line"] is None:
        return len(text.encode(errors="replace"))
    lines = text.encode(errors="replace").split(b"\n")
    return sum(len(line) + 1 for line in lines[: int(found["line"]) - 1]) + int(found["column"])


def objection(outcome: Outcome, axioms: Sequence[str]) -> str | None:
    """Why the check does not accept a proof; None when it does."""
    output = outcome.stdout.decode(errors="replace")
    assumed, summed_up, summary = output.partition(_SUMMARY)
    if not outcome.succeeded:
        if assumed.strip():
            return f"coqchk refuses the compiled proof: {shown(output[-SHOWN:])}"
        return complaint(outcome)
    if not summed_up or "* Theory: Set is predicative\n" not in summary:
        return f"the check said something else than expected: {shown(output)}"
    unproved = sorted({line.strip() for line in summary.split("\n") if line.strip().startswith(_OWN)})
    if unproved:
        return f"not proved, or not by the rules: {shown(', '.join(unproved))}"
    refused = [name for name in _assumptions(assumed) if not _allowed(name, axioms)]
    return f"it rests on {shown(', '.join(refused))}" if refused else None


def _assumptions(text: str) -> Iterator[str]:
    """What a proof rests on, as `Print Assumptions` says it: names, or sentences on what was switched off."""
    if text.strip() == _CLOSED:
        return
    first, *lines = text.strip().split("\n")
    if first != "Axioms:":
        yield first
    for line in lines:
        if line[:1].strip():
            yield line.partition(" : ")[0]


def _allowed(name: str, axioms: Sequence[str]) -> bool:
    """Coq prints the shortest name that is clear; the same axiom may be allowed by a longer or shorter one. Names of
    the candidate's own do not come this far."""
    if name.startswith(_GIVEN):
        return True
    return any(f".{name}".endswith(f".{axiom}") or f".{axiom}".endswith(f".{name}") for axiom in axioms)


def _said(outcome: Outcome) -> str:
    return outcome.stderr.decode(errors="replace")


def _last_error(outcome: Outcome) -> re.Match[str] | None:
    """The error that ended the file: what a candidate prints comes before it."""
    said = _said(outcome)
    start = max((found.start() for found in _LAST_ERROR.finditer(said)), default=None)
    return None if start is None else _ERROR.match(said, start)
