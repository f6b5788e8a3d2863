"""The candidate as tests see it: names and objects whose every use is a question to another process.

What comes back is plain data. Objects that are none are handles: they can be used, and are equal to nothing but
themselves. Imports nothing but the standard library and its neighbours.
"""

import builtins
from collections.abc import Callable, Sequence
from typing import Any

from plain import Encoder, NotPlain, decode

_FORWARDED = ("__len__", "__getitem__", "__setitem__", "__contains__", "__iter__", "__next__", "__str__", "__repr__")


class Unsupported(BaseException):
    """The tests do what cannot be done from another process."""


class Stopped(BaseException):
    """The candidate ended, or was ended, instead of answering: nothing that tests may expect of it."""


class Failed(Exception):
    """The candidate raised something that only it knows."""


class Proxies:
    """The candidate, seen from here."""

    def __init__(self, ask: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.stops = 0
        self._ask = ask
        self._handles: dict[int, Handle] = {}

    def name(self, name: str) -> "Handle":
        """A function of its, which need not be there."""
        return Handle(self, {"name": name})

    def read(self, target: dict[str, Any], attribute: str | None = None) -> Any:
        """A value of its. Raises what reading it raised there."""
        return self._value(self._ask({"target": target} | ({"attribute": attribute} if attribute else {})))

    def call(self, question: dict[str, Any], arguments: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """The result of a call there; what it changed of lists, dicts and sets is changed here too."""
        sent = [self._encode(item) for item in arguments]
        named = {name: self._encode(item) for name, item in keywords.items()}
        reply = self._ask({**question, "arguments": sent, "keywords": named})
        value = self._value(reply)
        for mine, theirs in zip(arguments, reply.get("arguments", ()), strict=False):
            _update(mine, decode(theirs, self._handle))
        return value

    def _value(self, reply: dict[str, Any]) -> Any:
        if "value" in reply:
            try:
                return decode(reply["value"], self._handle)
            except NotPlain as error:
                raise Failed(str(error)) from error
        names = reply.get("raised", ())
        if "Exception" not in names:
            self.stops += 1
            raise Stopped(reply.get("text", "no answer"))
        error = next(filter(None, (_builtin(name, reply.get("text", name)) for name in names)), None) or Failed(names)
        error.of_candidate = True  # type: ignore[attr-defined]
        raise error

    def _encode(self, value: Any) -> Any:
        try:
            return Encoder(_opaque).encode(value)
        except NotPlain as error:
            raise Unsupported(f"a test passes {error} to the candidate") from error

    def _handle(self, content: list[Any]) -> "Handle":
        number = content[1]
        if not isinstance(number, int):
            raise NotPlain("no number of an object")
        return self._handles.setdefault(number, Handle(self, {"object": number}, [str(content[0]), number]))


class Handle:
    """Something of the candidate's that is no plain data: it is equal to nothing but itself."""

    def __init__(self, candidate: Proxies, target: dict[str, Any], content: list[Any] | None = None) -> None:
        self.candidate_of_handle, self.target_of_handle, self.content_of_handle = candidate, target, content

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.candidate_of_handle.call({"target": self.target_of_handle}, arguments, keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.candidate_of_handle.read(self.target_of_handle, name)

    def __instancecheck__(self, instance: object) -> bool:
        raise Unsupported("a test asks for the class of an object of the candidate's")

    def __bool__(self) -> bool:
        return True


def _forward(name: str) -> Callable[..., Any]:
    def method(self: Handle, *arguments: Any) -> Any:
        try:
            return self.candidate_of_handle.call({"target": self.target_of_handle, "attribute": name}, arguments, {})
        except AttributeError as error:
            raise TypeError(str(error)) from error

    return method


for _name in _FORWARDED:
    setattr(Handle, _name, _forward(_name))


def _opaque(value: object) -> list[Any]:
    content = value.content_of_handle if isinstance(value, Handle) else None
    if content is None:
        raise Unsupported(f"a test passes a value of type {type(value).__name__} to the candidate; plain data travels")
    return content


def _builtin(name: Any, text: Any) -> Exception | None:
    """The exception of that name of Python's own."""
    kind = getattr(builtins, name, None) if isinstance(name, str) else None
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return None
    if kind is Exception:
        return Failed(text)
    try:
        return kind(text)
    except TypeError:  # It takes more than a text.
        return None


def _update(mine: Any, theirs: Any) -> None:
    if type(mine) is not type(theirs) or not isinstance(mine, (list, dict, set)):
        return
    mine.clear()
    mine.extend(theirs) if isinstance(mine, list) else mine.update(theirs)
