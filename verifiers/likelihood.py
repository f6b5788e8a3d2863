"""The `likelihood` verifier: how probable a chain is under a language model.

Under the policy itself this is the self-reward of "Self-Improvement in Language Models: The Sharpening Mechanism"
(Huang 2024); as a log-ratio of a scorer to the policy it is the implicit process reward of "Free Process Rewards
without Process Labels" (Yuan 2024, with beta = 1). How the tokens' log-probabilities make one score may itself be
learned (`surprisal`).
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.protocol import Engine
from deliberate.verifiers.aggregate import sigmoid
from deliberate.verifiers.chains import (
    NO_SCORES,
    Chain,
    Pieces,
    Undecided,
    read_chains,
    same_vocabulary,
    scoring_engine,
)
from deliberate.verifiers.protocol import (
    Candidate,
    Judges,
    LogprobReader,
    Problem,
    Resources,
    Verdict,
    VerifierConfig,
)
from deliberate.verifiers.steps import Separator, tokens_by_step

POLICY = "policy"
Rule: TypeAlias = Literal["min", "mean", "sum"]
Aggregate: TypeAlias = Literal["min", "mean", "sum", "learned"]


class Likelihood(VerifierConfig, frozen=True):
    """Token log-probabilities of the chain under a scoring model.

    The score is exp(aggregate), a probability; for `ratio` it is sigmoid(aggregate of the log-ratios), so 1/2 is
    indifference. `sum` of a chain below about -745 nats underflows to 0, where chains no longer rank; the reason
    gives the nats. The end-of-sequence token counts where the candidate's token ids hold it. Steps are scored by the
    same aggregate over their own tokens. Of a chain that grew only the new tokens are read.

    `learned` asks what was trained beside the scoring model (`deliberate train orm` or `prm` in the form `surprisal`):
    the score is its probability that all is right at the end of the chain, and a step's that all is at the step's end.
    """

    kind: Literal["likelihood"] = "likelihood"
    model: str | None = None
    """The scoring model: a served name, "policy" for the model that answers, None for its companion if it has one."""
    aggregate: Aggregate | None = None
    """Of the tokens' log-probabilities: the least likely token, the mean token, the whole chain, or what was learned;
    None for `learned` where the scoring model has it and no ratio is asked for, else `min`."""
    ratio: bool = False
    """Use the log-ratio to the policy instead of the log-probability."""
    step_separator: Separator | None = None
    """What stands between two steps; None for what the model that answers puts there."""

    def build(self, resources: Resources) -> "LikelihoodVerifier":
        names = {None: resources.scorer or resources.policy, POLICY: resources.policy}
        name = names.get(self.model, self.model)
        scorer = _scorer(resources, name)
        policy = None if resources.policy is None else scoring_engine(resources, resources.policy)
        if self.ratio and (
            policy is None or scorer is policy or not same_vocabulary(scorer.tokenizer, policy.tokenizer)
        ):
            raise InvalidRequest(
                f"The log-ratio needs a scoring model beside the policy {resources.policy!r}, of the same vocabulary.",
                param="verifier.ratio",
            )
        separator = self.step_separator or resources.step_separator
        return LikelihoodVerifier(self, scorer, policy, separator, self._reader(resources, name))

    @property
    def rule(self) -> Rule:
        """What makes one number of the tokens' where nothing was learned."""
        return "min" if self.aggregate is None or self.aggregate == "learned" else self.aggregate

    def _reader(self, resources: Resources, name: str | None) -> LogprobReader | None:
        """What judges in place of the rule."""
        reader = None if self.ratio else resources.readers.get(name or "")
        if reader is None and self.aggregate == "learned":
            raise InvalidRequest(self._nothing_learned(resources, name), param="verifier.aggregate")
        return reader if self.aggregate in (None, "learned") else None

    def _nothing_learned(self, resources: Resources, name: str | None) -> str:
        if self.ratio:
            return "What is learned reads log-probabilities, no ratios: leave out `ratio`, or take another aggregate."
        able = ", ".join(sorted(resources.readers)) or "none"
        return (
            f"Nothing was trained to read what the model {name!r} says (models with it: {able}); "
            "take the aggregate min, mean or sum."
        )


def _scorer(resources: Resources, name: str | None) -> Engine:
    if name is None:
        raise InvalidRequest("The likelihood verifier needs a model: there is no policy here.", param="verifier.model")
    return scoring_engine(resources, name, POLICY)


_Logprobs: TypeAlias = tuple[float, ...] | Undecided


@dataclass(frozen=True, slots=True)
class _Question:
    """A chain, and what is known of its first tokens."""

    chain: Chain
    known: tuple[float, ...]

    @property
    def start(self) -> int:
        """Where in the chain's ids the tokens begin of which nothing is known."""
        return len(self.chain.prompt) + len(self.known)


