"""GSM8K (Cobbe et al. 2021, arXiv:2110.14168): `question`, and an `answer` of steps that ends in `#### 72`.

The calculator's marks (`<<48/2=24>>`) are left out of the solution.
"""

import re
from collections.abc import Iterator

from deliberate.training.datasets.formats._judging import by_reference, user
from deliberate.training.datasets.records import Record
from deliberate.training.datasets.rows import ProblemRow
from deliberate.training.json_lines import BadLine

_CALCULATION = re.compile(r"<<[^<>\n]*>>")
_MARK = "####"


class GSM8K:
    """The files of openai/grade-school-math, and openai/gsm8k on the Hub."""

    name = "gsm8k"

    def rows(self, record: Record) -> Iterator[ProblemRow]:
        question, solution = record.text("question"), record.text("answer")
        answer = solution.rpartition(_MARK)[2].strip() if _MARK in solution else ""
        if not answer:
            raise BadLine(f"has an 'answer' that ends without '{_MARK} 72' or another number; add it")
        yield ProblemRow(
            id=record.key,
            place=record.place,
            prompt=user(question),
            solution=_CALCULATION.sub("", solution),
            answer=answer,
            verifier=by_reference(answer),
        )


FORMAT = GSM8K()
