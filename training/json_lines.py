"""JSON lines as files really hold them: what is wrong with a line is told with what to do."""

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from typing import Any, NoReturn, Protocol, cast

from deliberate.engines.errors import DeliberateError

MAX_LINE_BYTES = 64 * 2**20

_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")


class BadLine(DeliberateError):
    """A line that is not what it should be. The message follows the line's place, and says what to do."""


class Stream(Protocol):
    """A binary file."""

    def readline(self, limit: int, /) -> bytes: ...


def numbered_lines(stream: Stream) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, from 1. Of one over `MAX_LINE_BYTES` just enough that `read_object` refuses it."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if line.strip():
            yield number, line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE_BYTES + 1)


def read_object(line: bytes) -> dict[str, Any]:
    """The JSON object on a line. Raises BadLine."""
    if len(line) > MAX_LINE_BYTES:
        raise BadLine(f"is longer than {MAX_LINE_BYTES >> 20} MiB; write one JSON object on each line")
    try:
        value = _DECODER.decode(_text(line).rstrip())
    except json.JSONDecodeError as error:
        message = f"is not JSON ({error.msg} at character {error.pos + 1}); write one object on each line"
        raise BadLine(message) from error
    except (ValueError, RecursionError) as error:
        raise BadLine(f"is not JSON ({error}); write one object on each line") from error
    if not isinstance(value, dict):
        raise BadLine(f"is not a JSON object but {str(value)[:40]!r}; write one object on each line")
    return cast(dict[str, Any], value)


def _text(line: bytes) -> str:
    if line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise BadLine("is UTF-16; convert the file, as with iconv -f utf-16 -t utf-8")
    if _HALF_CHARACTER.search(line):
        _refuse_half_characters(line)
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadLine(
            f"is not UTF-8 (byte 0x{line[error.start]:02x} at {error.start + 1}); convert the file, as with "
            "iconv -f latin1 -t utf-8"
        ) from error


def _refuse_half_characters(line: bytes) -> None:
    """Half of a surrogate pair is a text that cannot be written again."""
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = str(error.object)[error.start]
        raise BadLine(f"holds half of a character (\\u{ord(half):04x}); write both halves, or the character") from error
    except (ValueError, RecursionError):
        pass  # The caller says what is wrong with it.


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON: write null, or leave the field out")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
