"""Telling the chain of thought from the answer, in one piece and letter by letter."""

import pytest

from deliberate.server.reasoning import ReasoningSplitter, Split, starts_inside

CASES = {
    "plain": ("Hello <b>", False, "", "Hello <b>"),
    "chain": ("<think>a < b</think><answer>1</answer>", False, "a < b", "<answer>1</answer>"),
    "space around": ("\n<think>a\n</think>\n\nb\n", False, "a\n", "b\n"),
    "opened by the prompt": ("a</think>b", True, "a", "b"),
    "cut in the chain": ("<think>a</thi", False, "a</thi", ""),
    "cut in the opening tag": ("<thi", False, "", "<thi"),
    "nothing after": ("<think>a</think>\n", False, "a", ""),
    "later tag is content": ("b <think>a</think>", False, "", "b <think>a</think>"),
    "second chain is content": ("<think>a</think>b<think>c</think>", False, "a", "b<think>c</think>"),
    "empty": ("", False, "", ""),
    "characters of several bytes": ("<think>é</think>ü", False, "é", "ü"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_split(case: str, size: int) -> None:
    text, inside, reasoning, content = CASES[case]
    splitter = ReasoningSplitter(inside)
    splits = [splitter.push(text[start : start + size]) for start in range(0, len(text), size)]
    splits.append(splitter.flush())
    assert Split("".join(s.reasoning for s in splits), "".join(s.content for s in splits)) == Split(reasoning, content)
    if content:
        assert splitter.content_start is not None
        assert text.encode()[splitter.content_start :].decode() == content


def test_text_is_shown_as_soon_as_it_is_certain() -> None:
    splitter = ReasoningSplitter()
    assert splitter.push("<think>ab<") == Split("ab")
    assert splitter.push("c</think>") == Split("<c")
    assert splitter.push("d") == Split(content="d")


@pytest.mark.parametrize(
    ("prompt_end", "text", "inside"),
    [
        (b"assistant\n<think>\n", "", True),
        (b"assistant\n", "a</think>b", True),
        (b"assistant\n", "<think>a</think>b", False),
        (b"assistant\n", "b", False),
    ],
)
def test_who_opened_the_chain(prompt_end: bytes, text: str, inside: bool) -> None:
    assert starts_inside(prompt_end, text) is inside
