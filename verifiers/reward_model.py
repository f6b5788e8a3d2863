"""The `reward_model` verifier: what a trained reward model says of a chain or of each of its steps.

At the end alone it is an outcome reward model ("Training Verifiers to Solve Math Word Problems", Cobbe 2021), at the
end of each step a process reward model ("Let's Verify Step by Step", Lightman 2023).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.marks import MarkScorer
from deliberate.engines.protocol import Engine, TokenScorer
from deliberate.verifiers.aggregate import Aggregation, aggregate, sigmoid
from deliberate.verifiers.chains import NO_SCORES, Undecided, scoring_engine, too_long
from deliberate.verifiers.formats.protocol import Format, Layout
from deliberate.verifiers.formats.registry import DEFAULT, FORMATS
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.steps import Separator

if TYPE_CHECKING:
    FormatName: TypeAlias = str
else:
    FormatName = Literal[tuple(FORMATS)]


class RewardModel(VerifierConfig, frozen=True):
    """Scores of a reward model.

    The score is the sigmoid of the model's log-odds at the end of the candidate or, with `steps`, the aggregate of
    these probabilities over its steps. A step is read where it ends, so that its score stays the same when the chain
    goes on; of a chain that grew only the new steps are read. What was cut by length is judged as far as it goes.
    """

    kind: Literal["reward_model"] = "reward_model"
    model: str | None = None
    """The reward model, by the name it is served under; None for the companion of the model that answers."""
    format: FormatName | None = None
    """How it was trained to read chains; None for what its record or its architecture says, else `chat`.

    `chat`: the conversation and the answer as they are. `math_shepherd`: a mark ` ки` after each step, and + or -.
    `rlhflow`: a turn for each step, and + or -. `skywork`: a line for each step. `qwen_prm`: `<extra_0>` after each
    step. `trl`: `step_separator` after each step. `orm`: the whole conversation, closed.
    """
    steps: bool = False
    """Read the model at the end of each step, as process reward models are trained, and not at the end alone."""
    aggregate: Aggregation = "last"
    """Of the steps' probabilities, with `steps`."""
    step_separator: Separator | None = None
    """What stands between two steps; None for what the model that answers puts there."""

    def build(self, resources: Resources) -> "RewardModelVerifier":
        name = self.model or self._companion(resources)
        format = FORMATS[self.format or resources.formats.get(name or "", DEFAULT)]
        scorer = _reward_head(resources, name) if format.marks is None else _generative(resources, name, format.marks)
        if self.steps and not format.reads_steps:
            able = ", ".join(other.name for other in FORMATS.values() if other.reads_steps)
            message = (
                f"Models of the format {format.name!r} judge chains as a whole; leave `steps` out (steps: {able})."
            )
            raise InvalidRequest(message, param="verifier.steps")
        format.check(scorer.tokenizer)
        policy = None if resources.policy is None else resources.engines[resources.policy]
        return RewardModelVerifier(self, format, scorer, policy, self.step_separator or resources.step_separator)

    def _companion(self, resources: Resources) -> str | None:
        """Which of the policy's companions is a reward model: the language model only where a format makes it one."""
        if self.format is not None:
            return resources.reward_model if FORMATS[self.format].marks is None else resources.scorer
        return resources.reward_model or (resources.scorer if resources.scorer in resources.formats else None)


def _reward_head(resources: Resources, name: str | None) -> TokenScorer:
    if name is None:
        known = ", ".join(sorted(resources.scorers)) or "none"
        raise InvalidRequest(
            f"The model {resources.policy!r} has no reward model of its own; name one (served: {known}).",
            param="verifier.model",
        )
    if name not in resources.scorers:
        raise UnknownName("reward model", name, resources.scorers, param="verifier.model")
    return resources.scorers[name]


