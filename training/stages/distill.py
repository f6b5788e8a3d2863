"""Distillation: another model's verified answers, sampled, filtered and written for supervised fine-tuning.

The stages `rollouts` and `rejection_sampling` in one. The teacher is any engine; where one behind an OpenAI-compatible
address tells its reasoning apart, that is written as `<think>…</think>` before the answer. The rollouts stay in the
folder `rollouts` beside the result.
"""

from collections.abc import Mapping

from deliberate.training.artifact import Artifact
from deliberate.training.data_run import DATA, claimed, data_hash
from deliberate.training.datasets.loading import DatasetConfig
from deliberate.training.recording.metrics import Reporter
from deliberate.training.run_folder import finish, finished, record
from deliberate.training.sampling.asking import AskingConfig
from deliberate.training.sampling.options import RolloutsOptions
from deliberate.training.selection.options import SelectionOptions
from deliberate.training.selection.selecting import Selection, evaluation_index
from deliberate.training.stages import rejection_sampling, rollouts
from deliberate.training.stages._protocol import Stage

NAME = "distill"


class DistillConfig(SelectionOptions, AskingConfig):
    """One distillation: what is asked of the teacher, and what of its answers is kept."""

    @property
    def rollouts(self) -> rollouts.RolloutsConfig:
        """The first half."""
        options = {name: getattr(self, name) for name in RolloutsOptions.model_fields}
        return rollouts.RolloutsConfig(
            name=f"{self.name}-rollouts",
            output_dir=self.output_dir / rollouts.NAME,
            command=self.command,
            seed=self.seed,
            **options,
        )


def run(config: DistillConfig, report: Reporter = lambda _: None) -> Artifact:
    """Sample, select, and leave data.jsonl, of the format `trl`. Raises what both halves raise."""
    known = config.parents(*config.evaluation)
    done = finished(config, NAME, known)
    if done is not None:
        return done
    index = evaluation_index(config)  # Read first, so that nothing is sampled where it is wrong.
    sampled = rollouts.run(config.rollouts, report)
    source = DatasetConfig(format="rollouts", source=str(config.rollouts.output_dir / DATA))
    selection = Selection(config, rejection_sampling.read_rollouts((source,)), index)
    with claimed(config, NAME, known):
        selected = rejection_sampling.write_selection(selection, config.output_dir, report, config.logging_steps)
        return finish(config, _artifact(config, known, sampled.metrics, selected))


def _artifact(
    config: DistillConfig, known: Mapping[str, str], sampled: Mapping[str, float], selected: Mapping[str, float]
) -> Artifact:
    seconds = sampled["seconds"] + selected["seconds"]
    spent = sampled["completion_tokens"] + sampled["prompt_tokens"]
    return record(
        config,
        NAME,
        known,
        task=config.problems,
        data_hash=data_hash(config.output_dir / DATA),
        metrics={
            **sampled,
            **selected,
            "tokens_per_completion_kept": round(spent / selected["completions_kept"], 1),
            "seconds": seconds,
        },
    )


STAGE = Stage(name=NAME, config=DistillConfig, run=run)
