"""From a recipe's file to stages with their configurations, all of them checked before any runs."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deliberate.engines.errors import UnknownName
from deliberate.training.recipes.chain import Chain, Link
from deliberate.training.recipes.document import BadRecipe, Node, parsed, read_document
from deliberate.training.recipes.references import Scope, Variables, one_of
from deliberate.training.stages import Stage, StageConfig, load_stage

_FIELDS = {"name", "summary", "paper", "variables", "smoke", "stages"}
_NEEDED = ("name", "summary", "stages")
_STAGE_FIELDS = {"name", "stage", "config"}
_GROUP_FIELDS = {"repeat", "first", "stages"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_DECIDED = {"output_dir": "the recipe's folder decides it", "command": "it is the recipe's"}


@dataclass(frozen=True, slots=True)
class Planned:
    """A stage that is ready to run."""

    link: Link
    stage: Stage[Any]
    config: StageConfig


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe, laid out in a folder."""

    folder: Path
    chain: Chain
    stages: tuple[Planned, ...]


def read_plan(
    file: Path, *, output: Path | None = None, settings: Sequence[str] = (), smoke: bool = False, command: str = ""
) -> Plan:
    """Lay a recipe out.

    Args:
        file: the recipe.
        output: folder of all stages' folders; by default runs/NAME, with `smoke` runs/NAME-smoke.
        settings: `variable=value`, over the file's.
        smoke: take the file's small values, to see in minutes that all runs through.
        command: to record in the artifacts.

    Raises:
        BadRecipe: names file and line of all that is wrong.
    """
    fields = _known_fields(read_document(file), _FIELDS, _NEEDED)
    name = str(fields["name"].plain)
    variables = Variables(_variables(fields, settings, smoke=smoke))
    folder = output or Path("runs") / (f"{name}-smoke" if smoke else name)
    stages = _Layout(name, variables, folder, command).stages(fields["stages"])
    variables.check()
    summary, paper = (" ".join(str(fields[key].plain).split()) if key in fields else "" for key in ("summary", "paper"))
    links = tuple(planned.link for planned in stages)
    return Plan(folder, Chain(name=name, summary=summary, paper=paper, links=links), tuple(stages))


def _variables(fields: Mapping[str, Node], settings: Sequence[str], *, smoke: bool) -> dict[str, Node]:
    variables = dict(fields["variables"].fields) if "variables" in fields else {}
    small = fields["smoke"].fields if "smoke" in fields else {}
    for name, node in small.items():
        if name not in variables:
            raise node.wrong(f"`smoke` sets {name!r}, which is no variable; {one_of(variables, name)}")
    for setting in settings:
        name, equals, _ = setting.partition("=")
        if not equals or name not in variables:
            raise BadRecipe(f"--set {setting} sets no variable of the recipe; {one_of(variables, name)}.")
    set_ = {name: parsed(text or "''", f"--set {name}") for name, _, text in (one.partition("=") for one in settings)}
    return variables | (dict(small) if smoke else {}) | set_


