"""The `format` verifier: are the tags there that the reply should be written in?

The format reward of DeepSeek-R1-Zero (DeepSeek-AI 2025, arXiv:2501.12948): reasoning in `<think>…</think>`, then the
answer in `<answer>…</answer>`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig

TagName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]


class TagFormat(VerifierConfig, frozen=True):
    """The reply is a row of tagged blocks: each tag once, in order, none within another, none empty.

    Whitespace may stand around the blocks, and nothing else.
    """

    kind: Literal["format"] = "format"
    tags: Annotated[tuple[TagName, ...], Field(min_length=1, max_length=16)] = ("think", "answer")
    """Names of the tags, in their order."""
    opened: bool | None = None
    """Whether the prompt opened the first tag, as some chat templates do; None takes replies with and without it."""
    text_outside: bool = False
    """Text may stand around the blocks."""
    empty_blocks: bool = False
    """Blocks may be empty."""
    credit: Literal["share", "all"] = "all"
    """The score of a reply that does not pass: the share of what is right (each opening and each closing tag that is
    there once, the order and what is outside, what is inside); or 0."""

    @field_validator("tags")
    @classmethod
    def _differ(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tags)) < len(tags):
            raise ValueError(f"each tag is named once; got {', '.join(tags)}")
        return tags

    def build(self, resources: Resources) -> "TagFormatVerifier":
        return TagFormatVerifier(self)


@dataclass(frozen=True, slots=True)
class TagFormatVerifier:
    config: TagFormat

    judges = Judges.OUTCOME

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [self._judge(candidate.text) for candidate in candidates]

    def _judge(self, text: str) -> Verdict:
        complaints = list(self._checks(text))
        wrong = [complaint for complaint in complaints if complaint is not None]
        if not wrong:
            return Verdict.decided(True, "as asked")
        share = 1 - len(wrong) / len(complaints) if self.config.credit == "share" else 0.0
        return Verdict(share, False, reason=wrong[0])

    def _checks(self, text: str) -> Iterator[str | None]:
        """What is wrong, or None, of each thing that is looked at."""
        text = self._begun(text)
        marks = [mark for tag in self.config.tags for mark in (f"<{tag}>", f"</{tag}>")]
        for mark in marks:
            count = text.count(mark)
            yield None if count == 1 else f"{mark} is there {count} times"
        pieces = _split(text, marks)
        if pieces is None:
            yield from (f"the tags are not in the order {''.join(marks)}",) * 2
            return
        outside = "".join(pieces[::2]).strip()
        yield f"there is text outside the tags: {outside[:80]!r}" if outside and not self.config.text_outside else None
        empty = [tag for tag, inside in zip(self.config.tags, pieces[1::2], strict=True) if not inside.strip()]
        yield f"<{empty[0]}> is empty" if empty and not self.config.empty_blocks else None

    def _begun(self, text: str) -> str:
        """With the first opening tag, where the prompt holds it."""
        opening, closing = f"<{self.config.tags[0]}>", f"</{self.config.tags[0]}>"
        before, closed, _ = text.partition(closing)
        missing = bool(closed) and opening not in before
        opened = missing if self.config.opened is None else self.config.opened
        return opening + text if opened else text


def _split(text: str, marks: Sequence[str]) -> list[str] | None:
    """What stands before, between and after the marks, in their order; None where they are not in it."""
    pieces, rest = list[str](), text
    for mark in marks:
        before, found, rest = rest.partition(mark)
        if not found:
            return None
        pieces.append(before)
    return [*pieces, rest]
