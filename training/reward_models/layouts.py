"""Chains as reward models read them, in training as when they are served: by the formats of the verifiers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from deliberate.engines.errors import UnknownName
from deliberate.engines.huggingface import HuggingFaceTokenizer
from deliberate.engines.protocol import Message
from deliberate.search.templating import template_messages
from deliberate.verifiers.formats.registry import FORMATS
from deliberate.verifiers.protocol import Candidate, Problem

_LETTERS = "#@"


@dataclass(frozen=True, slots=True)
class LaidOut:
    """One chain."""

    ids: tuple[int, ...]
    """The model is read after the last one where it judges the chain as a whole."""
    ends: tuple[int, ...]
    """Where each step is read, ascending."""
    prompt: int
    """How many of the ids belong to the question."""

    def __len__(self) -> int:
        return len(self.ids)


class Layouts:
    """Lays chains out for one model."""

    def __init__(self, format_name: str, path: str, separator: str) -> None:
        """`path` is the model's, for its tokenizer; `separator` stands between the steps of a text.

        Raises UnknownName for a format that there is not, InvalidRequest for one that the tokenizer does not allow.
        """
        if format_name not in FORMATS:
            raise UnknownName("format", format_name, FORMATS)
        self.format = FORMATS[format_name]
        self.tokenizer = HuggingFaceTokenizer(path)
        self.format.check(self.tokenizer)
        self.separator = separator

    def __call__(self, messages: Sequence[Message], text: str) -> LaidOut:
        """The chain `text` that answers a conversation. One without a word has no ends."""
        problem = Problem(template_messages([dict(message) for message in messages]))
        other = Candidate(next(letter for letter in _LETTERS if not text.startswith(letter)))
        chain, different = self.format.lay_out(self.tokenizer, None, problem, (Candidate(text), other), self.separator)
        # What chains have in common that differ from their first letter on is the question.
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(chain.ids, different.ids, strict=False))
        return LaidOut(chain.ids, chain.ends, len(list(shared)))

    def marks(self) -> tuple[int, int]:
        """Token ids of what the format's models say of right and of wrong; only of formats that have marks."""
        assert self.format.marks is not None, self.format.name
        right, wrong = (self.tokenizer.encode(mark)[-1] for mark in self.format.marks)
        return right, wrong
