"""Guesses inputs for a function nobody gave tests for: those the task shows, then random ones of the same types.

Reads the task's text and the candidates' sources as text; nothing of them runs. The first line is `{"mark", "task",
"sources", "entry_point", "count", "seed"}`, the answer `{"mark", "function", "inputs"}`, without a function where there
is none to call. Imports nothing but the standard library and its neighbours.
"""

import ast
import json
import random
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from plain import Encoder, NotPlain

_MOST_EXAMPLES = 20
_HEADER = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)\(([^()]*(?:\([^()]*\)[^()]*)*)\)", re.MULTILINE)
_WORDS = ("", "a", "b", "abc", "hello", "Hello World", "racecar", "aab", "()", "12", "a1b2", "the quick brown fox")

Make = Callable[[random.Random], Any]


def serve(channel: socket.socket) -> None:
    task = json.loads(channel.makefile("rb").readline())
    reply = {"mark": task["mark"], **guess(task)}
    channel.sendall(json.dumps(reply).encode() + b"\n")


def guess(task: dict[str, Any]) -> dict[str, Any]:
    """The function to call, and what with."""
    functions = dict[str, list[ast.arguments]]()
    headers = list(_headers(task["task"]))
    for name, arguments in [*headers, *(found for source in task["sources"] for found in _defined(source))]:
        functions.setdefault(name, []).append(arguments)
    name = task["entry_point"] or _likeliest(functions, [name for name, _ in headers])
    plain_name = (name or "").rpartition(".")[2]
    examples = list(_examples(task["task"], plain_name)) if name else []
    if name is None or (plain_name not in functions and not examples):
        return {}
    makers = _makers(functions.get(plain_name, []), examples)
    chance = random.Random(task["seed"])
    made = ([make(chance) for make in makers] for _ in range(20 * task["count"]))
    inputs = [*examples, *made] if makers else examples or [[]]
    return {"function": name, "inputs": list(_distinct(inputs, task["count"]))}


def _headers(text: str) -> Iterator[tuple[str, ast.arguments]]:
    """Functions that the text shows, whole or only their first lines."""
    for match in _HEADER.finditer(text):
        try:
            tree = ast.parse(f"def {match[1]}({match[2]}): pass")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        yield from _functions(tree)


def _defined(source: str) -> Iterator[tuple[str, ast.arguments]]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return
    yield from _functions(tree)


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.arguments]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node.args
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            yield from ((target.id, node.value.args) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ClassDef):
            yield from (
                (item.name, _without_self(item.args)) for item in node.body if isinstance(item, ast.FunctionDef)
            )


def _without_self(arguments: ast.arguments) -> ast.arguments:
    return ast.arguments([], arguments.args[1:], None, [], [], None, [])


def _likeliest(functions: dict[str, list[ast.arguments]], shown: list[str]) -> str | None:
    """The last one that the task shows, else the one that most candidates have."""
    if shown:
        return shown[-1]
    counts = Counter({name: len(found) for name, found in functions.items() if name != "main" and name[0] != "_"})
    return counts.most_common(1)[0][0] if counts else None


def _examples(text: str, name: str) -> Iterator[list[Any]]:
    """Arguments of the calls in the text whose arguments are literals."""
    calls = (match for match in re.finditer(rf"(?<![\w.]){re.escape(name)}\(", text))
    for _, match in zip(range(_MOST_EXAMPLES), calls, strict=False):
        end = match.end()
        for _ in range(50):  # Its closing bracket is the first that makes it an expression.
            end = text.find(")", end) + 1
            if not end:
                break
            try:
                call = ast.parse(text[match.start() : end], mode="eval").body
                if isinstance(call, ast.Call) and not call.keywords:
                    yield [ast.literal_eval(argument) for argument in call.args]
                break
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                continue


def _makers(signatures: list[ast.arguments], examples: list[list[Any]]) -> list[Make]:
    """What makes each argument: by its annotation, else like the examples, else something or other."""
    sizes = Counter(len(signature.args) - len(signature.defaults) or len(signature.args) for signature in signatures)
    size = len(examples[0]) if examples else sizes.most_common(1)[0][0]
    makers = list[Make]()
    for position in range(size):
        annotations = (s.args[position].annotation for s in signatures if position < len(s.args))
        annotation = next((found for found in annotations if found is not None), None)
        seen = [example[position] for example in examples if position < len(example)]
        makers.append(_like(seen) if seen else _of_type(annotation) or _anything)
    return makers


