import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.verifiers.steps import before_last_step, closed_steps, split_steps, tokens_by_step


def test_blank_pieces_are_no_steps() -> None:
    assert split_steps("\na\n\n b\n \nc\n", "\n") == ["a", " b", "c"]


@pytest.mark.parametrize(
    ("tokens", "groups"),
    [
        (["a", "b"], [[0, 1]]),
        (["a", "\n", "b", ""], [[0, 1], [2, 3]]),
        (["a", ".\n", "b\n", ""], [[0, 1], [2]]),
        (["a", "\n", "\n", "b"], [[0, 1], [2, 3]]),
        (["", "a", "\n\n", " ", "b"], [[0, 1, 2], [3, 4]]),
        (["\n", "a"], [[0, 1]]),
        (["a\nb"], [[0], [0]]),
        (["x", "\nb", "c"], [[0], [1, 2]]),
        ([""], [[0]]),
        ([" "], [[0]]),
    ],
)
def test_tokens_belong_to_the_step_of_their_last_visible_byte(tokens: list[str], groups: list[list[int]]) -> None:
    assert [step.tokens for step in tokens_by_step([token.encode() for token in tokens], "\n")] == groups


@pytest.mark.parametrize(
    ("text", "closed", "before"),
    [
        ("a\nb", 1, "a\n"),
        ("a\nb\n", 2, "a\n"),
        ("a\n\n\n b \n\n", 2, "a\n\n\n"),
        ("\na", 0, "\n"),
        ("a", 0, ""),
        ("\n", 0, ""),
        ("", 0, ""),
    ],
)
def test_a_separator_closes_a_step(text: str, closed: int, before: str) -> None:
    assert closed_steps(text, "\n") == closed
    assert before_last_step(text, "\n") == before
    assert sum(step.closed for step in tokens_by_step([letter.encode() for letter in text] or [b""], "\n")) == closed


def test_trap_trailing_step_mark() -> None:
    """A chain that waits for its next step ends with a separator: that is no further step."""
    assert split_steps("a\nb\n", "\n") == ["a", "b"]
    assert [step.tokens for step in tokens_by_step([b"a", b"\n", b"b", b"\n"], "\n")] == [[0, 1], [2, 3]]


TOKENS = st.lists(st.text(alphabet="ab \n", max_size=4), min_size=1, max_size=12)
SEPARATORS = st.sampled_from(["\n", "\n\n"])


@given(TOKENS, SEPARATORS)
def test_every_step_has_tokens_and_only_what_follows_the_last_has_no_step(tokens: list[str], separator: str) -> None:
    steps = tokens_by_step([token.encode() for token in tokens], separator)
    assert len(steps) == max(1, len(split_steps("".join(tokens), separator)))
    assert all(step.tokens for step in steps)
    assert all(step.closed for step in steps[:-1])
    owned = {index for step in steps for index in step.tokens}
    assert owned == set(range(len(owned)))
    assert not "".join(tokens[len(owned) :]).strip()
    assert steps[-1].closed or len(owned) == len(tokens)


@given(TOKENS, st.integers(0, 12), SEPARATORS)
def test_a_closed_step_stays_as_it_is_when_the_chain_goes_on(tokens: list[str], cut: int, separator: str) -> None:
    whole = tokens_by_step([token.encode() for token in tokens], separator)
    begun = tokens_by_step([token.encode() for token in tokens[:cut]], separator)
    closed = [step for step in begun if step.closed]
    assert whole[: len(closed)] == closed
    assert closed_steps("".join(tokens[:cut]), separator) == len(closed)
