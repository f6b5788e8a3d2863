"""HumanEval (Chen et al. 2021, arXiv:2107.03374): `prompt`, `canonical_solution`, `test` and `entry_point`."""

from collections.abc import Iterator

from deliberate.training.datasets.formats._judging import user
from deliberate.training.datasets.records import Record
from deliberate.training.datasets.rows import ProblemRow
from deliberate.training.json_lines import BadLine


class HumanEval:
    """HumanEval.jsonl.gz, and openai/openai_humaneval on the Hub. The solution is the whole function, in a fence."""

    name = "humaneval"

    def rows(self, record: Record) -> Iterator[ProblemRow]:
        head, body, tests = record.text("prompt"), record.text("canonical_solution"), record.text("test")
        entry_point = record.text("entry_point")
        if f"def {entry_point}" not in head + body:
            raise BadLine(f"has the 'entry_point' {entry_point!r}, which its prompt and solution do not define")
        if "def check(" not in tests:
            raise BadLine("has a 'test' without the function check(candidate); add it")
        yield ProblemRow(
            id=record.text("task_id"),
            place=record.place,
            prompt=user(f"Complete this function.\n\n```python\n{head.rstrip()}\n```"),
            solution=f"```python\n{(head + body).strip()}\n```",
            verifier={
                "kind": "code",
                "language": "python",
                "entry_point": entry_point,
                "prefix": head,
                "test_source": tests,
                "credit": "all",
            },
        )


FORMAT = HumanEval()
