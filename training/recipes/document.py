"""A recipe's file: YAML in which every value knows its line."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import yaml

from deliberate.engines.errors import InvalidRequest

Value: TypeAlias = "bool | int | float | str | list[Node] | dict[str, Node] | None"


class BadRecipe(InvalidRequest):
    """A recipe that cannot run; the message names file and line, and says what to do."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value, and where it stands: `recipe.yaml, line 12`."""

    value: Value
    place: str

    @property
    def plain(self) -> Any:
        """Without places."""
        match self.value:
            case dict():
                return {key: node.plain for key, node in self.value.items()}
            case list():
                return [node.plain for node in self.value]
            case scalar:
                return scalar

    @property
    def fields(self) -> "dict[str, Node]":
        """Of a mapping. Raises BadRecipe for anything else."""
        if not isinstance(self.value, dict):
            raise self.wrong(f"{self.value!r} should be a mapping: a name, a colon and a value on each line")
        return self.value

    @property
    def items(self) -> "list[Node]":
        """Of a list. Raises BadRecipe for anything else."""
        if not isinstance(self.value, list):
            raise self.wrong("this should be a list: each of its lines begins with `- `")
        return self.value

    def at(self, path: Sequence[Hashable]) -> "Node":
        """What stands at a path of keys and numbers, or the last of its parts that is there."""
        node = self
        for part in path:
            match node.value, part:
                case dict() as fields, str() if part in fields:
                    node = fields[part]
                case list() as items, int() if part < len(items):
                    node = items[part]
                case _:
                    continue
        return node

    def replaced(self, replace: "Callable[[str, Node], Node]") -> "Node":
        """With another node for each text in it."""
        match self.value:
            case dict():
                return Node({key: node.replaced(replace) for key, node in self.value.items()}, self.place)
            case list():
                return Node([node.replaced(replace) for node in self.value], self.place)
            case str():
                return replace(self.value, self)
            case _:
                return self

    def wrong(self, why: str) -> BadRecipe:
        """An error at this place."""
        return BadRecipe(f"{self.place}: {why}.")


def read_document(path: Path) -> Node:
    """A file's mapping. Raises BadRecipe for one that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecipe(f"{path} cannot be read: {error}.") from error
    return parsed(text, str(path))


def parsed(text: str, name: str) -> Node:
    """YAML as nodes; `name` is where it comes from. Raises BadRecipe for what is not YAML."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise BadRecipe(f"{name} is empty; write a recipe with name, summary and stages.")
        return _Reading(loader, name).node(root)
    except yaml.MarkedYAMLError as error:
        raise BadRecipe(_not_yaml(error, text, name)) from error
    except yaml.YAMLError as error:
        raise BadRecipe(f"{name} is not YAML: {error}.") from error
    finally:
        loader.dispose()


def _not_yaml(error: yaml.MarkedYAMLError, text: str, name: str) -> str:
    if error.problem_mark is None:
        return f"{name} is not YAML: {error.problem}."
    number = error.problem_mark.line
    line = text.splitlines()[number] if number < len(text.splitlines()) else ""
    hint = ' Between { } or [ ] write references in quotes, as in "${stages.x}".' if "${" in line else ""
    return f"{name}, line {number + 1} is not YAML: {error.problem}.{hint}"


@dataclass(frozen=True, slots=True)
class _Reading:
    loader: yaml.SafeLoader
    name: str

    def node(self, read: yaml.Node) -> Node:
        place = f"{self.name}, line {read.start_mark.line + 1}"
        match read:
            case yaml.MappingNode():
                return Node(self._mapping(read), place)
            case yaml.SequenceNode():
                return Node([self.node(item) for item in read.value], place)
            case _:
                scalar = cast(Any, self.loader).construct_object(read)
                known = scalar is None or isinstance(scalar, bool | int | float | str)
                return Node(scalar if known else str(scalar), place)

    def _mapping(self, read: yaml.MappingNode) -> dict[str, Node]:
        fields: dict[str, Node] = {}
        for key, value in read.value:
            name = str(key.value)
            if name in fields:
                place = f"{self.name}, line {key.start_mark.line + 1}"
                raise BadRecipe(f"{place}: {name!r} stands here twice; leave one out.")
            fields[name] = self.node(value)
        return fields
