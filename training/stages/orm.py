"""Outcome reward model: learns which of a problem's answers are right, from scores, preferences or labels.

Every answer goes through the model once, and one value is read at its end; all pairs of a prompt's answers are compared
within one batch element, as in InstructGPT (Ouyang 2022, arXiv:2203.02155). `head`: the result is a sequence classifier
that the verifier `reward_model` serves in the format `orm`. `implicit`: the value is a language model's log-ratio to a
reference (Rafailov 2023, DPO, arXiv:2305.18290), which `likelihood` with `ratio` serves. `surprisal`: the value is read
from how surprised a language model is by each token, which `likelihood` serves.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor

from deliberate.training.artifact import Artifact
from deliberate.training.objectives.reward_models import pairwise_loss, pointwise_loss, within_problem_loss
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.recording.metrics import Reporter
from deliberate.training.reward_models.chains import RIGHT, ChainBatch
from deliberate.training.reward_models.config import RewardModelConfig
from deliberate.training.reward_models.evaluation import examination
from deliberate.training.reward_models.judges import HeadJudge, ImplicitJudge, Judge, SurprisalJudge
from deliberate.training.reward_models.layouts import Layouts
from deliberate.training.reward_models.learner import ChainLearner
from deliberate.training.reward_models.reading import outcome_groups
from deliberate.training.reward_models.running import batches, train
from deliberate.training.reward_models.sources import TaskChains, as_outcomes
from deliberate.training.stages._protocol import Stage

FORMAT = "orm"


class ORMConfig(RewardModelConfig):
    """One run."""

    form: Literal["head", "implicit", "surprisal"] = Field(
        default="head",
        description="What says whether an answer is right: a head; beta times the log-ratio of a language model to a "
        "reference, as in DPO; or a small network that reads the tokens' log-probabilities under a language model.",
    )
    loss_type: Literal["pairwise", "pointwise", "within_problem"] = Field(
        default="pairwise",
        description="Bradley-Terry over all pairs of a prompt; cross entropy of each answer; or the first plus the "
        "second, of prompts that have right and wrong answers.",
    )
    num_generations: int = Field(
        default=8, gt=1, description="Most answers of a prompt in one batch element; of more, so many are drawn."
    )
    pointwise_weight: float = Field(default=1.0, ge=0, description="Of the cross entropy in within_problem.")
    margin: float = Field(
        default=0.0, ge=0, description="A better answer's reward is to lead by this times the difference of scores."
    )
    center_rewards_coefficient: float = Field(
        default=0.0, ge=0, description="Of the squared sum of a pair's rewards, which keeps them around 0; of pairwise."
    )


def run(config: ORMConfig, report: Reporter = lambda _: None) -> Artifact:
    """Train to `config.max_steps` and leave a sequence classifier, or a language model.

    Raises:
        CheckpointError, OtherRun: the folder holds a run with another configuration, or another command is at work.
        BadData: the datasets cannot be read, or hold nothing to compare.
        InvalidRequest: the model cannot be loaded, or the task cannot make wrong chains.
    """
    served = FORMAT if config.form == "head" else None
    return train(config, STAGE.name, report, lambda: _learner(config), served, *config.beside)


def _learner(config: ORMConfig) -> ChainLearner:
    layouts = Layouts(FORMAT if config.form == "head" else "chat", config.model_name_or_path, config.step_separator)
    tokenizer = ChatTokenizer(config.model_name_or_path)
    compared = config.loss_type != "pointwise"
    parts = outcome_groups(config.datasets, layouts, max_length=config.max_length, compared=compared)
    streamed = (
        None
        if config.task is None
        else TaskChains.of(config.task, layouts, as_outcomes, config.difficulty, config.corruptions)
    )
    exam = examination(config.eval_datasets, streamed, config.eval_problems, layouts, seed=config.seed)
    return ChainLearner(
        config,
        _judge(config, tokenizer.pad_id),
        batches(config, parts, streamed, most=config.num_generations),
        lambda log_odds, batch: outcome_loss(config, log_odds[:, 0], batch),
        exam,
        tokenizer.pad_id,
    )


def _judge(config: ORMConfig, pad_id: int) -> Judge:
    match config.form:
        case "head":
            return HeadJudge(config.model_name_or_path, config, "sequence", pad_id=pad_id)
        case "implicit":
            return ImplicitJudge(config, config.beta, config.reference_model)
        case "surprisal":
            return SurprisalJudge(config)


def outcome_loss(config: ORMConfig, rewards: Tensor, batch: ChainBatch) -> tuple[Tensor, dict[str, float]]:
    """Of rewards (chains,), with the share of pairs in the right order."""
    grouped, quality = batch.grouped(rewards), batch.grouped(batch.labels[:, 0])
    match config.loss_type:
        case "pairwise":
            lead = quality.unsqueeze(-1) - quality.unsqueeze(-2)
            loss = pairwise_loss(
                grouped,
                quality,
                batch.members,
                margins=config.margin * lead if config.margin else None,
                center_rewards_coefficient=config.center_rewards_coefficient,
            )
        case "pointwise":
            loss = pointwise_loss(grouped, quality, batch.members)
        case "within_problem":
            loss = within_problem_loss(
                grouped, (quality >= RIGHT).float(), batch.members, pointwise_weight=config.pointwise_weight
            )
    return loss, pair_figures(grouped.detach(), quality, batch.members)


def pair_figures(rewards: Tensor, quality: Tensor, members: Tensor) -> dict[str, float]:
    """`accuracy`: the share of pairs whose better answer has the higher reward. Nothing without pairs."""
    pairs = (quality.unsqueeze(-1) > quality.unsqueeze(-2)) & members.unsqueeze(-1) & members.unsqueeze(-2)
    leads = (rewards.unsqueeze(-1) - rewards.unsqueeze(-2))[pairs]
    return {"accuracy": (leads > 0).float().mean().item()} if leads.numel() else {}


STAGE = Stage("orm", ORMConfig, run, several_processes=True)
