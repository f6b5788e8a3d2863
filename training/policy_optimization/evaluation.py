"""How often the policy is right on held-out problems while it learns."""

from statistics import fmean

from deliberate.training.datasets.problems import read_problems
from deliberate.training.policy_optimization.config import OWN, HeldOut
from deliberate.training.policy_optimization.explorer import Explorer

_SEED = "evaluation"
"""The same at every step, so that measurements differ by the weights alone."""


class Evaluation:
    """Always the same problems, sampled as in training and judged by their own verifiers."""

    def __init__(self, config: HeldOut) -> None:
        """Raises InvalidRequest for a task that there is not or that lacks such problems."""
        self._rows = read_problems((), config)
        self._n = config.num_generations

    def accuracy(self, explorer: Explorer) -> float:
        """Share of completions that are right; what could not be judged is not."""
        groups = explorer.explore(self._rows, self._n, _SEED, (OWN,))
        return fmean(verdict.passed is True for group in groups for verdict in group.verdicts[OWN.name])
