"""What strategies that search step by step share: their options, and the choice among the chains that ended."""

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat

from deliberate.engines.protocol import Finish, Sample
from deliberate.search.errors import every_sample_failed
from deliberate.search.events import Chosen, Completed, Event
from deliberate.search.nodes import Node
from deliberate.search.ranking import ballot, by_score, by_votes, counting, mean_logprob
from deliberate.search.steps import StepRules
from deliberate.search.strategy import Context, Strategy
from deliberate.search.tree import Tree
from deliberate.verifiers.protocol import Judges, VerifierConfig
from deliberate.verifiers.registry import AnyVerifier
from deliberate.verifiers.steps import Separator

MAX_STEPS = 1024
"""Most steps of a chain that a request may ask for."""


class StepStrategy(Strategy, frozen=True):
    """A strategy that extends chains by steps and judges them before they end."""

    continues: ClassVar[bool] = True

    verifier: AnyVerifier | None = None
    """Scores the chains as they grow; None takes the served model's default verifier."""
    pick: Literal["score", "weighted_vote", "majority"] = "weighted_vote"
    """The answer: of the chains that ended the one with the best score, the answer with the largest sum of scores, or
    the most frequent one."""
    step_separator: Separator | None = None
    """Ends a step; None takes the model's own."""
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 40
    """The last step of a chain this long is all of its rest."""
    max_step_tokens: Annotated[int, Field(ge=1)] | None = None
    """A step that grows this long ends there, and its chain goes on."""
    min_temperature: Annotated[FiniteFloat, Field(ge=0, le=2)] = 0.6
    """Floor for the request's temperature: at temperature 0 all steps that follow a chain would be the same."""

    @property
    def needs(self) -> Judges | None:
        return Judges.PARTIAL

    @property
    def verifier_config(self) -> VerifierConfig | None:
        return self.verifier

    def plant(self, context: Context, *, lookahead: int = 0, judges_beginnings: bool = True) -> Tree:
        """An empty tree under this strategy's rules."""
        temperature = max(context.sampling.temperature, self.min_temperature)
        sampling = context.sampling.model_copy(update={"temperature": temperature})
        separator = self.step_separator or context.step_separator
        rules = StepRules(
            sampling, separator, self.max_steps, self.max_step_tokens, lookahead, judges_beginnings=judges_beginnings
        )
        return Tree(context, rules)

    async def choose(
        self,
        tree: Tree,
        reason: str | None = None,
        scores: Mapping[int, float] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The end of a search: everything that still runs is stopped, then the answers among the chains that ended.

        Where none ended, the most promising beginning is the answer, cut by length. Raises SearchFailed without any.
        `reason` says why the search ends here; without one, the chains ended. `scores`, by index, are the strategy's
        own, in place of the verifier's.
        """
        reason = reason or f"{len(tree.candidates)} chains ended"
        async for event in tree.stop():
            yield event
        if not tree.completed:
            node = _most_promising(tree)
            if node is None:
                raise every_sample_failed(tree.failures, reason)
            node.chain = _cut(node.chain)
            tree.complete(node)
            async for event in tree.stop():
                yield event
        yield self._chosen(tree, reason, scores)

    def _chosen(self, tree: Tree, reason: str, own: Mapping[int, float] | None) -> Chosen:
        nodes = {node.index: node for node in tree.candidates}
        candidates = counting(ballot(Completed(index, node.chain)) for index, node in nodes.items())
        known = {index: node.value for index, node in nodes.items()} if own is None else own
        scores = {b.index: value for b in candidates if (value := known.get(b.index)) is not None}
        notes = [_undecided(tree)]
        if self.pick == "score" and scores:
            choices = by_score(candidates, scores)
        else:
            weights = scores if self.pick == "weighted_vote" and scores else None
            choices, note = by_votes(candidates, weights)
            notes.append(note)
        if self.pick != "majority" and not scores:
            notes.append("no chain could be judged, so the majority decided")
        return Chosen(tuple(choices[: tree.context.choices]), reason, "; ".join(filter(None, notes)) or None)


def score_of(node: Node) -> tuple[float, float]:
    """What steps are ranked by: the score, then the mean log-probability; a chain nobody judged ranks by that alone."""
    value = node.value
    return (0.5 if value is None else value, mean_logprob(node.chain.logprobs))


def _most_promising(tree: Tree) -> Node | None:
    """Of the chains with the most steps the best; scores of chains of different lengths do not compare."""
    grown = [node for node in tree.nodes.values() if node is not tree.root]
    followed = [node for node in grown if not node.dropped] or grown
    return max(followed, key=lambda node: (node.depth, *score_of(node), -node.index), default=None)


def _cut(chain: Sample) -> Sample:
    return Sample(
        chain.text, chain.token_ids, chain.logprobs, Finish("length"), chain.top_logprobs, chain.unseen_tokens
    )


def _undecided(tree: Tree) -> str | None:
    """Why steps could not be judged, in a phrase; None when all could."""
    scored = [node.verdict for node in tree.nodes.values() if node.verdict is not None]
    missing = [verdict for verdict in scored if verdict.score is None]
    if not missing:
        return None
    return (
        f"{len(missing)} of {len(scored)} steps could not be judged ({missing[0].reason}): they were ranked by the "
        "chain before them"
    )
