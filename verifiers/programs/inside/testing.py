"""Runs the tests of a Python program in a process of their own, where the candidate is but names.

What tests call or read of it is asked for over the channel and comes back as plain data, compared here by Python's own
`==`. The first line is the task: `{"mark", "prefix", "tests", "entry_point", "all"}`. Questions go out as `{"ask": …}`
and are answered as `answering.py` does, or by `{"stopped": true}`. The last line is `{"mark", "passed", "failed",
"reason"}` or `{"mark", "unsupported": why}`. Imports nothing but the standard library and its neighbours.
"""

import ast
import builtins
import contextlib
import json
import re
import socket
import sys
import unittest
from collections.abc import Callable
from types import FunctionType, ModuleType, TracebackType
from typing import Any

from proxies import Proxies, Stopped, Unsupported

_LONGEST_TEXT = 200
_CANDIDATE_MODULES = ("solution", "candidate", "main")
"""What tests may import the candidate's names from."""


class Enough(BaseException):
    """One failure decides."""


def serve(channel: socket.socket) -> None:
    lines = channel.makefile("rb")
    task = json.loads(lines.readline())

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        channel.sendall(json.dumps({"ask": question}).encode() + b"\n")
        return json.loads(lines.readline())

    channel.sendall(json.dumps({"mark": task["mark"], **judged(task, ask)}).encode() + b"\n")


