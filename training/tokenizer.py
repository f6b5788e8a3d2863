"""The tokenizer of the small models: byte-level BPE trained on task text.

Single digits and newlines are tokens of their own; elsewhere merges may cross spaces, which shortens templated text
by almost half. Every byte is in the vocabulary, so any Unicode text survives encoding and decoding unchanged.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from deliberate.training.tasks import Problem, load_task
from deliberate.verifiers.messages import text_of

CONTEXT_LENGTH = 1024
PAD, SYSTEM, USER, ASSISTANT, END = "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL_TOKENS = (PAD, SYSTEM, USER, ASSISTANT, END)
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
"""Ordinary tokens, not special ones: they must survive decoding, since answers and rewards are read from them."""

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] not in ('system', 'user', 'assistant') -%}
{{- raise_exception("unknown role '" + message['role'] + "'; the roles are: system, user, assistant") -}}
{%- endif -%}
{{- '<|' + message['role'] + '|>' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- elif message['content'] -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'text' -%}{{- part['text'] -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def train_tokenizer(texts: Iterable[str], vocab_size: int = 1024) -> PreTrainedTokenizerFast:
    """Learn the merges from `texts`; `vocab_size` counts all 256 bytes, the special tokens and the tags."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[0-9]|\n"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(TAGS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])  # pyright: ignore[reportUnknownMemberType]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_LENGTH,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def task_texts(task_name: str, seed: int, problems: int) -> Iterator[str]:
    """Training text of a task: prompts, solutions without their tags, and the task's system prompts."""
    task = load_task(task_name)

    def parts(problem: Problem) -> Iterator[str]:
        yield from map(text_of, problem.messages)
        yield from (line for line in (problem.solution or "").split("\n") if not line.startswith("<"))

    stream = task.problems("train", seed, problems)
    return chain(task.system_prompts, chain.from_iterable(map(parts, stream)))


def make_tokenizer(folder: Path, task_name: str, seed: int, problems: int = 20_000, vocab_size: int = 1024) -> None:
    """Train on `problems` training problems of a task and save a Hugging Face tokenizer folder."""
    train_tokenizer(task_texts(task_name, seed, problems), vocab_size).save_pretrained(folder)
