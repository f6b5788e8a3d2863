"""Every reference solution of GSM8K (Cobbe et al. 2021): its answer is found, and told from wrong ones."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from deliberate.verifiers.answers import final_answer
from deliberate.verifiers.equivalence import answer_key, quantity
from deliberate.verifiers.protocol import Candidate, Problem, Resources
from deliberate.verifiers.reference import Reference

DATA = Path(__file__).parents[3] / "shared" / "data" / "gsm8k"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs GSM8K's train.jsonl and test.jsonl in {DATA}")

CALCULATION = re.compile(r"<<[^>]*>>")
SPELLINGS = {
    "GSM8K": "{steps}#### {answer}",
    "plain": "{plain}#### {answer}",
    "currency": "{plain}#### ${answer}",
    "box": "{plain}$\\boxed{{{answer}}}$",
    "Minerva": "{plain}The final answer is: $\\boxed{{{answer}}}$. I hope it is correct.",
    "sentence": "{plain}The answer is {answer}.",
    "bold": "{plain}So the final answer is **{answer}**.",
    "heading": "{plain}**Answer:** {answer}",
    "tags": "<think>{plain}</think><answer>{answer}</answer>",
    "unit": "{plain}The answer is {answer} apples.",
    "without commas": "{plain}#### {digits}",
    "with commas": "{plain}#### {commas}",
    "decimal": "{plain}#### {digits}.0",
    "fraction": "{plain}\\boxed{{\\frac{{{twice}}}{{2}}}}",
    "JSON": '{plain}\n```json\n{{"answer": {digits}}}\n```\n#### {answer}',
}
"""How a right solution may end."""
WRONG = ("{one_more}", "{negated}", "{answer}%", "{digits}.5", "1{digits}")
"""What the last line may say instead."""


@dataclass(frozen=True)
class Solution:
    text: str
    answer: str

    @property
    def forms(self) -> dict[str, str]:
        """What spellings are made of."""
        steps, value = self.text.rpartition("####")[0], int(self.answer.replace(",", ""))
        return {
            "steps": steps,
            "plain": CALCULATION.sub("", steps),
            "answer": self.answer,
            "digits": str(value),
            "commas": f"{value:,}",
            "twice": str(2 * value),
            "one_more": str(value + 1),
            "negated": str(-value or 3),
        }


@pytest.fixture(scope="module")
def solutions() -> list[Solution]:
    return list(read(DATA / "train.jsonl")) + list(read(DATA / "test.jsonl"))


def read(path: Path) -> Iterator[Solution]:
    for line in path.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["answer"]
        yield Solution(text, text.rpartition("####")[2].strip())


def test_the_answer_is_found_in_all_solutions(solutions: Sequence[Solution]) -> None:
    assert len(solutions) == 8792
    for solution in solutions:
        assert final_answer(solution.text) == solution.answer
        number = quantity(solution.answer)
        assert number is not None
        assert (number.value, number.unit) == (Fraction(solution.answer.replace(",", "")), "")


async def test_the_reference_verifier_tells_right_from_wrong(
    solutions: Sequence[Solution], resources: Resources
) -> None:
    by_answer: dict[str, list[Solution]] = {}
    for solution in solutions:
        by_answer.setdefault(solution.answer, []).append(solution)
    for answer, equal in by_answer.items():
        right = [solution.text for solution in equal]
        wrong = [f"{s.forms['steps']}#### {form.format(**s.forms)}" for s in equal[:2] for form in WRONG]
        verifier = Reference(answer=answer).build(resources)
        verdicts = await verifier.verify(Problem(()), list(map(Candidate, right + wrong)))
        assert [verdict.passed for verdict in verdicts] == [True] * len(right) + [False] * len(wrong), answer


@pytest.mark.parametrize(("number", "spelling"), list(enumerate(SPELLINGS)))
def test_spellings_of_one_answer_vote_together(solutions: Sequence[Solution], number: int, spelling: str) -> None:
    for solution in solutions[number :: len(SPELLINGS)]:
        found = final_answer(SPELLINGS[spelling].format(**solution.forms))
        assert found is not None
        quantity_found = quantity(found)
        assert quantity_found is not None
        assert str(quantity_found.value) == answer_key(solution.answer)


async def test_another_unit_is_another_answer(solutions: Sequence[Solution], resources: Resources) -> None:
    for solution in solutions[::40]:
        verifier = Reference(answer=f"{solution.answer} km").build(resources)
        texts = [f"The answer is {solution.answer}{unit}." for unit in (" km", "", " kg", " %")]
        verdicts = await verifier.verify(Problem(()), [Candidate(text) for text in texts])
        assert [verdict.passed for verdict in verdicts] == [True, True, False, False]
