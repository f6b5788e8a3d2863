"""What a step leaves on disk of its samples: some for people, all for reward models to learn from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deliberate.training.data_run import DATA
from deliberate.training.datasets.rows import Sample
from deliberate.training.datasets.writing import rollout_line
from deliberate.training.optimization import processes
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.training.policy_optimization.rewards import Rewards
from deliberate.training.recording.samples import SamplesLog, TrainingSample
from deliberate.training.recording.step_lines import StepLines


class Record:
    """samples.jsonl, and data.jsonl of the format `rollouts` where the configuration wants it."""

    def __init__(self, folder: Path, rewards: Rewards) -> None:
        self._folder = folder
        self._rewards = rewards
        self._samples: SamplesLog | None = None
        self._rollouts: StepLines | None = None

    def add(self, step: int, groups: Sequence[ScoredGroup], advantages: Sequence[float]) -> None:
        """What was sampled in step `step` (from 1), with an advantage for each completion. The main process writes."""
        if not processes.is_main():
            return
        if self._samples is None:  # Lines from after the checkpoint that a run goes on from are written again.
            self._samples = SamplesLog(self._folder, resumed_step=step - 1)
        self._samples.add(self._shown(step, groups, advantages))
        if self._rewards.config.save_rollouts:
            if self._rollouts is None:
                self._rollouts = StepLines(self._folder / DATA, resumed_step=step - 1)
            self._rollouts.add([self._line(step, place, group) for place, group in enumerate(groups)])

    def close(self) -> None:
        for log in (self._samples, self._rollouts):
            if log is not None:
                log.close()

    def _shown(self, step: int, groups: Sequence[ScoredGroup], advantages: Sequence[float]) -> list[TrainingSample]:
        """Evenly from all."""
        flat = [
            TrainingSample(
                step=step,
                prompt=group.row.question,
                completion=sample.text,
                reward=reward,
                rewards={name: verdicts[i].score for name, verdicts in group.verdicts.items()},
                advantage=None,
                finished=sample.finish.reason == "stop",
            )
            for group in groups
            for i, (sample, reward) in enumerate(zip(group.samples, self._rewards.total(group), strict=True))
        ]
        known = [replace(sample, advantage=a) for sample, a in zip(flat, advantages, strict=True)]
        count = min(len(known), self._rewards.config.num_completions_to_print)
        return [known[place * len(known) // count] for place in range(count)]

    def _line(self, step: int, place: int, group: ScoredGroup) -> dict[str, object]:
        """Scores are means by weight, so that they lie in [0, 1]."""
        whole = sum(self._rewards.config.weights_of_rewards)
        totals = self._rewards.total(group)
        samples = [
            Sample(
                sample.text,
                None if total is None else min(1.0, total / whole),
                sample.finish.reason == "stop",
                sample.token_ids,
                sample.logprobs,
            )
            for sample, total in zip(group.samples, totals, strict=True)
        ]
        return rollout_line(replace(group.row, id=f"{step}-{place}-{group.row.id}"), samples, step=step)
