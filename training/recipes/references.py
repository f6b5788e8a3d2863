"""What `${…}` in a recipe stands for: variables, the round, bundled models, and folders of stages that come before."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deliberate.models import bundled_models
from deliberate.training.recipes.document import Node

_REFERENCE = re.compile(r"\$\{\s*([^{}]*?)\s*\}")

_FORMS = "${variables.NAME}, ${stages.NAME}, ${previous.NAME}, ${round} or ${bundled.NAME}"


def one_of(names: Iterable[str], asked: str) -> str:
    """The names there are, and the one that was meant."""
    known = sorted(names)
    close = difflib.get_close_matches(asked, known, n=1)
    return f"there are: {', '.join(known) or 'none'}" + (f" (did you mean {close[0]!r}?)" if close else "")


class Variables:
    """A recipe's variables, which may stand for each other."""

    def __init__(self, given: Mapping[str, Node]) -> None:
        self._given = given
        self._known: dict[str, Node] = {}
        self._opened: list[str] = []

    def value(self, name: str, asking: Node) -> Node:
        """Raises BadRecipe, at the place that asks, for a name that there is not and for a circle."""
        if name in self._opened:
            circle = " -> ".join([*self._opened, name])
            raise asking.wrong(f"the variables stand for each other in a circle: {circle}; give one of them a value")
        if name not in self._given:
            raise asking.wrong(f"there is no variable {name!r}; {one_of(self._given, name)}")
        if name not in self._known:
            self._opened.append(name)
            self._known[name] = Scope(self).resolved(self._given[name])
            self._opened.pop()
        return self._known[name]

    def check(self) -> None:
        """Raises BadRecipe where one has no value, or nobody asks for one."""
        for name, node in self._given.items():
            if name not in self._known:
                raise node.wrong(f"nothing uses the variable {name!r}; leave it out")


@dataclass(frozen=True, slots=True)
class Scope:
    """What can be referred to at one place of a recipe."""

    variables: Variables
    output: Path = Path()
    stages: Mapping[str, str] = field(default_factory=dict[str, str])
    """Folders of the stages before, by name; of a repeated stage, its latest."""
    later: Mapping[str, Node] = field(default_factory=dict[str, Node])
    """Stages from here on."""
    previous: Mapping[str, Node | str] | None = None
    """Folders of the round before, or what stands for them in the first; None outside of a repeated group."""
    round: int | None = None
    used: list[str] = field(default_factory=list[str])
    """Folders that were referred to."""

    def resolved(self, node: Node) -> Node:
        """With all references replaced. Raises BadRecipe for one that means nothing here."""
        return node.replaced(self._text)

    def _text(self, text: str, node: Node) -> Node:
        """A reference alone keeps its value as it is; within a text, values are texts."""
        if whole := _REFERENCE.fullmatch(text):
            return Node(self._meaning(whole[1], node).value, node.place)
        return Node(_REFERENCE.sub(lambda match: self._written(match[1], node), text), node.place)

    def _written(self, reference: str, node: Node) -> str:
        value = self._meaning(reference, node).value
        if isinstance(value, list | dict):
            raise node.wrong(
                f"${{{reference}}} is a list or a mapping, which cannot stand within a text; let it stand alone"
            )
        return str(value)

    def _meaning(self, reference: str, node: Node) -> Node:
        kind, _, name = reference.partition(".")
        match kind:
            case "variables" if name:
                return self.variables.value(name, node)
            case "stages" if name:
                return self._stage(name, node)
            case "previous" if name:
                return self._previous(name, node)
            case "bundled" if name:
                return _bundled(name, node)
            case "round" if not name:
                return self._round(node)
            case _:
                raise node.wrong(f"${{{reference}}} means nothing; write {_FORMS}")

    def _stage(self, name: str, node: Node) -> Node:
        if name in self.stages:
            return self._folder(self.stages[name], node)
        if name in self.later:
            hint = "name one before it" if self.previous is None else f"name one before it, or ${{previous.{name}}}"
            raise node.wrong(f"the stage {name!r} ({self.later[name].place}) has no result yet here; {hint}")
        raise node.wrong(f"there is no stage {name!r}; {one_of(self.stages, name)}")

    def _previous(self, name: str, node: Node) -> Node:
        if self.previous is None:
            raise node.wrong(
                f"${{previous.{name}}} has a meaning only in a group with `repeat`; write ${{stages.{name}}}"
            )
        if name not in self.previous:
            raise node.wrong(
                f"there is no {name!r} of the round before the first; give the group `first: {{{name}: …}}`, or mend "
                f"the name: {one_of(self.previous, name)}"
            )
        before = self.previous[name]
        return self._folder(before, node) if isinstance(before, str) else self.resolved(before)

    def _round(self, node: Node) -> Node:
        if self.round is None:
            raise node.wrong("${round} has a meaning only in a group with `repeat`")
        return Node(self.round, node.place)

    def _folder(self, folder: str, node: Node) -> Node:
        if folder not in self.used:
            self.used.append(folder)
        return Node(str(self.output / folder), node.place)


def _bundled(name: str, node: Node) -> Node:
    models = bundled_models()
    if name not in models:
        raise node.wrong(f"there is no bundled model {name!r}; {one_of(models, name)}")
    return Node(str(models[name]), node.place)
