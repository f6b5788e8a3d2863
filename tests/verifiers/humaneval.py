"""HumanEval's problems, broken solutions to them, and what plain Python says of both."""

import ast
import copy
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[3] / "shared" / "data" / "humaneval" / "HumanEval.jsonl.gz"

SWAPS: dict[type[ast.AST], type[Any]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitXor: ast.BitAnd,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
ENDLESS = "while True:\n    pass"
HOG = "hog = []\nwhile True:\n    hog.append(bytearray(1 << 20))"


@dataclass(frozen=True)
class Task:
    name: str
    prompt: str
    entry_point: str
    solution: str
    tests: str

    @property
    def program(self) -> str:
        return self.prompt + self.solution


def tasks() -> list[Task]:
    with gzip.open(FILE, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    return [Task(r["task_id"], r["prompt"], r["entry_point"], r["canonical_solution"], r["test"]) for r in rows]


def off_by_one(task: Task) -> list[str]:
    """At two places a constant more by one or a length less; and results more by one, or without their last item."""
    return [*islice(_at_each_site(task, _one_more), 2), *islice(_at_each_site(task, _result_off), 1)]


def wrong_operator(task: Task) -> list[str]:
    """At two places; none where the solution has no operator."""
    return list(islice(_at_each_site(task, _swapped), 2))


def begins_with(task: Task, statements: str) -> str:
    """The function does that first."""
    tree = ast.parse(task.program)
    _function(tree, task).body[0:0] = ast.parse(statements).body
    return ast.unparse(tree)


def passes(programs: Sequence[tuple[Task, str]], seconds: float = 2.0) -> list[bool]:
    """Whether each passes its tests in plain Python: the programs are known and harm nothing."""
    sources = [f"{program}\n{task.tests}\ncheck({task.entry_point})" for task, program in programs]
    given = json.dumps({"seconds": seconds, "sources": sources})
    run = subprocess.run([sys.executable, "-c", _PLAIN], input=given, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


_PLAIN = """
import json, os, signal, sys
given = json.load(sys.stdin)
results = []
for source in given["sources"]:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            signal.setitimer(signal.ITIMER_REAL, given["seconds"])
            exec(compile(source, "program", "exec"), {"__name__": "program"})
            code = 0
        finally:
            os._exit(code)
    results.append(os.waitpid(child, 0)[1] == 0)
json.dump(results, sys.stdout)
"""


def _function(tree: ast.Module, task: Task) -> ast.FunctionDef:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == task.entry_point]
    return found[-1]


def _at_each_site(task: Task, change: Callable[[Any], bool]) -> Iterator[str]:
    """The program once for each node of the function that `change` takes to."""
    tree = ast.parse(task.program)
    for position in range(len(list(ast.walk(_function(tree, task))))):
        changed = copy.deepcopy(tree)
        node = list(ast.walk(_function(changed, task)))[position]
        if change(node):
            yield ast.unparse(ast.fix_missing_locations(changed))


def _one_more(node: Any) -> bool:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        node.value += 1
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("len", "sum", "int", "ord"):
        inner = ast.Call(node.func, node.args, node.keywords)
        node.func, node.args, node.keywords = (
            ast.Name("int", ast.Load()),
            [ast.BinOp(inner, ast.Sub(), ast.Constant(1))],
            [],
        )
        return True
    return False


def _result_off(node: Any) -> bool:
    if isinstance(node, ast.FunctionDef):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Return) and inner.value is not None:
                off = ast.parse(
                    "(lambda r: r[:-1] if isinstance(r, (str, list, tuple)) else r if r is None else r + 1)()"
                )
                call: Any = off.body[0]
                call.value.args = [inner.value]
                inner.value = call.value
        return True
    return False


def _swapped(node: Any) -> bool:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        node.ops[0] = SWAPS[type(node.ops[0])]()
        return True
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPS:
        node.op = SWAPS[type(node.op)]()
        return True
    return False