def _of_type(annotation: ast.expr | None) -> Make | None:
    """None for a type that nothing is known of."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _of_type(_expression(annotation.value))
    if isinstance(annotation, ast.BinOp):
        return _of_type(annotation.left) or _of_type(annotation.right)
    if not isinstance(annotation, ast.Subscript):
        return _SIMPLE.get(_last_name(annotation))
    inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    makers = [_of_type(item) or _integer for item in inner]
    match _last_name(annotation.value):
        case "list" | "sequence" | "iterable" | "collection":
            return lambda chance: [makers[0](chance) for _ in range(chance.randrange(8))]
        case "set" | "frozenset":
            return lambda chance: {makers[0](chance) for _ in range(chance.randrange(8))}
        case "tuple" if isinstance(inner[-1], ast.Constant):
            return lambda chance: tuple(makers[0](chance) for _ in range(chance.randrange(5)))
        case "tuple":
            return lambda chance: tuple(make(chance) for make in makers)
        case "dict" | "mapping" if len(makers) == 2:
            return lambda chance: {makers[0](chance): makers[1](chance) for _ in range(chance.randrange(5))}
        case "optional" | "union":
            return makers[0]
        case _:
            return None


def _expression(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _last_name(node: ast.expr | None) -> str:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.lower()


def _like(seen: list[Any]) -> Make:
    """Values of the kind of those that were seen."""

    def make(chance: random.Random) -> Any:
        return _varied(chance.choice(seen), chance)

    return make


def _varied(value: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return chance.random() < 0.5
    if isinstance(value, int):
        return chance.choice([value + chance.randint(-3, 3), chance.randint(0, max(10, 2 * abs(value)))])
    if isinstance(value, float):
        return round(value * chance.uniform(0, 2), 2)
    if isinstance(value, str):
        return "".join(chance.choices(value, k=chance.randint(0, len(value) + 2))) if value else _text(chance)
    if isinstance(value, (list, tuple)):
        items = [_varied(item, chance) for item in chance.choices(value, k=len(value))] if value else []
        kept = items[: chance.randint(0, len(items))] if isinstance(value, list) and chance.random() < 0.3 else items
        return type(value)(kept)
    if isinstance(value, dict):
        return {key: _varied(item, chance) for key, item in value.items() if chance.random() < 0.8}
    return value


def _integer(chance: random.Random) -> int:
    return chance.choice([0, 1, -1, 2, 3, chance.randint(-10, 30), chance.randint(0, 100)])


def _text(chance: random.Random) -> str:
    return chance.choice([*_WORDS, "".join(chance.choices("abcxyz ", k=chance.randrange(10)))])


def _anything(chance: random.Random) -> Any:
    return chance.choice([_integer, _text, lambda chance: [_integer(chance) for _ in range(chance.randrange(6))]])(
        chance
    )


_SIMPLE: dict[str, Make] = {
    "int": _integer,
    "float": lambda chance: round(chance.uniform(-10, 30), 2),
    "str": _text,
    "bool": lambda chance: chance.random() < 0.5,
    "bytes": lambda chance: _text(chance).encode(),
    "list": lambda chance: [_integer(chance) for _ in range(chance.randrange(8))],
    "tuple": lambda chance: tuple(_integer(chance) for _ in range(chance.randrange(5))),
    "set": lambda chance: {_integer(chance) for _ in range(chance.randrange(8))},
    "dict": lambda chance: {_text(chance): _integer(chance) for _ in range(chance.randrange(5))},
}


def _distinct(values: Iterator[list[Any]] | list[list[Any]], count: int) -> Iterator[Any]:
    seen = set[str]()
    for value in values:
        try:
            encoded = Encoder(lambda _: []).encode(value)
        except NotPlain:
            continue
        text = json.dumps(encoded, sort_keys=True)
        if text not in seen:
            seen.add(text)
            yield encoded
        if len(seen) >= count:
            return
