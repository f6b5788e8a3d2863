"""Verdicts by mutual agreement: programs that behave alike on the same inputs speak for each other.

Chen et al. 2022 (CodeT, arXiv:2207.10397); Shi et al. 2022 (MBR-exec, arXiv:2204.11454). The score of a program is the
share of candidates that behave like it. One that gives a result on no input agrees with nobody.
"""

from collections import Counter
from collections.abc import Sequence

from deliberate.verifiers.programs.batches import each
from deliberate.verifiers.programs.guessed import Guesses
from deliberate.verifiers.programs.inputs import Behaviour, Inputs
from deliberate.verifiers.programs.reading import Written
from deliberate.verifiers.programs.registry import PYTHON
from deliberate.verifiers.programs.results import TestLimits
from deliberate.verifiers.protocol import Verdict
from deliberate.verifiers.sandbox.protocol import SandboxUnavailable
from deliberate.verifiers.sandbox.sandbox import Sandbox


async def by_agreement(
    sandbox: Sandbox,
    written: Sequence[Written | None],
    copies: Sequence[int],
    inputs: Inputs | Guesses,
    limits: TestLimits,
) -> list[Verdict]:
    """How many candidates behave like each, which counts as often as it has `copies`; where nothing shows what to run
    them on, whether they are programs."""
    try:
        known = await _guess(sandbox, written, inputs) if isinstance(inputs, Guesses) else inputs
    except SandboxUnavailable as error:
        return [Verdict.undecided(str(error))] * len(written)
    if known is None:
        return await _checked(sandbox, written)

    async def behaviour(program: Written) -> Behaviour:
        return await known.behaviour(program.program(sandbox), limits)

    return _compared(await each(written, behaviour), copies, len(known.values))


async def _guess(sandbox: Sandbox, written: Sequence[Written | None], guesses: Guesses) -> Inputs | None:
    sources = [program.sources[0] for program in written if program is not None and program.language in PYTHON]
    return await guesses.inputs(sandbox, sources) if sources else None


async def _checked(sandbox: Sandbox, written: Sequence[Written | None]) -> list[Verdict]:
    async def check(program: Written) -> Verdict:
        await program.program(sandbox).check()
        return Verdict(1.0, reason="it is a program; nothing shows what to run it on")

    return await each(written, check)


def _compared(found: Sequence[Behaviour | Verdict], copies: Sequence[int], inputs: int) -> list[Verdict]:
    counts, judged = Counter[str](), 0
    for one, count in zip(found, copies, strict=True):
        if isinstance(one, Behaviour) and one.results:
            counts[one.key] += count
        if isinstance(one, Behaviour) or one.status == "ok":
            judged += count

    def verdict(one: Behaviour | Verdict) -> Verdict:
        if isinstance(one, Verdict):
            return one
        if not one.results:
            return Verdict(0.0, reason=f"it gives a result on none of {inputs} inputs", answer=one.key)
        alike = counts[one.key]
        return Verdict(alike / judged, reason=f"{alike} of {judged} behave alike on {inputs} inputs", answer=one.key)

    return list(map(verdict, found))
