"""Where Coq's sentences end, and how a candidate's become a file."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LEXEME = re.compile(r'\(\*|\*\)|"|\.\.\.(?=\s|\Z)|(?<!\.)\.(?=\s|\Z)')
_COMMENT_MARK = re.compile(r'\(\*|\*\)|"')
_BRACES = re.compile(r"[\s{}]*")
_ATTRIBUTES = re.compile(
    r"(?:(?:#\[[^\]]*+\]|(?:Local|Global|Program|Polymorphic|Monomorphic|Cumulative|Private)\b)\s*+)*+"
)
_DECLARES = re.compile(
    r"(?:Theorem|Lemma|Fact|Remark|Corollary|Proposition|Property|Example|Goal|Definition|Fixpoint|CoFixpoint|Function|"
    r"Let|Instance|Inductive|CoInductive|Variant|Record|Structure|Class|Section|Module|Axioms?|Parameters?|"
    r"Conjectures?|Hypothes[ie]s|Variables?|Context|Canonical|Coercion|Primitive|Derive)\b"
)
_SETS_UP = re.compile(
    r"(?:Require|From|Import|Export|Open|Close|Set|Unset|Add|Hint|Declare|Create|Arguments|Notation|Infix|Ltac|Tactic)\b"
)
_OPENS = re.compile(r"Proof\s*(?:\.|with\b|using\b)")
_CLOSES = re.compile(r"(?:Qed|Defined|Save|Admitted|Abort)\b")
_PROOF_TERM = re.compile(r"Proof\s+(?!with\b|using\b)\S")


def split(code: str) -> tuple[list[str], str]:
    """The sentences, each with the blanks and comments before it, and what follows the last."""
    sentences, start = list[str](), 0
    for end in _ends(code):
        sentences.append(code[start:end])
        start = end
    return sentences, code[start:]


def _ends(code: str) -> Iterator[int]:
    position = 0
    while found := _LEXEME.search(code, position):
        position = found.end()
        if found[0] == "(*":
            position = _after_comment(code, position)
        elif found[0] == '"':
            position = _after_string(code, position)
        elif found[0] != "*)":
            yield position


def _after_string(code: str, position: int) -> int:
    end = code.find('"', position)
    return len(code) if end < 0 else end + 1


def _after_comment(code: str, position: int) -> int:
    """Comments nest, and strings count in them."""
    depth = 1
    while depth and (found := _COMMENT_MARK.search(code, position)):
        position = found.end()
        if found[0] == '"':
            position = _after_string(code, position)
        else:
            depth += 1 if found[0] == "(*" else -1
    return len(code) if depth else position


def bare(sentence: str) -> str:
    """The sentence without comments, attributes and blanks around it."""
    kept, position = list[str](), 0
    while (start := sentence.find("(*", position)) >= 0:
        kept.append(sentence[position:start])
        position = _after_comment(sentence, start + 2)
    return _ATTRIBUTES.sub("", "".join([*kept, sentence[position:]]).strip(), count=1)


@dataclass(frozen=True, slots=True)
class Source:
    """A file with a candidate's sentences in it."""

    text: str
    steps: tuple[tuple[int, int], ...]
    """Where each of them begins and ends, in bytes."""
    states_goal: bool
    """It has come to the theorem that is asked for."""
    begins_in_words: bool
    """Its first sentence looks like prose: tactics begin with a small letter, and the commands are known."""

    def before(self, offset: int) -> tuple[bool, ...]:
        """Which sentences went through when there is an error at this byte; those after it were not read."""
        return tuple(end <= offset for start, end in self.steps if start <= offset)


def write(
    header: str, theorem: str, name: str, code: str, *, finished: bool, footer: str = "", closed: bool = False
) -> Source:
    """The file of a candidate: what it declares as it stands; or, where it declares nothing, its tactics as the proof
    of the theorem, after the commands that set them up. `closed` ends the proof; `footer` follows all.

    Of code that is not finished the sentence at its end is left out.
    """
    sentences, rest = split(code)
    if rest.strip() and (finished or _BRACES.fullmatch(rest)):
        sentences.append(rest)
    words = [bare(sentence) for sentence in sentences]
    if any(map(_DECLARES.match, words)):
        declared = any(re.match(rf"\w+\s+{re.escape(name)}(?![\w'])", word) for word in words)
        ending = "\nQed." if closed else ""
        return _joined([(header, False), *_own(sentences), (ending + footer, False)], declared, in_words=False)
    setup = next((i for i, word in enumerate(words) if not _SETS_UP.match(word)), len(words))
    opening = theorem if _opens(words[setup:]) else f"{theorem}\nProof."
    ending = "" if _closes(words) or not (finished or closed) else "\nQed."
    before, proof = sentences[:setup], sentences[setup:]
    parts = [(header, False), *_own(before), (f"\n{opening}\n", False), *_own(proof), (ending + footer, False)]
    in_words = not before and not _opens(words) and any(word[:1].isupper() for word in words[:1])
    return _joined(parts, states_goal=True, in_words=in_words)


def _opens(words: Sequence[str]) -> bool:
    return bool(words) and bool(_OPENS.match(words[0]) or _PROOF_TERM.match(words[0]))


def _closes(words: Sequence[str]) -> bool:
    return any(_CLOSES.match(word) or _PROOF_TERM.match(word) for word in words)


def _own(sentences: Sequence[str]) -> list[tuple[str, bool]]:
    return [(sentence, True) for sentence in sentences]


def _joined(parts: Sequence[tuple[str, bool]], states_goal: bool, in_words: bool) -> Source:
    steps, offset = list[tuple[int, int]](), 0
    for text, own in parts:
        length = len(text.encode(errors="replace"))
        if own:
            steps.append((offset, offset + length))
        offset += length
    return Source("".join(text for text, _ in parts), tuple(steps), states_goal, in_words)
