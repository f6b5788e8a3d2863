"""How parse_yaml mends YAML that does not parse, before it tries once more."""

import re

_SPECIAL = frozenset("%:#\\-?{}[],&*!|>'\"@`")
_ITEM = re.compile(r"^([ \t]*-\s+)([^:\n]+?)([ \t]*):", re.MULTILINE)
_LINE = re.compile(r"^([ \t]*)(?![ \t]*-\s)([^:\n]+?)([ \t]*):", re.MULTILINE)
_ENTRY = re.compile(r"^([ \t]*)(-\s+)?(?!\s*$)([^\"':\n][^:\n]*?):[ \t]*(.*)$")
_STRUCTURE = ("{", "[", "|", ">", "&", "*", "!")


def mended(text: str) -> str:
    """Keys with special characters in quotes, and values that hold a colon."""
    return _quoted_values(_LINE.sub(_quoted_key, _ITEM.sub(_quoted_key, text)))


def _quoted_key(match: re.Match[str]) -> str:
    before, key, space = match.groups()
    core = key.strip()
    if _in_quotes(core) or not _SPECIAL.intersection(key.rstrip()):
        return f"{before}{key}{space}:"
    left = " " * (len(key) - len(key.lstrip(" ")))
    right = " " * (len(key) - len(key.rstrip(" ")))
    escaped = core.replace("\\", "\\\\").replace('"', '\\"')
    return f'{before}{left}"{escaped}"{right}{space}:'


def _quoted_values(text: str) -> str:
    following, lines = -1, list[str]()
    for line in reversed(text.splitlines()):
        lines.append(_quoted_value(line, following))
        following = len(line) - len(line.lstrip(" ")) if line.strip() else following
    return "\n".join(reversed(lines))


def _quoted_value(line: str, following: int) -> str:
    """The line, where the next line that is not empty has so many spaces of indent."""
    match = _ENTRY.match(line)
    if match is None:
        return line
    indent, dash, key, value = match.groups()
    value = value.strip()
    beginning = f"{indent}{dash or ''}{key}:"
    if value and following > len(indent):
        return beginning
    if ":" in value and not _in_quotes(value) and not value.startswith(_STRUCTURE):
        return f'{beginning} "{value}"'
    return line


def _in_quotes(text: str) -> bool:
    return len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
