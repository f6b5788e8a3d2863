"""What the stages that learn from samples begin from, how they run, and what they leave."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from deliberate.training.artifact import Artifact, file_hash
from deliberate.training.data_run import data_parents
from deliberate.training.optimization.checkpoint import Progress
from deliberate.training.optimization.loop import Learner, finish_training, optimize, train_metrics
from deliberate.training.optimization.session import session
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.policies.network import TrainableNetwork
from deliberate.training.policy_optimization.config import SampledConfig
from deliberate.training.policy_optimization.rounds import Rounds
from deliberate.training.recording.metrics import Reporter
from deliberate.training.run_folder import finished, identity, parent, record
from deliberate.training.sampling.engines import parents as parents_of


class SampledLearner(Learner, Protocol):
    """What learns from its own samples."""

    @property
    def network(self) -> TrainableNetwork: ...

    @property
    def tokenizer(self) -> ChatTokenizer: ...

    @property
    def rounds(self) -> Rounds: ...


def before(config: SampledConfig) -> dict[str, str]:
    """Models and data that the run begins from, to their hashes."""
    known = {**data_parents(config.datasets), **parents_of(config.verifier_model)}
    return {**known, **parent(config.model_name_or_path)}


def train_policy(
    config: SampledConfig,
    stage: str,
    parents: Mapping[str, str],
    report: Reporter,
    prepare: Callable[[], AbstractContextManager[SampledLearner]],
) -> Artifact:
    """Train what `prepare` makes to `config.max_steps`; a run that had finished returns its artifact."""
    with session(config):
        done = finished(config, stage, parents)
        if done is not None:
            return done
        with prepare() as learner:
            progress = optimize(config, learner, report, run=identity(config, parents))
            return _finished_policy(config, stage, parents, progress, learner)


def _finished_policy(
    config: SampledConfig, stage: str, parents: Mapping[str, str], progress: Progress, learner: SampledLearner
) -> Artifact:
    """Leave the model, measured where problems are held out, and the record."""
    folder = config.output_dir
    learner.network.export(folder)
    learner.tokenizer.save(folder)
    measured = learner.rounds.final_accuracy()
    artifact = record(
        config,
        stage,
        parents,
        task=config.task or ", ".join(dataset.source for dataset in config.datasets),
        data_hash=progress.data_hash,
        weights_hash=file_hash(folder / "model.safetensors"),
        metrics={**train_metrics(folder, "reward", "completion_length"), **measured},
        step_separator=learner.rounds.rewards.step_separator,
    )
    return finish_training(config, artifact)
