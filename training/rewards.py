"""Verifiers as reward functions: what judges candidates when they are served judges them in training too.

A `VerifierReward` is called as TRL calls reward functions (`GRPOTrainer(reward_funcs=[...])`), by our own trainer and
by anything else that has prompts, completions and columns beside them:

    reward = VerifierReward("reference", fill={"answer": "gold"})
    reward(prompts=["What is 17 * 23?"], completions=["391"], gold=["391"])   # [1.0]

Where each row of the data brings its own verifier, as those of tasks do, `column` names the field that has it:

    reward = VerifierReward(column="verifier")
    reward(prompts=["17 * 23?"], completions=["391"], verifier=[{"kind": "reference", "answer": "391"}])   # [1.0]

What could not be decided is None, which trainers leave out of the mean. It is never 0.
"""

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

from pydantic import ValidationError

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.search.registry import explain
from deliberate.search.templating import template_messages
from deliberate.training.completions import Completion, completion_text
from deliberate.verifiers.background import BackgroundLoop
from deliberate.verifiers.browser.pool import BrowserPool
from deliberate.verifiers.filling import filled
from deliberate.verifiers.guard import build_guarded
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.sandbox.sandbox import Sandbox
from deliberate.verifiers.strict_json import NotJson, loads
from deliberate.verifiers.workers import WorkerPool

Prompt: TypeAlias = str | Sequence[Mapping[str, Any]]
"""Text, or a conversation."""


class VerifierReward:
    """A verifier as a function from completions to scores in [0, 1].

    Completions of one prompt are judged together, as the candidates of a search are. Verifiers run in an event loop in
    a thread of their own, so that trainers may call from anywhere; `close` ends it.
    """

    def __init__(
        self,
        verifier: object = None,
        *,
        column: str | None = None,
        fill: Mapping[str, str] | None = None,
        resources: Resources | None = None,
        end_token_id: int | None = None,
        name: str | None = None,
    ) -> None:
        """`verifier` as a request would write it: a kind, a config, or a list of configs with weights. Instead of one
        for all, `column` names the data's column of whole verifiers, each written like that or as its JSON text.

        `fill` names the data's column for each option that differs between problems: `{"answer": "gold"}`, or in a list
        `{"0.answer": "gold"}`. `resources` hold the models for verifiers that ask one, and stay the caller's to close;
        without them there are worker processes, boxes for programs and browsers. With `end_token_id` a completion
        whose ids do not end in it was cut off. `name` is what trainers log. Raises InvalidRequest for a verifier that
        nobody could build.
        """
        if (verifier is None) == (column is None):
            raise InvalidRequest(
                "Give a verifier for all rows, or the column that has one for each row.", param="column"
            )
        self._spec, self._column, self._fill, self._end = verifier, column, dict(fill or {}), end_token_id
        self._own = resources is None
        self._sandbox, self._browsers = Sandbox(), BrowserPool()
        self._resources = resources or Resources(WorkerPool(), {}, sandbox=self._sandbox, browsers=self._browsers)
        self._loop: BackgroundLoop | None = None
        self._starting = threading.Lock()
        if not self._fill and column is None:
            build_guarded(_parsed(verifier), self._resources)
        self.__name__ = name or column or _name(verifier)

    def __call__(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """A score for each completion; None where nothing could be decided.

        `columns` are the data's other fields, a value for each completion, and whatever else a trainer passes on; of
        these `tools` are what a completion may call. Raises InvalidRequest for a row that gives no verifier.
        """
        work = self._verdicts(prompts, completions, completion_ids, columns)
        return [verdict.score for verdict in self._running().run(work)]

    async def verdicts(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[Verdict]:
        """All that the verifier says, for callers with an event loop of their own, in which lent models run."""
        work = self._verdicts(prompts, completions, completion_ids, columns)
        if not self._own:
            return await work
        return await self._running().wait(work)

    async def _verdicts(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]] | None,
        columns: Mapping[str, Any],
    ) -> list[Verdict]:
        count = len(completions)
        ids: Sequence[Sequence[int] | None] = completion_ids or [None] * count
        candidates = [self._candidate(text, i) for text, i in zip(completions, ids, strict=True)]
        groups = self._groups(prompts, [_row(columns, number, count) for number in range(count)])
        async with asyncio.TaskGroup() as tasks:
            judging = [
                tasks.create_task(group.judge([candidates[i] for i in group.members], self._resources))
                for group in groups
            ]
        verdicts: dict[int, Verdict] = {}
        for group, task in zip(groups, judging, strict=True):
            verdicts.update(zip(group.members, task.result(), strict=True))
        return [verdicts[i] for i in range(count)]

    def close(self) -> None:
        """End the thread, and what it lent to the verifier."""
        with self._starting:
            loop, self._loop = self._loop, None
        if self._own:
            if loop is not None:
                # The boxes are ended in the loop that started them.
                loop.run(self._sandbox.close())
            self._browsers.close()
            self._resources.workers.close()
        if loop is not None:
            loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> BackgroundLoop:
        with self._starting:
            if self._loop is None:
                self._loop = BackgroundLoop(self.__name__)
            return self._loop

    def _groups(self, prompts: Sequence[Prompt], rows: Sequence[Mapping[str, Any]]) -> "list[_Group]":
        """Rows of the same problem and verifier, in one."""
        groups: dict[str, _Group] = {}
        for index, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
            group = _Group(self._config(row, index), _problem(prompt, row.get("tools")))
            groups.setdefault(group.key, group).members.append(index)
        return list(groups.values())

    def _config(self, row: Mapping[str, Any], index: int) -> VerifierConfig:
        try:
            spec = self._spec if self._column is None else _own(row, self._column)
            return _parsed(filled(spec, self._fill, row))
        except InvalidRequest as error:
            raise InvalidRequest(f"Row {index}: {error}", param=error.param) from error

    def _candidate(self, completion: Completion, ids: Sequence[int] | None) -> Candidate:
        finished = self._end is None or ids is None or self._end in ids[-1:]
        return Candidate(completion_text(completion), None if ids is None else tuple(ids), finished=finished)


