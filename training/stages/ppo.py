"""Proximal policy optimisation: a policy learns from its own samples, with a value model that learns beside it.

Advantages are generalised ones with gamma = lambda = 1 by default, as in Open-Reasoner-Zero (arXiv:2503.24290); steps
may be rewarded too, as in Math-Shepherd (arXiv:2312.08935). A run killed at any time and started again with the same
configuration ends with the same weights as one that was never interrupted.
"""

from deliberate.training.artifact import Artifact
from deliberate.training.policy_optimization.finishing import before, train_policy
from deliberate.training.policy_optimization.ppo_config import PPOConfig
from deliberate.training.policy_optimization.ppo_learner import PPOLearner
from deliberate.training.recording.metrics import Reporter
from deliberate.training.run_folder import parent
from deliberate.training.stages._protocol import Stage

NAME = "ppo"


def run(config: PPOConfig, report: Reporter = lambda _: None) -> Artifact:
    """Train to `config.max_steps` and leave a model folder that plain transformers loads.

    Raises:
        CheckpointError, OtherRun: the folder holds a run with another configuration, or another command is at work.
        BadData: the datasets cannot be read, or a row has no verifier.
        InvalidRequest: a model or a task cannot be had.
    """
    parents = before(config)
    if config.value_model_name_or_path is not None:
        parents = {**parent(config.value_model_name_or_path), **parents}
    return train_policy(config, NAME, parents, report, lambda: PPOLearner(config))


STAGE = Stage(NAME, PPOConfig, run)
