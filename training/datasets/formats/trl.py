"""TRL's dataset formats, told by their fields: huggingface.co/docs/trl/dataset_formats.

    prompt                                  a problem, judged by `answer` or `verifier` where the line has them
    prompt, completion                      the same with its solution
    messages                                the same: the last message is the solution
    prompt, chosen, rejected                a preference; without `prompt` it is what both begin with
    prompt, completion, label               an unpaired preference
    prompt, completions, labels             steps with their labels

Prompts and completions are texts or conversations.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

from deliberate.engines.protocol import Message
from deliberate.training.completions import completion_text
from deliberate.training.datasets.formats._judging import messages, prompt, row_fields, user
from deliberate.training.datasets.records import Record, share
from deliberate.training.datasets.rows import PreferenceRow, ProblemRow, Row, StepwiseRow, UnpairedRow
from deliberate.training.json_lines import BadLine


class TRL:
    """JSON lines and tables for any of TRL's trainers."""

    name = "trl"

    def rows(self, record: Record) -> Iterator[Row]:
        for fields, read in _READERS.items():
            if all(record.has(name) for name in fields):
                yield read(record)
                return
        raise BadLine(
            "is of no format of TRL; give it prompt with completion, with chosen and rejected, or with completions and "
            f"labels, or else messages, and not only {', '.join(record.fields) or 'an empty object'}"
        )


def _preference(record: Record) -> PreferenceRow:
    if record.has("prompt"):
        asked, chosen, rejected = prompt(record), _completion(record, "chosen"), _completion(record, "rejected")
    else:
        asked, chosen, rejected = _implicit(record)
    if chosen == rejected:
        raise BadLine("has the same 'chosen' and 'rejected'; leave it out")
    return PreferenceRow(**row_fields(record), prompt=asked, chosen=chosen, rejected=rejected)


def _stepwise(record: Record) -> StepwiseRow:
    steps, labels = record.texts("completions"), tuple(map(share, record.items("labels")))
    if None in labels:
        raise record.wrong("labels", "a list of true, false, or numbers from 0 to 1")
    if len(steps) != len(labels):
        raise BadLine(f"has {len(labels)} 'labels' for {len(steps)} 'completions'; give each step one label")
    return StepwiseRow(**row_fields(record), prompt=prompt(record), steps=steps, labels=labels)


def _unpaired(record: Record) -> UnpairedRow:
    return UnpairedRow(
        **row_fields(record),
        prompt=prompt(record),
        completion=_completion(record, "completion"),
        label=record.flag("label"),
    )


def _completed(record: Record) -> ProblemRow:
    return ProblemRow(**row_fields(record), prompt=prompt(record), solution=_completion(record, "completion"))


def _conversation(record: Record) -> ProblemRow:
    *before, last = messages(record, "messages")
    if last["role"] != "assistant" or not before:
        raise BadLine(
            "has 'messages' that do not end with an answer of the assistant; add it, or give them as 'prompt'"
        )
    return ProblemRow(**row_fields(record), prompt=tuple(before), solution=_said(record, "messages", [last]))


def _prompt_only(record: Record) -> ProblemRow:
    return ProblemRow(**row_fields(record), prompt=prompt(record))


_READERS: dict[tuple[str, ...], Callable[[Record], Row]] = {
    ("chosen", "rejected"): _preference,
    ("prompt", "completions", "labels"): _stepwise,
    ("prompt", "completion", "label"): _unpaired,
    ("prompt", "completion"): _completed,
    ("prompt",): _prompt_only,
    ("messages",): _conversation,
}
"""By the fields that a line must have, the first that fits."""


def _completion(record: Record, name: str) -> str:
    if isinstance(record.value(name), str):
        return record.text(name)
    return _said(record, name, messages(record, name))


def _said(record: Record, name: str, answer: Sequence[Message]) -> str:
    """An answer that is one message."""
    if len(answer) != 1 or answer[0]["role"] != "assistant":
        raise BadLine(
            f"has a {name!r} of {len(answer)} messages; it must be one of the assistant, what came before is the prompt"
        )
    text = completion_text(answer)
    if not text.strip():
        raise BadLine(f"has an empty {name!r}; fill it, or leave the line out")
    return text


def _implicit(record: Record) -> tuple[tuple[Message, ...], str, str]:
    """The prompt that both answers begin with, and the answers."""
    if isinstance(record.value("chosen"), str):
        return _implicit_text(record.text("chosen"), record.text("rejected"))
    chosen, rejected = messages(record, "chosen"), messages(record, "rejected")
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(chosen[:-1], rejected[:-1], strict=False))))
    if not shared:
        raise BadLine("has no 'prompt', and its 'chosen' and 'rejected' do not begin alike; add the prompt")
    return chosen[:shared], _said(record, "chosen", chosen[shared:]), _said(record, "rejected", rejected[shared:])


def _implicit_text(chosen: str, rejected: str) -> tuple[tuple[Message, ...], str, str]:
    same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))))
    end = chosen.rfind(" ", 0, same + 1)
    if end <= 0 or not chosen[end:].strip() or not rejected[end:].strip():
        raise BadLine("has no 'prompt', and its 'chosen' and 'rejected' do not begin alike; add the prompt")
    return user(chosen[:end]), chosen[end:], rejected[end:]


FORMAT = TRL()
