"""Text around candidates' sources, put there without understanding them."""

import re
from importlib import resources

from deliberate.verifiers.programs.protocol import CompileError, Unsupported

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)?", re.ASCII)


def driver(name: str) -> str:
    """A text of the folder `drivers`."""
    return resources.files(__name__.rpartition(".")[0]).joinpath("drivers", name).read_text(encoding="utf-8")


def names_of(source: str, function: str) -> tuple[str, ...]:
    """The function's name; after its class where it is a method (`Solution.add`).

    Raises Unsupported for what is no name, CompileError where the source does not hold it.
    """
    if _NAME.fullmatch(function) is None:
        raise Unsupported(f"{function[:100]!r} is no name of a function, such as `add` or `Solution.add`")
    names = tuple(function.split("."))
    for name in names:
        if re.search(rf"\b{name}\b", source) is None:
            raise CompileError(f"there is no {name!r} in the program")
    return names


_PART = "\n//// the next file of the program ////\n"


def joined(*parts: str) -> str:
    """Several files of one program as one text. A candidate that holds the mark between them parts only itself."""
    return _PART.join(parts)


def parted(source: str) -> list[str]:
    """What `joined` put together."""
    return source.split(_PART)