@dataclass(frozen=True, slots=True)
class _Known:
    """A chain whose tokens all have a value."""

    chain: Chain
    logprobs: tuple[float, ...]

    @classmethod
    def of(cls, question: _Question, new: _Logprobs) -> "_Known | Undecided":
        """With what was found of its new tokens."""
        if isinstance(new, Undecided):
            return new
        values = (*question.known, *new)
        if any(map(math.isnan, values)):
            return Undecided("the scorer's log-probabilities are not numbers")
        return cls(question.chain, values)

    @property
    def settled(self) -> tuple[float, ...]:
        """What stays when the chain goes on."""
        return self.logprobs[: self.chain.settled]


@dataclass(frozen=True, slots=True)
class LikelihoodVerifier:
    config: Likelihood
    scorer: Engine
    policy: Engine | None
    separator: str
    reader: LogprobReader | None
    """Judges in place of the rule."""

    judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        chains = self._chains(problem, candidates)
        questions = [_Question(chain, candidate.evidence) for chain, candidate in zip(chains, candidates, strict=True)]
        values = await self._under(self.scorer, questions, candidates)
        if self.config.ratio and self.policy is not None:
            values = list(map(_difference, values, await self._under(self.policy, questions, candidates)))
        pieces = Pieces(self.scorer.tokenizer)
        known = [_Known.of(question, value) for question, value in zip(questions, values, strict=True)]
        said = iter(await self._read([one.logprobs for one in known if not isinstance(one, Undecided)]))
        return [
            Verdict.undecided(one.reason) if isinstance(one, Undecided) else self._verdict(one, next(said), pieces)
            for one in known
        ]

    async def _read(self, logprobs: Sequence[Sequence[float]]) -> Sequence[Sequence[float]]:
        """What was learned says after each token; nothing where there is a rule."""
        if self.reader is None or not logprobs:
            return [()] * len(logprobs)
        return await asyncio.to_thread(self.reader.read, logprobs)

    def _chains(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Chain]:
        chains = read_chains(self.scorer.tokenizer, self.policy, problem, candidates, self.separator)
        return [chain if chain.prompt else _after_first(chain) for chain in chains]

    async def _under(
        self, engine: Engine, questions: list[_Question], candidates: Sequence[Candidate]
    ) -> list[_Logprobs]:
        """Log-probabilities of the chains' unknown tokens: the candidate's own where the engine sampled it, else one
        call for all."""
        pairs = zip(questions, candidates, strict=True)
        values = [self._own(engine, question, candidate) for question, candidate in pairs]
        asked = [question for question, own in zip(questions, values, strict=True) if own is None]
        scored = await _score(engine, list(dict.fromkeys(asked)))
        return [scored[question] if own is None else own for question, own in zip(questions, values, strict=True)]

    def _own(self, engine: Engine, question: _Question, candidate: Candidate) -> _Logprobs | None:
        chain, logprobs = question.chain, candidate.logprobs or ()
        sampled = engine is self.policy and candidate.logprobs is not None and candidate.token_ids == chain.tokens
        if sampled and chain.tokens:
            return logprobs[len(question.known) :] if len(logprobs) == len(chain.tokens) else None
        return chain.obstacle(engine.capabilities)

    def _verdict(self, known: _Known, said: Sequence[float], pieces: Pieces) -> Verdict:
        chain, values = known.chain, known.logprobs
        spelled = [pieces[token] for token in chain.tokens]
        steps = tokens_by_step(spelled, self.separator)
        if self.reader is not None:
            odds = [said[step.end(spelled)] for step in steps]
            reason = f"learned, log-odds {odds[-1]:.4g}"
            return Verdict(sigmoid(odds[-1]), None, tuple(map(sigmoid, odds)), reason, evidence=known.settled)
        of_steps = tuple(self._score([values[index] for index in step.tokens]) for step in steps)
        reason = f"{self.config.rule} {_aggregated(self.config.rule, values):.4g} nats"
        return Verdict(self._score(values), None, of_steps, reason, evidence=known.settled)

    def _score(self, values: Sequence[float]) -> float:
        nats = _aggregated(self.config.rule, values)
        if self.config.ratio:
            return sigmoid(nats)
        return math.exp(min(0.0, nats))


def _after_first(chain: Chain) -> Chain:
    """Of a chain without a prompt: nothing predicts the first token of all."""
    return Chain(chain.tokens[:1], chain.tokens[1:], max(0, chain.settled - 1))


async def _score(engine: Engine, questions: list[_Question]) -> dict[_Question, _Logprobs]:
    """One engine call for all chains, so that it can share their prompt's prefix."""
    if not questions:
        return {}
    try:
        values = await engine.score([q.chain.ids for q in questions], [q.start for q in questions])
    except NO_SCORES as error:
        return dict.fromkeys(questions, Undecided(f"the scorer gave no scores: {error}"))
    return dict(zip(questions, values, strict=True))


def _difference(scorer: _Logprobs, policy: _Logprobs) -> _Logprobs:
    if isinstance(scorer, Undecided) or isinstance(policy, Undecided):
        return scorer if isinstance(scorer, Undecided) else policy
    return tuple(a - b for a, b in zip(scorer, policy, strict=True))


def _aggregated(rule: Rule, values: Sequence[float]) -> float:
    if rule == "min":
        return min(values)
    total = math.fsum(values)
    return total / len(values) if rule == "mean" else total
