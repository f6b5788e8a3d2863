import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.verifiers.steps import split_steps, tokens_by_step


def test_blank_pieces_are_no_steps() -> None:
    assert split_steps("\na\n\n b\n \nc\n", "\n") == ["a", " b", "c"]


@pytest.mark.parametrize(
    ("tokens", "groups"),
    [
        (["a", "b"], [[0, 1]]),
        (["a", "\n", "b", ""], [[0, 1], [2, 3]]),
        (["a", ".\n", "b\n", ""], [[0, 1], [2, 3]]),
        (["", "a", "\n\n", " ", "b"], [[0, 1, 2], [3, 4]]),
        (["\n", "a"], [[0, 1]]),
        (["a\nb"], [[0], [0]]),
        (["x", "\nb", "c"], [[0], [1, 2]]),
        ([""], [[0]]),
        ([" "], [[0]]),
    ],
)
def test_tokens_belong_to_the_step_of_their_last_visible_byte(tokens: list[str], groups: list[list[int]]) -> None:
    assert tokens_by_step([token.encode() for token in tokens], "\n") == groups


@given(st.lists(st.text(alphabet="ab \n", max_size=4), min_size=1, max_size=12), st.sampled_from(["\n", "\n\n"]))
def test_every_step_has_tokens_and_every_token_a_step(tokens: list[str], separator: str) -> None:
    groups = tokens_by_step([token.encode() for token in tokens], separator)
    assert len(groups) == max(1, len(split_steps("".join(tokens), separator)))
    assert all(groups)
    assert {index for group in groups for index in group} == set(range(len(tokens)))
