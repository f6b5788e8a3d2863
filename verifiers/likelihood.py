"""The `likelihood` verifier: how probable a chain is under a language model.

Under the policy itself this is the self-reward of "Self-Improvement in Language Models: The Sharpening Mechanism"
(Huang 2024); as a log-ratio of a scorer to the policy it is the implicit process reward of "Free Process Rewards
without Process Labels" (Yuan 2024, with beta = 1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.protocol import Engine
from deliberate.verifiers.aggregate import sigmoid
from deliberate.verifiers.chains import NO_SCORES, Chain, Pieces, Undecided, read_chains, same_vocabulary
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict, VerifierConfig
from deliberate.verifiers.steps import Separator, tokens_by_step

POLICY = "policy"
Aggregate: TypeAlias = Literal["min", "mean", "sum"]


class Likelihood(VerifierConfig, frozen=True):
    """Token log-probabilities of the chain under a scoring model.

    The score is exp(aggregate), a probability; for `ratio` it is sigmoid(aggregate of the log-ratios), so 1/2 is
    indifference. `sum` of a chain below about -745 nats underflows to 0, where chains no longer rank; the reason
    gives the nats. The end-of-sequence token counts where the candidate's token ids hold it. Steps are scored by the
    same aggregate over their own tokens.
    """

    kind: Literal["likelihood"] = "likelihood"
    model: str | None = None
    """The scoring model: a served name, "policy" for the model that answers, None for its companion if it has one."""
    aggregate: Aggregate = "min"
    """Of the tokens' log-probabilities: the least likely token, the mean token, or the whole chain."""
    ratio: bool = False
    """Use the log-ratio to the policy instead of the log-probability."""
    step_separator: Separator = "\n"
    """What stands between two steps."""

    def build(self, resources: Resources) -> "LikelihoodVerifier":
        names = {None: resources.scorer or resources.policy, POLICY: resources.policy}
        scorer = _engine(resources, names.get(self.model, self.model))
        policy = None if resources.policy is None else _engine(resources, resources.policy)
        if self.ratio and (
            policy is None or scorer is policy or not same_vocabulary(scorer.tokenizer, policy.tokenizer)
        ):
            raise InvalidRequest(
                f"The log-ratio needs a scoring model beside the policy {resources.policy!r}, of the same vocabulary.",
                param="verifier.ratio",
            )
        return LikelihoodVerifier(self, scorer, policy)


def _engine(resources: Resources, name: str | None) -> Engine:
    if name is None:
        raise InvalidRequest("The likelihood verifier needs a model: there is no policy here.", param="verifier.model")
    if name not in resources.engines:
        raise UnknownName("model", name, [*resources.engines, POLICY], param="verifier.model")
    engine = resources.engines[name]
    if not engine.capabilities.scores:
        able = sorted(other for other, engine in resources.engines.items() if engine.capabilities.scores)
        message = f"The model {name!r} cannot score given tokens; these can: {', '.join(able) or 'none'}."
        raise InvalidRequest(message, param="verifier.model")
    return engine


_Logprobs: TypeAlias = tuple[float, ...] | Undecided


@dataclass(frozen=True, slots=True)
class LikelihoodVerifier:
    config: Likelihood
    scorer: Engine
    policy: Engine | None

    judges = Judges.STEPS

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        chains = self._chains(problem, candidates)
        values = await self._under(self.scorer, chains, candidates)
        if self.config.ratio and self.policy is not None:
            values = list(map(_difference, values, await self._under(self.policy, chains, candidates)))
        pieces = Pieces(self.scorer.tokenizer)
        return [self._verdict(chain, value, pieces) for chain, value in zip(chains, values, strict=True)]

    def _chains(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Chain]:
        chains = read_chains(self.scorer.tokenizer, self.policy, problem, candidates)
        # Nothing predicts the first token of all.
        return [chain if chain.prompt else Chain(chain.tokens[:1], chain.tokens[1:]) for chain in chains]

    async def _under(self, engine: Engine, chains: list[Chain], candidates: Sequence[Candidate]) -> list[_Logprobs]:
        """Log-probabilities of each chain's tokens: the candidate's own where the engine sampled it, else one call."""
        known = [self._own(engine, chain, candidate) for chain, candidate in zip(chains, candidates, strict=True)]
        asked = [chain for chain, own in zip(chains, known, strict=True) if own is None]
        scored = await _score(engine, list(dict.fromkeys(asked)))
        return [scored[chain] if own is None else own for chain, own in zip(chains, known, strict=True)]

    def _own(self, engine: Engine, chain: Chain, candidate: Candidate) -> _Logprobs | None:
        sampled = engine is self.policy and candidate.logprobs is not None and candidate.token_ids == chain.tokens
        if sampled and chain.tokens:
            return candidate.logprobs if len(candidate.logprobs or ()) == len(chain.tokens) else None
        return chain.obstacle(engine.capabilities)

    def _verdict(self, chain: Chain, values: _Logprobs, pieces: Pieces) -> Verdict:
        if isinstance(values, Undecided):
            return Verdict.undecided(values.reason)
        if any(map(math.isnan, values)):
            return Verdict.undecided("the scorer's log-probabilities are not numbers")
        groups = tokens_by_step([pieces[token] for token in chain.tokens], self.config.step_separator)
        steps = tuple(self._score([values[index] for index in group]) for group in groups)
        nats = _aggregated(self.config.aggregate, values)
        return Verdict(self._score(values), None, steps, f"{self.config.aggregate} {nats:.4g} nats")

    def _score(self, values: Sequence[float]) -> float:
        nats = _aggregated(self.config.aggregate, values)
        if self.config.ratio:
            return sigmoid(nats)
        return math.exp(min(0.0, nats))


async def _score(engine: Engine, chains: list[Chain]) -> dict[Chain, _Logprobs]:
    """One engine call for all chains, so that it can share their prompt's prefix."""
    if not chains:
        return {}
    try:
        values = await engine.score([chain.ids for chain in chains], [len(chain.prompt) for chain in chains])
    except NO_SCORES as error:
        return dict.fromkeys(chains, Undecided(f"the scorer gave no scores: {error}"))
    return dict(zip(chains, values, strict=True))


def _difference(scorer: _Logprobs, policy: _Logprobs) -> _Logprobs:
    if isinstance(scorer, Undecided) or isinstance(policy, Undecided):
        return scorer if isinstance(scorer, Undecided) else policy
    return tuple(a - b for a, b in zip(scorer, policy, strict=True))


def _aggregated(rule: Aggregate, values: Sequence[float]) -> float:
    if rule == "min":
        return min(values)
    total = math.fsum(values)
    return total / len(values) if rule == "mean" else total