def judged(task: dict[str, Any], ask: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """How the tests went."""
    count = Count(task["tests"].splitlines(), task["all"])
    candidate = Proxies(ask)
    try:
        Tests(task, candidate, count).run()
    except Enough:
        pass
    except Unsupported as error:
        return {"unsupported": str(error)[:_LONGEST_TEXT]}
    if candidate.stops:  # Tests that catch everything cannot hide it.
        count.failed = max(count.failed, 1)
    return {"passed": count.passed, "failed": count.failed, "reason": count.reason}


class Count:
    """What the tests found so far."""

    def __init__(self, lines: list[str], first_decides: bool) -> None:
        self.passed = self.failed = 0
        self.reason = ""
        self._lines, self._first_decides = lines, first_decides

    def fail(self, error: BaseException, line: int) -> None:
        """One test failed."""
        self.failed += 1
        if not self.reason:
            source = self._lines[line - 1].strip() if 0 < line <= len(self._lines) else ""
            said = "" if isinstance(error, AssertionError) and not error.args else f" ({_described(error)})"
            self.reason = f"{source[:_LONGEST_TEXT]}{said}".strip()
        if self._first_decides:
            raise Enough


class Attempt:
    """A block of tests that may fail without ending those after it."""

    def __init__(self, count: Count, line: int, assertion: bool = False) -> None:
        """`assertion`: the block counts as a test that passed when it raises nothing."""
        self._count, self._line, self._assertion = count, line, assertion

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None:
            self._count.passed += self._assertion
        elif isinstance(error, (ImportError, SyntaxError)) and not hasattr(error, "of_candidate"):
            raise Unsupported(f"the tests cannot run: {_described(error)}") from error
        elif isinstance(error, (Exception, Stopped)):
            self._count.fail(error, self._line)
            return True
        return False


class Names(dict[str, Any]):
    """The tests' globals: what neither they nor Python define is the candidate's."""

    def __init__(self, candidate: Proxies, entry_point: str | None) -> None:
        super().__init__(__builtins__=builtins, __name__="tests")
        self.unknown: set[str] = set()
        """What only a prefix that is no program by itself defines."""
        self._candidate, self._entry_point = candidate, entry_point

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            return getattr(builtins, name)
        if name == "candidate" and self._entry_point:
            return self._candidate.name(self._entry_point)
        if name in self.unknown:
            raise Unsupported(f"the tests use {name!r} of the prefix, which is no program by itself")
        return self._candidate.read({"name": name})


class Tests:
    """The tests' source at work."""

    def __init__(self, task: dict[str, Any], candidate: Proxies, count: Count) -> None:
        self._task, self._candidate, self._count = task, candidate, count
        self._names = Names(candidate, task["entry_point"])
        self._names["__count__"] = lambda line: Attempt(count, line, True)
        sys.modules["tests"] = ModuleType("tests")
        for name in _CANDIDATE_MODULES:
            module = ModuleType(name)
            module.__getattr__ = self._imported  # type: ignore[method-assign]
            sys.modules[name] = module

    def run(self) -> None:
        """Raises Enough, Unsupported."""
        self._run_prefix()
        tree = _parsed(self._task["tests"])
        calls_check = any(_is_call_of_check(statement) for statement in tree.body)
        for statement in ast.fix_missing_locations(_Counting().visit(tree)).body:
            code = compile(ast.Module([statement], []), "tests", "exec", dont_inherit=True)
            with Attempt(self._count, statement.lineno):
                exec(code, self._names)
        if not calls_check and callable(dict.get(self._names, "check")):
            self._check()
        self._run_found()
        if self._count.passed + self._count.failed == 0:
            raise Unsupported("the tests assert nothing that was reached")

    def _run_prefix(self) -> None:
        """What stands before every candidate is the tests' own: helpers in it need not be asked for."""
        prefix: str = self._task["prefix"]
        for body in ("", "    pass", "        pass"):  # It may end with the head of a function.
            with contextlib.suppress(SyntaxError, ValueError):
                code = compile(f"{prefix}\n{body}\n", "prefix", "exec", dont_inherit=True)
                with Attempt(self._count, 0):
                    exec(code, self._names)
                break
        else:
            self._names.unknown = set(re.findall(r"\w+", prefix)) - {self._task["entry_point"]}
        self._names.pop(self._task["entry_point"], None)

    def _check(self) -> None:
        """HumanEval's form: `def check(candidate)`."""
        if self._task["entry_point"] is None:
            raise Unsupported("the tests define check(candidate): name the candidate's function as `entry_point`")
        with Attempt(self._count, 0):
            self._names["check"](self._names["candidate"])

    def _run_found(self) -> None:
        """Functions `test_…` and unittest's classes, as test runners find them."""
        for name, found in list(self._names.items()):
            if isinstance(found, FunctionType) and name.startswith("test") and not found.__code__.co_argcount:
                with Attempt(self._count, found.__code__.co_firstlineno):
                    found()
            elif isinstance(found, type) and issubclass(found, unittest.TestCase):
                for test in unittest.defaultTestLoader.loadTestsFromTestCase(found):
                    with Attempt(self._count, 0, True):
                        test.debug()

    def _imported(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._names[name]


class _Counting(ast.NodeTransformer):
    """Counts assertions: one that fails does not end the tests, unless they wait for its exception."""

    def __init__(self) -> None:
        self._guarded = False

    def visit_Assert(self, node: ast.Assert) -> Any:
        count = ast.Call(ast.Name("__count__", ast.Load()), [ast.Constant(node.lineno)], [])
        if self._guarded:
            nothing = ast.With([ast.withitem(count)], [ast.Pass()])
            return [node, ast.copy_location(nothing, node)]
        return ast.copy_location(ast.With([ast.withitem(count)], [node]), node)

    def visit_Try(self, node: ast.Try) -> Any:
        return self._within(node, True)

    def visit_With(self, node: ast.With) -> Any:
        return self._within(node, True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return self._within(node, False)

    def _within(self, node: ast.AST, guarded: bool) -> Any:
        before, self._guarded = self._guarded, guarded
        self.generic_visit(node)
        self._guarded = before
        return node


def _parsed(tests: str) -> ast.Module:
    try:
        return ast.parse(tests, "tests")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unsupported(f"the tests are no Python: {_described(error)}") from error


def _is_call_of_check(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _described(error: BaseException) -> str:
    said = ""
    with contextlib.suppress(Exception, Stopped):  # Its words may be the candidate's, and to be asked for.
        said = str(error)
    return f"{type(error).__name__}: {said}"[:_LONGEST_TEXT]
