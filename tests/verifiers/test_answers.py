import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliberate.verifiers.answers import final_answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("<think>2 + 3 = 5</think><answer>5</answer>", "5"),
        ("<answer>4</answer> No: <answer>5</answer>", "5"),
        (
            'The answer is 4. <tool_call>{"id": "1", "name": "f", "arguments": "{\\"b\\":2, \\"a\\":1}"}</tool_call>'
            '<tool_call>{"name": "g", "arguments": {}}</tool_call>',
            '[{"arguments":{"a":1,"b":2},"name":"f"},{"arguments":{},"name":"g"}]',
        ),
        ('<tool_call>{"name": "f", "arguments": "{"}</tool_call>', '[{"arguments":"{","name":"f"}]'),
        ("<tool_call>f(5)</tool_call>", "5"),
        ("<think>I think \\boxed{7}</think>\nIt is \\boxed{8}.", "8"),
        ("<think>so it must be 12</think>", "12"),
        ("<think>so it must be 12", "12"),
        ("<answer>5", "5"),
        ("<answer></answer>", None),
        ("First \\boxed{1}, then \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{\\text{a {nested} b}} and \\boxed{3", "\\text{a {nested} b}"),
        ("\\boxed{\\boxed{5}}", "5"),
        ("16 - 3 - 4 = <<16-3-4=9>>9\n#### 1,018", "1,018"),
        ("#### Step 1\nAdd 2 and 3.\nThat is 5 in all, as the sum of both parts shows.", "5"),
        ("The answer is $18.50. We are done.", "$18.50"),
        ("So the final answer is: **42**", "42"),
        ("**Answer:** (B)", "(B)"),
        ("The answer is 7 because 3 + 4 = 7", "7"),
        ("The answer is 3. Wait, the answer is 4.", "4"),
        ('{"explanation": "the answer is 5", "result": 7}', '{"explanation": "the answer is 5", "result": 7}'),
        ('Here it is:\n```json\n{"a": 1}\n```\nin 2 lines', '{"a": 1}'),
        ("She pays 3 x 4 dollars, which is 12 dollars.", "12"),
        ("It drops to -5 degrees, after having been warm for the whole of last week", "-5"),
        ("so 3 + 4 = 7", "7"),
        ("Paris", "Paris"),
        ("x + 3", "x + 3"),
        ("5 cm", "5 cm"),
        ("x = 5", "x = 5"),
        ("I could not find out what was asked, and so there is nothing that I can say", None),
        ("", None),
        (" \n ", None),
    ],
)
def test_where_the_answer_is(reply: str, answer: str | None) -> None:
    assert final_answer(reply) == answer


@given(st.text(max_size=200) | st.text(alphabet="<>/answer think\\boxed{}#: 1,.`json\n", max_size=200))
def test_it_never_raises(reply: str) -> None:
    answer = final_answer(reply)
    assert answer is None or answer.strip() == answer != ""


@pytest.mark.parametrize(
    "unit", ["9", "999,", "\\boxed{", "\\frac{1", "[", '{"a":', "answer:", "answer *", "#### a\n", "```\n", " ", "1/"]
)
def test_a_megabyte_of_anything_costs_little(unit: str) -> None:
    reply = "answer" + unit * (1_000_000 // len(unit))
    started = time.process_time()
    final_answer(reply)
    assert time.process_time() - started < 2