@dataclass(slots=True)
class _Layout:
    """Stages in their order, as far as they are laid out."""

    recipe: str
    variables: Variables
    folder: Path
    command: str
    planned: list[Planned] = field(default_factory=list[Planned])
    wrong: list[str] = field(default_factory=list[str])
    _names: dict[str, Node] = field(default_factory=dict[str, Node])
    """Of all stages, each with its place."""
    _done: dict[str, str] = field(default_factory=dict[str, str])
    """Folders of those that can be referred to, by name."""
    _count: int = 0

    def stages(self, node: Node) -> list[Planned]:
        """Raises BadRecipe for all that is wrong with any of them."""
        self._names = _names(node)
        for entry in node.items:
            if "repeat" in entry.fields:
                self._group(entry)
            else:
                self._stage(entry, None, None)
        if self.wrong:
            raise BadRecipe("\n".join(dict.fromkeys(self.wrong)))
        return self.planned

    def _group(self, entry: Node) -> None:
        fields = _known_fields(entry, _GROUP_FIELDS, ("repeat", "stages"))
        own = _names(fields["stages"])
        previous: Mapping[str, Node | str] = _first(fields, own)
        for number in range(1, self._rounds(fields["repeat"]) + 1):
            for name in own:
                self._done.pop(name, None)
            for stage in fields["stages"].items:
                self._stage(stage, number, previous)
            previous = {name: self._done[name] for name in own}

    def _rounds(self, node: Node) -> int:
        rounds = Scope(self.variables).resolved(node).plain
        if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
            raise node.wrong(f"{rounds!r} is no number of rounds; write 1 or more")
        return rounds

    def _stage(self, entry: Node, number: int | None, previous: Mapping[str, Node | str] | None) -> None:
        fields = _known_fields(entry, _STAGE_FIELDS, ("name", "stage"))
        name, kind = str(fields["name"].plain), str(fields["stage"].plain)
        self._count += 1
        folder = f"{self._count:02}-{name}" + ("" if number is None else f"-{number}")
        later = {other: at for other, at in self._names.items() if other not in self._done}
        scope = Scope(self.variables, self.folder, dict(self._done), later, previous, number)
        self._done[name] = folder
        try:
            stage = load_stage(kind)
            config = self._config(stage, scope.resolved(fields.get("config", Node({}, entry.place))), folder)
        except UnknownName as error:
            self.wrong.append(str(fields["stage"].wrong(str(error).rstrip("."))))
        except BadRecipe as error:
            self.wrong.append(str(error))
        else:
            link = Link(name=name, stage=kind, folder=folder, uses=tuple(scope.used), round=number)
            self.planned.append(Planned(link, stage, config))

    def _config(self, stage: Stage[Any], given: Node, folder: str) -> StageConfig:
        for name, why in _DECIDED.items():
            if name in given.fields:
                raise given.fields[name].wrong(f"{name} cannot be set here, since {why}; leave it out")
        fields = {"name": f"{self.recipe}-{folder}", "command": self.command} | given.plain
        try:
            return stage.config.model_validate(fields | {"output_dir": self.folder / folder})
        except ValidationError as error:
            raise BadRecipe("\n".join(_told(error, stage, given))) from error


def _told(error: ValidationError, stage: Stage[Any], given: Node) -> Iterator[str]:
    """What is wrong with a configuration, each with its place."""
    for one in error.errors():
        path, place = ".".join(map(str, one["loc"])), given.at(one["loc"])
        if one["type"] == "extra_forbidden" and len(one["loc"]) == 1:
            fields = stage.config.model_fields.keys() - _DECIDED.keys()
            yield str(place.wrong(f"{path!r} is no field of {stage.name}; {one_of(fields, path)}"))
        else:
            yield str(place.wrong(f"{path or 'the configuration'} of {stage.name}: {one['msg']}"))


def _names(stages: Node) -> dict[str, Node]:
    """The names of all stages, those in groups too. Raises BadRecipe for one that two stages have."""
    names: dict[str, Node] = {}
    for entry in stages.items:
        group = "repeat" in entry.fields or "stages" in entry.fields
        inner = _names(entry.fields["stages"]) if group and "stages" in entry.fields else {}
        own = inner if group else {_name(entry): entry}
        for name, node in own.items():
            if name in names:
                raise node.wrong(f"the stage {name!r} is there already ({names[name].place}); give it another name")
            names[name] = node
    return names


def _name(entry: Node) -> str:
    fields = _known_fields(entry, _STAGE_FIELDS, ("name", "stage"))
    name = fields["name"].plain
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise fields["name"].wrong(f"{name!r} cannot name a folder; use small letters, digits and -")
    return name


def _first(fields: Mapping[str, Node], own: Mapping[str, Node]) -> Mapping[str, Node]:
    first = fields["first"].fields if "first" in fields else {}
    for name, node in first.items():
        if name not in own:
            raise node.wrong(f"`first` names {name!r}, which is no stage of the group; {one_of(own, name)}")
    return first


def _known_fields(node: Node, known: Collection[str], needed: Sequence[str]) -> dict[str, Node]:
    """Its fields. Raises BadRecipe for one that nobody knows, and for one that is missing."""
    for name, value in node.fields.items():
        if name not in known:
            raise value.wrong(f"{name!r} is nothing that is known here; {one_of(known, name)}")
    for name in needed:
        if name not in node.fields:
            raise node.wrong(f"{name!r} is missing; needed here: {', '.join(needed)}")
    return node.fields
