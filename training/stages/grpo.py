"""Group relative policy optimisation: a policy learns from its own samples and what verifiers say of them.

DeepSeekMath's objective by default, with the field's variants by configuration; see docs/grpo.md. A run killed at any
time and started again with the same configuration ends with the same weights as one that was never interrupted.
"""

from deliberate.training.artifact import Artifact
from deliberate.training.policy_optimization.finishing import before, train_policy
from deliberate.training.policy_optimization.grpo_config import GRPOConfig
from deliberate.training.policy_optimization.grpo_learner import GRPOLearner
from deliberate.training.recording.metrics import Reporter
from deliberate.training.stages._protocol import Stage

NAME = "grpo"


def run(config: GRPOConfig, report: Reporter = lambda _: None) -> Artifact:
    """Train to `config.max_steps` and leave a model folder that plain transformers loads.

    Raises:
        CheckpointError, OtherRun: the folder holds a run with another configuration, or another command is at work.
        BadData: the datasets cannot be read, or a row has no verifier.
        InvalidRequest: a model or a task cannot be had.
        NoSignal: for many steps the completions of each problem were all rewarded alike.
    """
    return train_policy(config, NAME, before(config), report, lambda: GRPOLearner(config))


STAGE = Stage(NAME, GRPOConfig, run, several_processes=True)