@dataclass(frozen=True, slots=True)
class _Group:
    """Completions of one prompt."""

    config: VerifierConfig
    problem: Problem
    members: list[int] = field(default_factory=list[int])

    @property
    def key(self) -> str:
        """The same for the same problem and verifier."""
        parts = [self.config.describe(), self.problem.messages, self.problem.tools]
        return json.dumps(parts, default=str, sort_keys=True)

    async def judge(self, candidates: Sequence[Candidate], resources: Resources) -> list[Verdict]:
        return await build_guarded(self.config, resources).verify(self.problem, candidates)


def _own(row: Mapping[str, Any], column: str) -> object:
    """The row's verifier."""
    if column not in row:
        raise UnknownName("field", column, row, param="column")
    spec = row[column]
    if not spec:
        raise InvalidRequest(
            f"there is no verifier in its {column!r}: {spec!r}. Give the row one, such as "
            '{"kind": "reference", "answer": "…"}, or leave it out.',
            param="column",
        )
    if not isinstance(spec, str) or spec[0] not in "{[":
        return spec
    try:
        return loads(spec)
    except NotJson as error:
        raise InvalidRequest(f"its {column!r} is no JSON: {error}", param="column") from error


def _parsed(spec: object) -> VerifierConfig:
    try:
        return parse_verifier(spec)
    except ValidationError as error:
        raise InvalidRequest(f"The verifier cannot be read: {explain(error)}", param="verifier") from error


def _name(spec: object) -> str:
    """For logs: the kind, or the kinds of a list."""
    match spec:
        case str():
            return spec
        case {"kind": str(kind)}:
            return kind
        case [*members]:
            return "+".join(map(_name, members))
        case _:
            return "verifier"


def _row(columns: Mapping[str, Any], number: int, count: int) -> dict[str, Any]:
    """One row of what are columns; trainers pass other things on beside them, such as their state."""
    return {
        name: values[number] for name, values in columns.items() if isinstance(values, list) and len(values) == count
    }


def _problem(prompt: Prompt, tools: object) -> Problem:
    messages: Sequence[Mapping[str, Any]] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    offered = cast(Sequence[Mapping[str, Any]], tools) if isinstance(tools, Sequence) else ()
    return Problem(template_messages([dict(message) for message in messages]), tools=tuple(offered))
