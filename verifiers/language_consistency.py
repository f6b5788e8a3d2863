"""The `language_consistency` verifier: does the reply keep to one language?

The language consistency reward of DeepSeek-R1 (DeepSeek-AI 2025, arXiv:2501.12948): the share of words that are in the
target language. Models that reason for long mix languages.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, StringConstraints

from deliberate.engines.protocol import Message
from deliberate.verifiers.languages import UnknownLanguage, share_of
from deliberate.verifiers.messages import text_of
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.thinking import Part, part_of
from deliberate.verifiers.workers import WorkerLost, WorkerPool

MAX_CHARACTERS = 500_000
"""Of a reply, or a prompt."""


class LanguageConsistency(VerifierConfig, frozen=True):
    """The share of words that are in the wanted language; code, formulas, tags and single letters are not counted.

    Languages are told by their letters, then sentence by sentence by a classifier (py3langid, 139 languages).
    """

    kind: Literal["language_consistency"] = "language_consistency"
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")] | None = None
    """Its code (ISO 639): `en`, `de`, `zh`. None for the language of the user's last message."""
    part: Part = "all"
    """All of the text, the chain of thought at its beginning alone, or the reply that follows."""
    timeout_s: Annotated[FiniteFloat, Field(gt=0, le=60)] = 10.0
    """Seconds for one candidate, in a process that is killed then; its first candidate waits for the classifier."""

    def build(self, resources: Resources) -> "LanguageConsistencyVerifier":
        return LanguageConsistencyVerifier(self, resources.workers)


@dataclass(frozen=True, slots=True)
class LanguageConsistencyVerifier:
    config: LanguageConsistency
    workers: WorkerPool

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        prompt = _last_question(problem.messages)
        return list(await asyncio.gather(*(self._judge(prompt, candidate) for candidate in candidates)))

    async def _judge(self, prompt: str, candidate: Candidate) -> Verdict:
        text = part_of(candidate.text, self.config.part)
        if max(len(text), len(prompt)) > MAX_CHARACTERS:
            return Verdict.undecided(f"a text has more than {MAX_CHARACTERS} characters")
        try:
            share = await self.workers.run(self.config.timeout_s, share_of, self.config.language, text, prompt)
        except TimeoutError:
            return Verdict.undecided(f"reading the text took more than {self.config.timeout_s:g} s", "timeout")
        except (UnknownLanguage, WorkerLost, MemoryError) as error:
            return Verdict.undecided(f"no language was compared: {error or type(error).__name__}")
        if share.of == 0:
            return Verdict.undecided("the text has no words")
        return Verdict(share.words / share.of, reason=f"{share.words} of {share.of} words are {share.language!r}")


def _last_question(messages: Sequence[Message]) -> str:
    return next((text_of(message) for message in reversed(messages) if message.get("role") == "user"), "")
