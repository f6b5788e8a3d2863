"""How steps are labelled, and of which solutions."""

from typing import Literal, Self

from pydantic import Field, model_validator

from deliberate.training.labelling.omega_prm import Priority
from deliberate.training.sampling.options import RolloutsOptions
from deliberate.training.sampling.scoring import UNSCORED
from deliberate.verifiers.steps import Separator

Method = Literal["monte_carlo", "sequential", "binary_search", "omega_prm", "exact"]
"""How steps are labelled."""

ONE_AT_A_TIME = ("sequential", "binary_search")
"""Methods that draw a step's completions up to the first right one."""

_PAPER = Priority()


class LabelOptions(RolloutsOptions):
    """How steps are labelled, and of which solutions. `engine` is the model that completes them."""

    method: Method = Field(
        description="monte_carlo completes after every step; sequential and binary_search look for the first error of "
        "each solution, omega_prm for those of its own wrong completions too; exact asks the task."
    )
    num_generations: int = Field(
        default=8, gt=0, description="Solutions that are sampled of a problem that has none; omega_prm needs none."
    )
    num_completions: int = Field(default=16, gt=0, description="Completions after a step that is asked about.")
    budget: int | None = Field(
        default=None, gt=0, description="Most completions of a problem, of omega_prm; None: until nothing is left."
    )
    reuse: bool = Field(
        default=False,
        description="A step through which a completion of an earlier one passed to a right answer is right without "
        "completions of its own, in omega_prm. Cheaper hard labels, fewer soft ones.",
    )
    bisect: bool = Field(
        default=True,
        description="Of omega_prm: suppose that all before a right step is right too. False asks the steps in order.",
    )
    check_right: bool = Field(
        default=False,
        description="Look for errors in solutions with a right answer too, in binary_search and omega_prm.",
    )
    alpha: float = Field(
        default=_PAPER.alpha, gt=0, le=1, description="Of omega_prm: below 1, convincing errors come first."
    )
    beta: float = Field(
        default=_PAPER.beta, gt=0, le=1, description="Of omega_prm: below 1, short completions come first."
    )
    length_scale: float = Field(
        default=_PAPER.length_scale, gt=0, description="Of omega_prm: tokens over which beta counts once."
    )
    c_puct: float = Field(
        default=_PAPER.c_puct, ge=0, description="Of omega_prm: weight of steps from which few searches began."
    )
    step_separator: Separator | None = Field(default=None, description="Ends a step; None takes the model's own.")

    @property
    def priority(self) -> Priority:
        return Priority(self.alpha, self.beta, self.length_scale, self.c_puct)

    @model_validator(mode="after")
    def _fits_the_method(self) -> Self:
        unread = self.model_fields_set & _UNREAD[self.method]
        if unread:
            raise ValueError(f"{self.method} does not read {', '.join(sorted(unread))}; leave it out")
        if self.method == "exact" and self.task is None:
            raise ValueError("exact labels are the task's; give a task, and no datasets")
        if self.method != "exact" and self.verifier == UNSCORED:
            raise ValueError(f"{self.method} needs a verifier that says which completions are right")
        return self


_OMEGA = frozenset({"budget", "reuse", "bisect", "alpha", "beta", "length_scale", "c_puct"})
_UNREAD: dict[Method, frozenset[str]] = {
    "monte_carlo": _OMEGA | {"check_right"},
    "sequential": _OMEGA | {"check_right"},
    "binary_search": _OMEGA,
    "omega_prm": frozenset(),
    "exact": _OMEGA | {"check_right", "num_completions"},
}
"""Options that would change nothing."""
