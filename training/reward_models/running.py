"""From a learner to a finished model folder: what the stages of reward models have in common."""

from collections.abc import Callable, Sequence

from deliberate.training.artifact import Artifact, file_hash
from deliberate.training.data_run import data_parents
from deliberate.training.datasets.mixing import Mixture, Part
from deliberate.training.optimization.loop import finish_training, optimize, train_metrics
from deliberate.training.optimization.session import session
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.recording.metrics import Reporter
from deliberate.training.reward_models.chains import Group
from deliberate.training.reward_models.config import RewardModelConfig
from deliberate.training.reward_models.learner import ChainLearner
from deliberate.training.reward_models.sources import Batches, Blend, GroupSource, Rows, TaskChains
from deliberate.training.run_folder import finished, identity, parent, record


def train(
    config: RewardModelConfig,
    stage: str,
    report: Reporter,
    prepare: Callable[[], ChainLearner],
    format_name: str | None,
    *beside: str,
) -> Artifact:
    """Train what `prepare` makes to `config.max_steps`, and leave a model folder that the server judges with.

    `format_name` goes into its record, and the models `beside` as its parents. Resumes from the newest checkpoint;
    a run that had finished returns its artifact. Data are read whole before anything is written.
    """
    parents = data_parents(config.datasets)
    for model in (config.model_name_or_path, *beside):
        parents |= parent(model)
    with session(config):
        done = finished(config, stage, parents)
        if done is not None:
            return done
        learner = prepare()
        progress = optimize(config, learner, report, run=identity(config, parents))
        folder = config.output_dir
        learner.export(folder)
        ChatTokenizer(config.model_name_or_path).save(folder)
        artifact = record(
            config,
            stage,
            parents,
            task=config.task or "",
            data_hash=progress.data_hash,
            weights_hash=file_hash(folder / "model.safetensors"),
            metrics={**train_metrics(folder, "loss", "lm_loss", "accuracy"), **learner.figures()},
            step_separator=config.step_separator,
            format=format_name,
        )
        return finish_training(config, artifact)


def batches(
    config: RewardModelConfig, parts: Sequence[Part[Group]], streamed: TaskChains | None, *, most: int
) -> Batches:
    """Of rows, of a task's chains, or of both; `most` chains of a group go into a batch."""
    rows = Rows(Mixture(parts, config.seed)) if parts else None
    source: GroupSource | None = Blend(rows, streamed, config.task_share) if rows and streamed else rows or streamed
    assert source is not None, "the configuration has one of both"
    groups = max(1, config.per_device_train_batch_size // most)
    return Batches(source, seed=config.seed, groups=groups, most=most)
