"""Holds a candidate's module and answers questions about it, one line of JSON each.

The candidate shares this process and may do with it what it likes: whoever asks believes nothing of an answer but that
it was given to this question, whose mark it bears.

The first line says what to do:

- `{"run": [sources]}` runs a program to its end, on its standard input and output;
- `{"mark": …, "parse": [sources]}` says whether one of them parses;
- `{"mark": …, "load": [sources]}` loads the first that does, and goes on to questions.

A question is `{"mark": …, "target": …}`, its answer `{"mark": …, "value": …}` or `{"mark": …, "raised": [class names],
"text": …}`. A target is `{"name": "f"}`, `{"name": "Class.method"}` or `{"object": number}`; with `attribute` that is
read of it, and with `arguments` (and `keywords`) it is called. Imports nothing but the standard library and its
neighbours.
"""

import atexit
import json
import socket
import sys
import traceback
from collections.abc import Iterator
from types import CodeType, ModuleType, TracebackType
from typing import Any

from plain import Encoder, decode

_LONGEST_TEXT = 300
_CHUNK = 1 << 16


class Caught:
    """Keeps whatever the block raises: a candidate may raise anything."""

    error: BaseException | None = None

    def __enter__(self) -> "Caught":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> bool:
        self.error = error
        return True


def serve(channel: socket.socket) -> None:
    lines = received(channel)
    task = json.loads(next(lines))
    if "run" in task:
        raise SystemExit(run(task["run"]))
    if "parse" in task:
        with Caught() as caught:
            compiled(task["parse"], "candidate.py")
        said = {"parsed": True} if caught.error is None else {"syntax": described(caught.error)["text"]}
        channel.sendall(json.dumps({"mark": task["mark"], **said}).encode() + b"\n")
        return
    reply, module = load(task["load"])
    channel.sendall(json.dumps({"mark": task["mark"], **reply}).encode() + b"\n")
    candidate = Candidate(module)
    for line in lines:
        channel.sendall(candidate.answer(json.loads(line)) + b"\n")


def received(channel: socket.socket) -> Iterator[bytes]:
    """Its lines; `makefile` would read them by much more code."""
    rest = b""
    while chunk := channel.recv(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def run(sources: list[str]) -> int:
    """Run a program as Python itself would; its exit status."""
    with Caught() as caught:
        sys.argv = ["main.py"]
        _execute(compiled(sources, "main.py"), "__main__")
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] - they have no other way to run before os._exit
    with Caught():
        if caught.error is not None and not isinstance(caught.error, SystemExit):
            traceback.print_exception(caught.error)
        sys.stdout.flush()
        sys.stderr.flush()
    if isinstance(caught.error, SystemExit):
        return caught.error.code if isinstance(caught.error.code, int) else int(caught.error.code is not None)
    return int(caught.error is not None)


def load(sources: list[str]) -> tuple[dict[str, Any], ModuleType]:
    """What is to be said of it, and the module."""
    code = None
    with Caught() as caught:
        code = compiled(sources, "candidate.py")
    if code is None:
        return {"syntax": described(caught.error)["text"]}, ModuleType("candidate")
    with Caught() as caught:
        return {"loaded": True}, _execute(code, "candidate")
    return described(caught.error), ModuleType("candidate")


def compiled(sources: list[str], name: str) -> CodeType:
    """The first that parses. Raises what parsing the last of them raised."""
    for source in sources[:-1]:
        with Caught():
            return compile(source, name, "exec", dont_inherit=True)
    return compile(sources[-1], name, "exec", dont_inherit=True)


def _execute(code: CodeType, name: str) -> ModuleType:
    module = ModuleType(name)
    sys.modules[name] = module  # Data classes and pickles look their module up.
    exec(code, module.__dict__)
    return module


class Candidate:
    """The module, and the objects of its that are known outside by number."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._objects: list[object] = []

    def answer(self, question: dict[str, Any]) -> bytes:
        """The reply to one question, as JSON. Never raises by itself."""
        with Caught() as caught:
            return json.dumps({"mark": question["mark"], **self._do(question)}).encode()
        return json.dumps({"mark": question["mark"], **described(caught.error)}).encode()

    def _do(self, question: dict[str, Any]) -> dict[str, Any]:
        target = self._find(question["target"])
        if "attribute" in question:
            target = getattr(target, question["attribute"])
        if "arguments" not in question:
            return {"value": self._encode(target)}
        arguments = [decode(item, self._held) for item in question["arguments"]]
        keywords = {name: decode(item, self._held) for name, item in question.get("keywords", {}).items()}
        reply = {"value": self._encode(target(*arguments, **keywords))}
        after = [self._encode(item) for item in arguments]
        return reply if after == question["arguments"] else {**reply, "arguments": after}

    def _find(self, target: dict[str, Any]) -> Any:
        if "object" in target:
            return self._objects[target["object"]]
        first, *rest = target["name"].split(".")
        if not hasattr(self._module, first):
            raise NameError(f"name {first!r} is not defined")
        found: Any = getattr(self._module, first)
        for part in rest:  # `Solution.solve` is a method of a new Solution().
            found = getattr(found() if isinstance(found, type) else found, part)
        return found

    def _encode(self, value: object) -> Any:
        return Encoder(self._hold).encode(value)

    def _hold(self, value: object) -> list[Any]:
        for number, known in enumerate(self._objects):
            if known is value:
                return [type(value).__name__, number]
        self._objects.append(value)
        return [type(value).__name__, len(self._objects) - 1]

    def _held(self, content: list[Any]) -> object:
        return self._objects[content[1]]


def described(error: BaseException | None) -> dict[str, Any]:
    """What was raised, in words that can travel."""
    names = [kind.__name__ for kind in type(error).__mro__]
    text = names[0]
    with Caught():
        text = f"{names[0]}: {error}"[:_LONGEST_TEXT]
    return {"raised": names, "text": text}
