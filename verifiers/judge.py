"""The `judge` verifier: what a language model thinks of a candidate, asked in one of several ways."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from pydantic import model_validator

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.protocol import Engine
from deliberate.verifiers.judging.asking import Asker
from deliberate.verifiers.judging.options import JudgeOptions
from deliberate.verifiers.judging.registry import DEFAULT, MODES
from deliberate.verifiers.protocol import Candidate, Judges, Problem, Resources, Verdict

POLICY = "policy"

if TYPE_CHECKING:
    ModeName: TypeAlias = str
else:
    ModeName = Literal[tuple(MODES)]


class Judge(JudgeOptions, frozen=True):
    """Opinions of a language model, the mean of several.

    The candidate stands between marks that it cannot forge, and only the end of the judge's own reply is read. Replies
    that cannot be read, or do not end within `max_tokens`, are left out; fewer than half of them are no verdict. The
    judge's tokens are told in the reason and are no part of the request's `usage` and budget.
    """

    kind: Literal["judge"] = "judge"
    mode: ModeName = DEFAULT
    """How it is asked.

    `rubric`: for grades. `yes_no`: for the probability that it says the answer is right, one token. `chain_of_thought`:
    for verdicts after reasoning; the score is the share of Yes. `reference`: likewise, whether the answer agrees with
    the given `reference`. `pairwise`: which of two is better, as a knock-out among the batch, each pair in both orders.
    """
    model: str | None = None
    """The judge: a served name, "policy" for the model that answers, None for its companion if it has one."""

    @model_validator(mode="after")
    def _mode_has_its_options(self) -> Self:
        MODES[self.mode].check(self)
        return self

    @property
    def compares(self) -> bool:
        return MODES[self.mode].compares

    def build(self, resources: Resources) -> "JudgeVerifier":
        names = {None: resources.scorer or resources.policy, POLICY: resources.policy}
        return JudgeVerifier(self, _engine(resources, names.get(self.model, self.model)))


def _engine(resources: Resources, name: str | None) -> Engine:
    if name is None:
        raise InvalidRequest("The judge verifier needs a model: there is no policy here.", param="verifier.model")
    if name not in resources.engines:
        raise UnknownName("model", name, [*resources.engines, POLICY], param="verifier.model")
    return resources.engines[name]


@dataclass(frozen=True, slots=True)
class JudgeVerifier:
    config: Judge
    engine: Engine

    @property
    def judges(self) -> Judges:
        """Whole candidates alone where they are compared: chains come one by one."""
        return MODES[self.config.mode].judges

    async def verify(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
        return await MODES[self.config.mode].judge(Asker(self.engine, self.config), problem, candidates)
