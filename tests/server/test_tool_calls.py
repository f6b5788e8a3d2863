"""Telling calls of tools from the text around them, in one piece and letter by letter."""

import pytest

from deliberate.server.tool_calls import Piece, ToolCallSplitter, split_calls
from deliberate.verifiers.tool_calls import ToolCall

WEATHER = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
CALLED = ToolCall("weather", '{"city": "Rome"}')

CASES: dict[str, tuple[str, Piece]] = {
    "plain": ("a < b\n", Piece("a < b\n")),
    "only a call": (WEATHER, Piece("", (CALLED,))),
    "text around": (f"Let me see.\n\n{WEATHER}\n done\n", Piece("Let me see.done\n", (CALLED,))),
    "two calls": (f"{WEATHER}\n{WEATHER}\n", Piece("", (CALLED, CALLED))),
    "id and raw arguments": (
        '<tool_call>{"id": "c1", "name": "f", "arguments": "{\\"a\\":1"}</tool_call>',
        Piece("", (ToolCall("f", '{"a":1', "c1"),)),
    ),
    "no arguments": ('<tool_call>\n{"name": "f"}\n</tool_call>', Piece("", (ToolCall("f", "{}"),))),
    "a closing tag in a string": (
        '<tool_call>{"name": "f", "arguments": {"a": "\\"</tool_call>é"}}</tool_call>',
        Piece("", (ToolCall("f", '{"a": "\\"</tool_call>é"}'),)),
    ),
    "unclosed": ('a <tool_call>{"name": "f"', Piece('a <tool_call>{"name": "f"')),
    "cut in the tag": ("a <tool_c", Piece("a <tool_c")),
    "no JSON": (f"<tool_call>f()</tool_call> {WEATHER}", Piece("<tool_call>f()</tool_call>", (CALLED,))),
    "no name": ('<tool_call>{"arguments": {}}</tool_call>', Piece('<tool_call>{"arguments": {}}</tool_call>')),
    "arguments of a list": (
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
        Piece('<tool_call>{"name": "f", "arguments": [1]}</tool_call>'),
    ),
    "only space": ("\n", Piece("\n")),
    "empty": ("", Piece()),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_split(case: str, size: int) -> None:
    text, expected = CASES[case]
    splitter = ToolCallSplitter()
    pieces = [splitter.push(text[start : start + size]) for start in range(0, len(text), size)]
    pieces.append(splitter.flush())
    calls = tuple(call for piece in pieces for call in piece.calls)
    assert Piece("".join(piece.content for piece in pieces), calls) == expected
    assert split_calls(text) == expected


def test_text_is_shown_as_soon_as_it_is_certain() -> None:
    splitter = ToolCallSplitter()
    assert splitter.push("ab <") == Piece("ab")
    assert splitter.push("c") == Piece(" <c")
    assert splitter.push(WEATHER[:-1]) == Piece()
    assert splitter.push(">") == Piece("", (CALLED,))
    assert splitter.push(" d") == Piece("d")