def _generative(resources: Resources, name: str | None, marks: tuple[str, str]) -> TokenScorer:
    if name is None:
        known = ", ".join(sorted(resources.engines)) or "none"
        raise InvalidRequest(
            f"This format is of language models that say {' or '.join(marks)}, and the companion of the model "
            f"{resources.policy!r} is none; name one (served: {known}).",
            param="verifier.model",
        )
    engine = scoring_engine(resources, name)
    positive, negative = (engine.tokenizer.encode(mark)[-1] for mark in marks)
    return MarkScorer(engine, positive, negative)


_LogOdds: TypeAlias = tuple[float, ...] | Undecided


@dataclass(frozen=True, slots=True)
class _Question:
    """A chain, where it is read from left to right, and what is known of the first of these places."""

    ids: tuple[int, ...]
    ends: tuple[int, ...]
    known: tuple[float, ...]

    @property
    def positions(self) -> tuple[int, ...]:
        """Where the model must be asked; steps may end in the same token."""
        return tuple(dict.fromkeys(self.ends[len(self.known) :]))


@dataclass(frozen=True, slots=True)
class RewardModelVerifier:
    config: RewardModel
    format: Format
    scorer: TokenScorer
    policy: Engine | None
    separator: str

    @property
    def judges(self) -> Judges:
        """Each step only where each step is read."""
        return Judges.STEPS if self.config.steps else Judges.PARTIAL

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        layouts = self.format.lay_out(self.scorer.tokenizer, self.policy, problem, candidates, self.separator)
        questions = [self._question(layout, candidate) for layout, candidate in zip(layouts, candidates, strict=True)]
        said = await self._ask(list(dict.fromkeys(questions)))
        return [self._verdict(layout, said[question]) for layout, question in zip(layouts, questions, strict=True)]

    def _question(self, layout: Layout, candidate: Candidate) -> _Question:
        if self.config.steps:
            return _Question(layout.ids, layout.ends, candidate.evidence)
        return _Question(layout.ids, (len(layout.ids) - 1,) if layout.ends else (), ())

    async def _ask(self, questions: list[_Question]) -> dict[_Question, _LogOdds]:
        obstacles = {question: self._obstacle(question) for question in questions}
        readable = [question for question, obstacle in obstacles.items() if obstacle is None]
        known = {question: obstacle for question, obstacle in obstacles.items() if obstacle is not None}
        return known | await self._read(readable)

    def _obstacle(self, question: _Question) -> Undecided | None:
        if not question.ends:
            return Undecided("the candidate is empty")
        return too_long(len(question.ids), self.scorer.capabilities)

    async def _read(self, questions: list[_Question]) -> dict[_Question, _LogOdds]:
        """One call for all chains, so that the scorer can share their prompt's prefix."""
        if not questions:
            return {}
        positions = [question.positions for question in questions]
        try:
            values = await self.scorer.score([question.ids for question in questions], positions)
        except NO_SCORES as error:
            return dict.fromkeys(questions, Undecided(f"the reward model gave no scores: {error}"))
        said = [dict(zip(at, values_there, strict=True)) for at, values_there in zip(positions, values, strict=True)]
        return {question: _values(question, of) for question, of in zip(questions, said, strict=True)}

    def _verdict(self, layout: Layout, values: _LogOdds) -> Verdict:
        if isinstance(values, Undecided):
            return Verdict.undecided(values.reason)
        if any(map(math.isnan, values)):
            return Verdict.undecided("the reward model's scores are not numbers")
        probabilities = tuple(map(sigmoid, values))
        if not self.config.steps:
            return Verdict(probabilities[0], reason=f"log-odds {values[0]:.4g}")
        score = aggregate(self.config.aggregate, probabilities)
        reason = f"{self.config.aggregate} of {len(values)} steps"
        return Verdict(score, None, probabilities, reason, evidence=values[: layout.closed])


def _values(question: _Question, said: dict[int, float]) -> tuple[float, ...]:
    """The log-odds at each end, old and new."""
    return (*question.known, *(said[end] for end in question.ends[len(question.known) :]))
