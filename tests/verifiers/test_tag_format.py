from typing import Any

import pytest
from pydantic import ValidationError

from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import parse_verifier


async def judge(resources: Resources, text: str, **options: Any) -> Verdict:
    verifier = parse_verifier({"kind": "format", **options}).build(resources)
    (verdict,) = await verifier.verify(Problem(()), [Candidate(text)])
    return verdict


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think>a</think><answer>4</answer>", None),
        (" \n<think>\na\n</think>\n\n<answer>4</answer>\n", None),
        ("a</think><answer>4</answer>", None),
        ("<think>a</think><answer>4", "</answer> is there 0 times"),
        ("<think>a<answer>4</answer>", "</think> is there 0 times"),
        ("<think>a</think>4", "<answer> is there 0 times"),
        ("<think>a</think><answer>3</answer><answer>4</answer>", "<answer> is there 2 times"),
        ("<think>a</think><think>b</think><answer>4</answer>", "<think> is there 2 times"),
        ("<think>a</think>So: <answer>4</answer>", "there is text outside the tags: 'So:'"),
        ("<think>a</think><answer>4</answer> done", "there is text outside the tags: 'done'"),
        ("Sure. <think>a</think><answer>4</answer>", "there is text outside the tags: 'Sure.'"),
        ("<answer>4</answer><think>a</think>", "the tags are not in the order <think></think><answer></answer>"),
        ("<think>a<answer>4</answer></think>", "the tags are not in the order <think></think><answer></answer>"),
        ("<think> </think><answer>4</answer>", "<think> is empty"),
        ("<think>a</think><answer></answer>", "<answer> is empty"),
        ("<Think>a</Think><answer>4</answer>", "<think> is there 0 times"),
        ("", "<think> is there 0 times"),
        ("<think>" * 100_000, "<think> is there 100000 times"),
    ],
)
async def test_the_exact_form_of_r1(text: str, reason: str | None, resources: Resources) -> None:
    verdict = await judge(resources, text)
    assert (verdict.passed, verdict.score, verdict.status) == (reason is None, float(reason is None), "ok")
    assert verdict.reason == (reason or "as asked")


async def test_the_prompt_may_have_opened_the_first_tag(resources: Resources) -> None:
    whole, rest = "<think>a</think><answer>4</answer>", "a</think><answer>4</answer>"
    assert [(await judge(resources, t, opened=True)).passed for t in (whole, rest)] == [False, True]
    assert [(await judge(resources, t, opened=False)).passed for t in (whole, rest)] == [True, False]
    assert (await judge(resources, "</think><answer>4</answer>")).reason == "<think> is empty"


async def test_other_tags_in_their_order(resources: Resources) -> None:
    tags = ["plan", "code", "test"]
    assert (await judge(resources, "<plan>a</plan><code>b</code>\n<test>c</test>", tags=tags)).passed is True
    assert (await judge(resources, "<code>b</code><plan>a</plan><test>c</test>", tags=tags)).passed is False
    assert (await judge(resources, "<think>a</think><answer>4</answer>", tags=tags)).passed is False


async def test_text_outside_and_empty_blocks_where_they_may_be(resources: Resources) -> None:
    assert (await judge(resources, "So <think>a</think>, <answer>4</answer>!", text_outside=True)).passed is True
    assert (await judge(resources, "<think></think><answer>4</answer>", empty_blocks=True)).passed is True


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("<think>a</think><answer>4</answer>", 1),
        ("<think>a</think>x<answer>4</answer>", 5 / 6),
        ("<think>a</think>x<answer></answer>", 4 / 6),
        ("<answer>4</answer><think>a</think>", 4 / 6),
        ("<think>a</think>4", 2 / 6),
        ("4", 0),
    ],
)
async def test_a_share_of_what_is_right(text: str, share: float, resources: Resources) -> None:
    verdict = await judge(resources, text, credit="share")
    assert verdict.score == pytest.approx(share)
    assert verdict.passed is (share == 1)


@pytest.mark.parametrize("tags", [[], ["a", "a"], ["<a>"], ["a b"], [""], ["a"] * 17])
def test_tags_that_are_none_are_refused(tags: list[str]) -> None:
    with pytest.raises(ValidationError):
        parse_verifier({"kind": "format", "tags": tags})
