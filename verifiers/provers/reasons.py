"""What a prover's programs said, for people: hostile text in one short line."""

from deliberate.verifiers.sandbox.protocol import Outcome

SHOWN = 200
"""Characters of what was said that a reason repeats."""


def shown(text: str) -> str:
    """In one short line."""
    line = " ".join(text.split())
    return repr(line if len(line) <= SHOWN else line[:SHOWN] + "…")


def failure(outcome: Outcome, said: str, system: str) -> str:
    """Why a program of the prover did not succeed, given what it said of that."""
    match outcome.ended:
        case "timeout":
            return f"no end after {outcome.seconds:.0f} s"
        case "memory":
            return "it took more memory than allowed"
        case "output" | "disk":
            return "it wrote more than allowed"
        case "exited":
            return shown(said) if said.strip() else f"{system} ended with status {outcome.code}"
