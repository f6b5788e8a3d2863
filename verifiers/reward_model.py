"""The `reward_model` verifier: what a trained reward model says of a chain or of each of its steps.

At the end alone it is an outcome reward model ("Training Verifiers to Solve Math Word Problems", Cobbe 2021), at the
end of each step a process reward model ("Let's Verify Step by Step", Lightman 2023).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.protocol import Engine, TokenScorer
from deliberate.verifiers.aggregate import Aggregation, aggregate, sigmoid
from deliberate.verifiers.chains import NO_SCORES, Chain, Pieces, Undecided, read_chains
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.steps import Separator, tokens_by_step


class RewardModel(VerifierConfig, frozen=True):
    """Scores of a reward model.

    The score is the sigmoid of the model's log-odds after the candidate's last token or, with `steps`, the aggregate
    of these probabilities over its steps. A step is read at its last token that is not a special one, so that its
    score stays the same when the chain goes on or ends. What was cut by length is judged as far as it goes.
    """

    kind: Literal["reward_model"] = "reward_model"
    model: str | None = None
    """The reward model, by the name it is served under; None for the companion of the model that answers."""
    steps: bool = False
    """Read the model at the end of each step, as process reward models are trained, and not at the end alone."""
    aggregate: Aggregation = "last"
    """Of the steps' probabilities, with `steps`."""
    step_separator: Separator = "\n"
    """What stands between two steps."""

    def build(self, resources: Resources) -> "RewardModelVerifier":
        name = self.model or resources.reward_model
        if name is None:
            known = ", ".join(sorted(resources.scorers)) or "none"
            raise InvalidRequest(
                f"The model {resources.policy!r} has no reward model of its own; name one (served: {known}).",
                param="verifier.model",
            )
        if name not in resources.scorers:
            raise UnknownName("reward model", name, resources.scorers, param="verifier.model")
        policy = None if resources.policy is None else resources.engines[resources.policy]
        return RewardModelVerifier(self, resources.scorers[name], policy)


_LogOdds: TypeAlias = tuple[float, ...] | Undecided
_Question: TypeAlias = tuple[Chain, tuple[int, ...]]
"""A chain, and where in its ids it is read, from left to right."""


@dataclass(frozen=True, slots=True)
class RewardModelVerifier:
    config: RewardModel
    scorer: TokenScorer
    policy: Engine | None

    @property
    def judges(self) -> Judges:
        """Each step only where each step is read."""
        return Judges.STEPS if self.config.steps else Judges.PARTIAL

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        pieces = Pieces(self.scorer.tokenizer)
        chains = read_chains(self.scorer.tokenizer, self.policy, problem, candidates)
        asked = [(chain, self._ends(chain, pieces)) for chain in chains]
        said = await self._ask(list(dict.fromkeys(asked)))
        return [self._verdict(said[question]) for question in asked]

    def _ends(self, chain: Chain, pieces: Pieces) -> tuple[int, ...]:
        """Where the chain is read; steps may end in the same token."""
        if not self.config.steps:
            return (len(chain.ids) - 1,)
        spelled = [pieces[token] for token in chain.tokens]
        steps = tokens_by_step(spelled, self.config.step_separator)
        ends = [max(step, key=lambda index: (spelled[index] != b"", index)) for step in steps if step]
        return tuple(len(chain.prompt) + end for end in ends)

    async def _ask(self, questions: list[_Question]) -> dict[_Question, _LogOdds]:
        obstacles = {question: question[0].obstacle(self.scorer.capabilities) for question in questions}
        readable = [question for question, obstacle in obstacles.items() if obstacle is None]
        known = {question: obstacle for question, obstacle in obstacles.items() if obstacle is not None}
        return known | await self._read(readable)

    async def _read(self, questions: list[_Question]) -> dict[_Question, _LogOdds]:
        """One call for all chains, so that the scorer can share their prompt's prefix."""
        if not questions:
            return {}
        positions = [tuple(dict.fromkeys(ends)) for _, ends in questions]
        try:
            values = await self.scorer.score([chain.ids for chain, _ in questions], positions)
        except NO_SCORES as error:
            return dict.fromkeys(questions, Undecided(f"the reward model gave no scores: {error}"))
        said = [dict(zip(at, values_there, strict=True)) for at, values_there in zip(positions, values, strict=True)]
        return {
            (chain, ends): tuple(of[end] for end in ends) for (chain, ends), of in zip(questions, said, strict=True)
        }

    def _verdict(self, values: _LogOdds) -> Verdict:
        if isinstance(values, Undecided):
            return Verdict.undecided(values.reason)
        if any(map(math.isnan, values)):
            return Verdict.undecided("the reward model's scores are not numbers")
        probabilities = tuple(map(sigmoid, values))
        if not self.config.steps:
            return Verdict(probabilities[0], reason=f"log-odds {values[0]:.4g}")
        score = aggregate(self.config.aggregate, probabilities)
        return Verdict(score, None, probabilities, f"{self.config.aggregate} of {len(values)} steps")
