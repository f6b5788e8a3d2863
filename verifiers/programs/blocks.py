"""Finds the program in a reply: fenced blocks of Markdown, and the one that is meant."""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*([^`]*)")
_WORD = re.compile(r"[^\s={}\"',:]+")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    info: tuple[str, ...]
    """The words beside its fence, in lower case: the language first, where it is given."""
    text: str

    @property
    def language(self) -> str:
        """What the fence says; empty where it says nothing."""
        return self.info[0] if self.info else ""


def blocks(reply: str) -> Iterator[Block]:
    """All fenced blocks, in order; the last may lack its closing fence, for a reply that was cut."""
    fence, info, indent, lines = "", (), 0, list[str]()
    for line in reply.replace("\r\n", "\n").split("\n"):
        match = _FENCE.fullmatch(line)
        if not fence:
            if match is not None:
                fence, indent, lines = match[2], len(match[1]), []
                info = tuple(word.lower() for word in _WORD.findall(match[3]))
        elif match is not None and match[2].startswith(fence) and not match[3].strip():
            yield Block(info, "\n".join(lines))
            fence = ""
        else:
            lines.append(line[indent:] if not line[:indent].strip() else line.lstrip())
    if fence and lines:
        yield Block(info, "\n".join(lines))


def choose(reply: str, languages: Set[str], name: str | None = None, defines: str | None = None) -> Block | None:
    """The last block whose fence holds `name`, where one is given; else the last of one of the languages (those that
    define the function before others), else the last that says no language; None where there is none."""
    found = list(blocks(reply))
    if name is not None:
        found = [block for block in found if name.lower() in block.info]
        return found[-1] if found else None
    marked = [block for block in found if block.language in languages]
    plain = [block for block in found if not block.language]
    defining = [block for block in marked + plain if defines is not None and is_defined(defines, block.text)]
    return next(reversed(defining or marked or plain), None)


def is_defined(name: str, source: str) -> bool:
    """Whether Python source seems to define that function (or the class of that method)."""
    first = re.escape(name.partition(".")[0])
    return (
        re.search(rf"^(?:async[ \t]+)?(?:def|class)[ \t]+{first}\b|^{first}[ \t]*=[^=]", source, re.MULTILINE)
        is not None
    )
