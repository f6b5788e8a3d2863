"""A round of sampling at the beginning of every step: groups that the policy of now writes, with their rewards."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.network import TrainableNetwork
from deliberate.training.policy_optimization.config import SampledConfig
from deliberate.training.policy_optimization.evaluation import Evaluation
from deliberate.training.policy_optimization.explorer import Explorer, ScoredGroup
from deliberate.training.policy_optimization.figures import sampling_figures
from deliberate.training.policy_optimization.prompts import Prompts
from deliberate.training.policy_optimization.record import Record
from deliberate.training.policy_optimization.rewards import Rewards
from deliberate.verifiers.chains import Pieces


@dataclass(frozen=True, slots=True)
class Round:
    """What a step learns from."""

    groups: Sequence[ScoredGroup]
    drawn: Sequence[ScoredGroup]
    """All that was sampled, in vain or not."""
    values: dict[str, float]
    """For the metrics."""


class Rounds:
    """Samples from a network as it learns. Use it in a `with` block."""

    def __init__(self, config: SampledConfig, network: TrainableNetwork, tokenizer: ChatTokenizer) -> None:
        """Loads the engine. All data is read and all verifiers are tried before anything is written.

        Raises BadData or InvalidRequest for what is wrong.
        """
        self._config = config
        self._network = network
        self._prompts = Prompts(config)
        self._evaluation = None if config.evaluation is None else Evaluation(config.evaluation)
        with ExitStack() as stack:
            self._explorer = stack.enter_context(Explorer(config, tokenizer))
            self._explorer.check(self._prompts.known)
            self._stack = stack.pop_all()
        self.rewards = Rewards(config, Pieces(self._explorer.tokenizer), self._explorer.resources.step_separator)
        self.record = Record(config.output_dir, self.rewards)
        self._stack.callback(self.record.close)

    def sample(self, step: int, *, useful_only: bool = False, attempts: int = 1) -> Round:
        """The groups of step `step` (from 0).

        With `useful_only`, groups that teach nothing are replaced by others (DAPO's dynamic sampling), in at most so
        many attempts: there may be too few of them, or none.
        """
        self._explorer.load_weights(self._network.weights())
        accuracy = self._accuracy(step)
        start = time.perf_counter()
        wanted, n = self._config.problems_per_step, self._config.num_generations
        drawn = self._explorer.explore(self._prompts.of_step(step), n, f"{step}")
        useful = [group for group in drawn if self.rewards.teaches(group)]
        for attempt in range(attempts - 1 if useful_only else 0):
            missing = wanted - len(useful)
            if missing <= 0:
                break
            spare = self._prompts.spare(step * (attempts - 1) + attempt)[:missing]
            more = self._explorer.explore(spare, n, f"{step}:{attempt}")
            drawn += more
            useful += [group for group in more if self.rewards.teaches(group)]
        values = {**accuracy, **sampling_figures(drawn, self.rewards), "sampling_seconds": time.perf_counter() - start}
        if useful_only:
            values["groups_in_vain"] = float(len(drawn) - len(useful))
        return Round(useful if useful_only else drawn, drawn, values)

    def final_accuracy(self) -> dict[str, float]:
        """`accuracy` of the policy as it is now; nothing where nothing is held out."""
        if self._evaluation is None:
            return {}
        self._explorer.load_weights(self._network.weights())
        return {"accuracy": self._evaluation.accuracy(self._explorer)}

    def _accuracy(self, step: int) -> dict[str, float]:
        """Before the step, where one is due."""
        every = self._config.eval_steps
        if self._evaluation is None or every is None or step % every:
            return {}
        return {"accuracy": self._evaluation.accuracy(self._explorer)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
