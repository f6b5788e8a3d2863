"""rStar: tree search with five human-like actions, and a second model that checks each answer's way.

Qi et al. 2024 (arXiv:2408.06195). A simulation goes down from the question by UCT = Q + w sqrt(ln N_p / N_c), each
action once before any is followed again, and from there by random actions to a whole answer (A1 one step, A2 all that
is left, A3 a simpler question with its answer, A4 another answer to it, A5 the question in other words;
`search.actions` says which may follow which). The reward of an answer is the share of all answers so far that agree
with it (self-consistency) or, where the request names a verifier, its score. Then mutual consistency: a second model is
given beginnings of each candidate and finishes them. Candidates count with

    reward x (share of these that come to the same answer)

so that the answer is that of the best candidate, or of the largest sum of these (`pick`).

Other than in the paper's code an action is drawn when a simulation takes it and not beside all its siblings, so that a
simulation costs about one answer; its answer is not voted on where it stands, but among all; an answer ends where the
model ends it; and other words for the question stand beside its own.

No barrier: simulations run side by side and candidates are checked while others are still drawn. So that the tree
depends on the seed alone, simulations come back in the order in which they left, as in `mcts`.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat, model_validator

from deliberate.search.action_search import ActionRules, ActionSearch
from deliberate.search.actions import Action, Wording, put_as
from deliberate.search.consistency import Discriminator
from deliberate.search.events import Event
from deliberate.search.sampling import MAX_WIDTH
from deliberate.search.stepwise import MAX_STEPS, StepStrategy
from deliberate.search.strategy import Context
from deliberate.search.transform import Text
from deliberate.verifiers.protocol import Judges
from deliberate.verifiers.registry import AnyVerifier

MAX_CHECKS = 64
"""Most beginnings of a candidate that a request may have finished."""


class RStar(StepStrategy, frozen=True):
    """Answer by different kinds of steps, again and again, and trust what a second model arrives at too."""

    kind: Literal["rstar"] = "rstar"
    alias: ClassVar[str] = "rstar"
    size_fields: ClassVar[tuple[str, ...]] = ("simulations",)
    """`rstar-16` runs 16 simulations."""

    verifier: AnyVerifier | None = None
    """Rewards the answers; None rewards those that many simulations come to."""
    simulations: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 16
    """Answers that are followed to their end."""
    in_flight: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 4
    """Simulations at once: more are sooner done, and know less of each other."""
    exploration: Annotated[FiniteFloat, Field(ge=0)] = 2.0
    """Weight of actions that were seldom followed."""
    steps: Annotated[int, Field(ge=1, le=MAX_WIDTH)] = 3
    """Next steps that may be drawn after a chain."""
    sub_questions: Annotated[int, Field(ge=0, le=MAX_WIDTH)] = 3
    """Next simpler questions that may be drawn after a chain."""
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 5
    """The last action of a chain this long is all of its rest."""
    discriminator: str | None = None
    """The served model that checks candidates; None asks the model that answers once more."""
    checks: Annotated[int, Field(ge=1, le=MAX_CHECKS)] = 4
    """Beginnings of a candidate that it finishes; the share that comes to the candidate's answer is its consistency."""
    least_shown: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.2
    """Least share of a candidate's tokens that the discriminator is given."""
    most_shown: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.8
    """Largest share."""
    ask_parts: Text = (
        "Answer by parts. Each part is one paragraph: first a simpler question that has to be answered on the way, "
        "then its answer. The last part gives the final answer."
    )
    """Follows the question, to have the next simpler question asked and answered."""
    ask_rephrase: Text = (
        "Do not answer yet. Put the question in other words that list all that is given, and say what is asked. "
        "Write only the question."
    )
    """Follows the question, to have it put in other words."""
    in_other_words: Text = "In other words:"
    """Stands between the question and these words, for what answers them."""

    @model_validator(mode="after")
    def _ordered(self) -> "RStar":
        if self.least_shown > self.most_shown:
            raise ValueError(f"least_shown = {self.least_shown:g} is above most_shown = {self.most_shown:g}")
        return self

    @property
    def needs(self) -> Judges | None:
        return None if self.verifier is None else Judges.OUTCOME

    @property
    def models(self) -> tuple[str, ...]:
        return () if self.discriminator is None else (self.discriminator,)

    @property
    def slots(self) -> int:
        # As many candidates are checked meanwhile.
        return (1 + self.checks) * min(self.in_flight, self.simulations)

    async def run(self, context: Context) -> AsyncGenerator[Event, None]:
        tree = self.plant(context, judges_beginnings=False)
        shown = (self.least_shown, self.most_shown)
        discriminator = await Discriminator.of(context, self.discriminator, tree.rules.sampling, *shown)
        search = ActionSearch(tree, self._rules(context), discriminator, await self._word(context))
        async with aclosing(tree.events()) as events:
            async for event in events:
                yield event
                for visit in await search.hear(event):
                    yield visit
        async for event in self.choose(tree, search.reason, search.weights()):
            yield event

    def _rules(self, context: Context) -> ActionRules:
        word = partial(self._word, context)
        return ActionRules(self.simulations, self.in_flight, self.exploration, self.checks, self._times, word)

    async def _word(self, context: Context, question: str | None = None) -> Wording:
        """The question of the search, with these words for it, as the actions ask it."""
        asked = context.prompt.conversation
        assert asked is not None, "searches begin with a conversation"
        conversation = asked if question is None else put_as(asked, f"{self.in_other_words} {question}")
        return await Wording.of(context.engine, conversation, self.ask_parts, self.ask_rephrase)

    def _times(self, action: Action) -> int:
        """How often an action may be taken after one chain."""
        return {Action.STEP: self.steps, Action.SUB_QUESTION: self.sub_questions}.get(action, 1)
