"""From a reply to the source of a program."""

import textwrap
from dataclasses import dataclass

from deliberate.verifiers.answers import after_reasoning
from deliberate.verifiers.programs.blocks import Block, choose, is_defined
from deliberate.verifiers.programs.boxed import BoxedProgram
from deliberate.verifiers.programs.pooled import PythonProgram
from deliberate.verifiers.programs.registry import FENCE_NAMES, PYTHON, find_language
from deliberate.verifiers.sandbox.sandbox import Sandbox

MAX_CHARACTERS = 500_000
"""Of a longer reply, this much of its end is looked at."""


@dataclass(frozen=True, slots=True)
class Written:
    """A program as it was written; equal ones are judged once."""

    language: str
    """A fence name of it."""
    sources: tuple[str, ...]
    """Ways to put it together, the first that parses counts; languages other than Python have one."""

    def program(self, sandbox: Sandbox) -> PythonProgram | BoxedProgram:
        """It, ready to run."""
        language = find_language(self.language)
        if language is None:
            return PythonProgram(sandbox, self.sources)
        return BoxedProgram(language, self.sources[0], sandbox)


@dataclass(frozen=True, slots=True)
class Reading:
    """Where in a reply the program stands."""

    language: str | None = None
    """A fence name of it; None for what the fence says, else Python."""
    block: str | None = None
    """A word beside the fence."""
    entry_point: str | None = None
    prefix: str = ""
    """Source that the reply may be a continuation of."""
    unfenced: bool = True
    """A reply without fences is a program."""

    def read(self, reply: str) -> Written | None:
        """The program; None where there is none."""
        text = after_reasoning(reply[-MAX_CHARACTERS:])
        block = choose(text, self._fence_names(), self.block, self.entry_point)
        if block is None and self.unfenced and self.block is None and "```" not in text and text.strip():
            block = Block((), text)
        if block is None:
            return None
        language = self.language or (block.language if block.language in FENCE_NAMES else "python")
        return Written(language, self._assembled(language, block.text))

    def _fence_names(self) -> frozenset[str]:
        if self.language is None:
            return FENCE_NAMES
        language = find_language(self.language)
        return PYTHON if language is None else language.fence_names

    def _assembled(self, language: str, source: str) -> tuple[str, ...]:
        if not self.prefix:
            return (source,)
        whole = self.entry_point is None or is_defined(self.entry_point, source)
        if language not in PYTHON:
            return (source if self.entry_point and self.entry_point in source else f"{self.prefix}\n{source}",)
        if whole:  # It may lean on the prefix's imports and helpers, whose last function it defines anew.
            return (f"{self.prefix}\n\n{source}", source)
        return (self.prefix + source, self.prefix + textwrap.indent(source, "    "))
