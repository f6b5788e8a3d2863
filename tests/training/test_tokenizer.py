from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from deliberate.training.tasks import load_task
from deliberate.training.tokenizer import SPECIAL_TOKENS, TAGS, make_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(folder, "word_problems", seed=0, problems=500)
    return AutoTokenizer.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]


@given(text=st.text())
def test_any_unicode_text_survives(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text


@pytest.mark.parametrize(
    "text", ["  two  spaces ", "a\n\n\tb\r\n", " ' s n't , .", "<think>\n1 = 1\n</think>", "é🎉\0"]
)
def test_blanks_tags_and_odd_characters_survive(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_digits_and_newlines_are_single_tokens(tokenizer: Any) -> None:
    text = "Ana has 12345 apples.\n67 + 89 = 156\n\n"
    pieces = [tokenizer.decode([token]) for token in tokenizer(text).input_ids]
    assert [p for p in pieces if any(c.isdigit() or c == "\n" for c in p)] == list("12345\n6789156\n\n")


def test_the_vocabulary_is_1024_tokens_and_the_context_too(tokenizer: Any) -> None:
    assert len(tokenizer) == 1024
    assert tokenizer.model_max_length == 1024


def test_tags_survive_decoding_without_special_tokens_and_turn_marks_do_not(tokenizer: Any) -> None:
    problem = next(load_task("word_problems").problems("test", 0, 1))
    ids = tokenizer(f"<|assistant|>{problem.solution}<|end|>").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == problem.solution
    for token in (*SPECIAL_TOKENS, *TAGS):
        assert len(tokenizer(token).input_ids) == 1
    assert set(tokenizer.all_special_tokens) == set(SPECIAL_TOKENS)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|end|>", "<|endoftext|>")


def test_the_chat_template_marks_turns(tokenizer: Any) -> None:
    def render(messages: list[Any], **options: bool) -> str:
        return tokenizer.apply_chat_template(messages, tokenize=False, **options)

    user = {"role": "user", "content": "How many?"}
    assert render([user], add_generation_prompt=True) == "<|user|>How many?<|end|><|assistant|>"
    parts = {"role": "user", "content": [{"type": "text", "text": "How "}, {"type": "text", "text": "many?"}]}
    assert render([parts], add_generation_prompt=True) == render([user], add_generation_prompt=True)
    talk = [{"role": "system", "content": "Be brief."}, user, {"role": "assistant", "content": "Two."}]
    assert render(talk) == "<|system|>Be brief.<|end|><|user|>How many?<|end|><|assistant|>Two.<|end|>"


def test_the_chat_template_refuses_an_unknown_role(tokenizer: Any) -> None:
    with pytest.raises(Exception, match=r"'wizard'.*system, user, assistant"):
        tokenizer.apply_chat_template([{"role": "wizard", "content": "x"}], tokenize=False)
