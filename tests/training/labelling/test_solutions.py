"""Solutions as tokens: every beginning is a prefix of the ids."""

from hypothesis import given
from hypothesis import strategies as st

from deliberate.engines.scripted import END_OF_SEQUENCE, ByteTokenizer
from deliberate.training.labelling.completions import Completion
from deliberate.training.labelling.solutions import Cutter

TOKENIZER = ByteTokenizer()
LINES = Cutter(TOKENIZER, "\n")


def test_a_prefix_ends_with_the_separator_and_the_whole_with_its_last_token() -> None:
    ids = (*TOKENIZER.encode("<think>\n1 + 1 = 2\n\n</think>\n2"), END_OF_SEQUENCE)
    solution = LINES(Completion(ids, True))
    assert solution is not None
    assert solution.steps == ("<think>", "1 + 1 = 2", "</think>", "2")
    assert [TOKENIZER.decode(prefix) for prefix in solution.prefixes] == [
        "<think>\n",
        "<think>\n1 + 1 = 2\n",
        "<think>\n1 + 1 = 2\n\n</think>\n",
        "<think>\n1 + 1 = 2\n\n</think>\n2",
    ]
    assert solution.prefix(0) == ()
    assert solution.prefix(4) == ids


@given(st.text("ab \n", max_size=30))
def test_beginnings_grow_and_are_cut_as_the_whole_is(text: str) -> None:
    solution = LINES(Completion(tuple(TOKENIZER.encode(text)), None))
    if not text.strip():
        assert solution is None
        return
    assert solution is not None
    for count, prefix in enumerate(solution.prefixes, 1):
        assert solution.tokens[: len(prefix)] == prefix
        part = LINES(Completion(prefix, None))
        assert part is not None and part.steps == solution.steps[:count]


def test_ids_of_another_tokenizer_are_not_trusted() -> None:
    own = LINES.text("a\nb", [*b"a\nb", END_OF_SEQUENCE], True, True)
    other = LINES.text("a\nb", [7, 8], True, True)
    assert own is not None and own.tokens == (*b"a\nb", END_OF_SEQUENCE)
    assert other is not None and other.tokens == (*b"a\nb",)
    assert LINES.text(" \n", None, True, True) is None
