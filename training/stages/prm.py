"""Process reward model: learns of each step whether it is right, as marks, by a head, or from outcomes alone.

`marks`: a language model says + or - after each step (Wang 2023, Math-Shepherd, arXiv:2312.08935). `head`: a token
classifier is read at the end of each step (Lightman 2023, arXiv:2305.20050). `implicit`: beta times the log-ratio of a
language model to a reference, learned from whole answers (Yuan 2024, arXiv:2412.01981) or from steps. `surprisal`: a
small network reads how surprised a language model is by each token. The first two are served by the verifier
`reward_model`, the others by `likelihood`, the ratio with `ratio`.
"""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from deliberate.training.artifact import Artifact
from deliberate.training.objectives.reward_models import pairwise_loss, pointwise_loss
from deliberate.training.objectives.step_rewards import step_loss, until_first_error
from deliberate.training.policies.hub import ChatTokenizer
from deliberate.training.recording.metrics import Reporter
from deliberate.training.reward_models.chains import RIGHT, ChainBatch
from deliberate.training.reward_models.config import RewardModelConfig
from deliberate.training.reward_models.evaluation import examination
from deliberate.training.reward_models.judges import HeadJudge, ImplicitJudge, Judge, MarksJudge, SurprisalJudge
from deliberate.training.reward_models.layouts import Layouts
from deliberate.training.reward_models.learner import ChainLearner, Loss
from deliberate.training.reward_models.reading import outcome_groups, step_groups
from deliberate.training.reward_models.running import batches, train
from deliberate.training.reward_models.sources import TaskChains, as_outcomes, as_steps
from deliberate.training.stages._protocol import Stage
from deliberate.training.stages.orm import pair_figures
from deliberate.verifiers.aggregate import Aggregation

_FORMATS: dict[str, tuple[str, ...]] = {
    "marks": ("math_shepherd", "rlhflow"),
    "head": ("chat", "trl"),
    "implicit": ("chat",),
    "surprisal": ("chat",),
}
"""Of each form, the usual one first."""


class PRMConfig(RewardModelConfig):
    """One run."""

    form: Literal["marks", "head", "implicit", "surprisal"] = Field(
        default="head", description="What says whether a step is right."
    )
    format: Literal["math_shepherd", "rlhflow", "chat", "trl"] | None = Field(
        default=None,
        description="How the model reads chains, as in the verifier reward_model; None: math_shepherd for marks, else "
        "chat. Of trl the head has two classes.",
    )
    until_first_error: bool = Field(
        default=True,
        description="Steps after the first wrong one teach nothing. False is for labels that say what is right after "
        "it: a task's own do, where a slip is made good.",
    )
    implicit_loss: Literal["ce", "dpo", "steps"] = Field(
        default="ce",
        description="Of the implicit form: cross entropy of each answer, all pairs of a prompt, or cross entropy of "
        "each step, for data with labelled steps.",
    )
    num_generations: int = Field(
        default=8, gt=1, description="Most answers of a prompt in one batch element, in the implicit form."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.format is not None and self.format not in _FORMATS[self.form]:
            raise ValueError(f"the form {self.form!r} has the formats {', '.join(_FORMATS[self.form])}")
        return self

    @property
    def by_steps(self) -> bool:
        """Whether it learns from labels of steps, not of whole answers."""
        return self.form != "implicit" or self.implicit_loss == "steps"

    @property
    def rule(self) -> Aggregation:
        """How the steps' probabilities make an answer's: what came after the first error counts where it was learned,
        and where the server has no other."""
        return "last" if self.form == "surprisal" or not self.until_first_error else "min"

    @property
    def layout(self) -> str:
        """The format that chains are laid out by."""
        return self.format or _FORMATS[self.form][0]


def run(config: PRMConfig, report: Reporter = lambda _: None) -> Artifact:
    """Train to `config.max_steps` and leave a token classifier, or a language model.

    Raises:
        CheckpointError, OtherRun: the folder holds a run with another configuration, or another command is at work.
        BadData: the datasets cannot be read, or labels do not fit their steps.
        InvalidRequest: the model cannot be loaded or has no such format, or the task cannot label steps.
    """
    served = config.layout if config.form in ("marks", "head") else None
    return train(config, STAGE.name, report, lambda: _learner(config), served, *config.beside)


def _learner(config: PRMConfig) -> ChainLearner:
    layouts = Layouts(config.layout, config.model_name_or_path, config.step_separator)
    tokenizer = ChatTokenizer(config.model_name_or_path)
    if config.by_steps:
        parts = step_groups(config.datasets, layouts, max_length=config.max_length)
    else:
        compared = config.implicit_loss == "dpo"
        parts = outcome_groups(config.datasets, layouts, max_length=config.max_length, compared=compared)
    streamed = None
    if config.task is not None:
        made = as_steps if config.by_steps else as_outcomes
        streamed = TaskChains.of(config.task, layouts, made, config.difficulty, config.corruptions)
    exam = examination(
        config.eval_datasets, streamed, config.eval_problems, layouts, seed=config.seed, rule=config.rule
    )
    return ChainLearner(
        config,
        _judge(config, layouts, tokenizer),
        batches(config, parts, streamed, most=1 if config.by_steps else config.num_generations),
        _loss(config),
        exam,
        tokenizer.pad_id,
    )


def _judge(config: PRMConfig, layouts: Layouts, tokenizer: ChatTokenizer) -> Judge:
    match config.form:
        case "marks":
            return MarksJudge(config, layouts.marks())
        case "head":
            labels = 2 if config.layout == "trl" else 1
            return HeadJudge(config.model_name_or_path, config, "token", labels=labels, pad_id=tokenizer.pad_id)
        case "implicit":
            return ImplicitJudge(config, config.beta, config.reference_model)
        case "surprisal":
            return SurprisalJudge(config)


def _loss(config: PRMConfig) -> Loss:
    if config.by_steps:
        return lambda log_odds, batch: _step_loss(log_odds, batch, config.until_first_error)
    return lambda log_odds, batch: _implicit_loss(log_odds[:, 0], batch, config.implicit_loss)


def _step_loss(log_odds: Tensor, batch: ChainBatch, first_error_only: bool) -> tuple[Tensor, dict[str, float]]:
    """With the share of labelled steps on whose right side the model is."""
    counted = until_first_error(batch.labels, batch.labelled) if first_error_only else batch.labelled
    agreed = ((log_odds.detach() >= 0) == (batch.labels >= RIGHT))[counted]
    figures = {"accuracy": agreed.float().mean().item()} if agreed.numel() else {}
    return step_loss(log_odds, batch.labels, counted), figures


def _implicit_loss(log_odds: Tensor, batch: ChainBatch, kind: str) -> tuple[Tensor, dict[str, float]]:
    """DPO over all pairs is Bradley-Terry with the log-ratios as rewards."""
    rewards, quality = batch.grouped(log_odds), batch.grouped(batch.labels[:, 0])
    loss = (pairwise_loss if kind == "dpo" else pointwise_loss)(rewards, quality, batch.members)
    return loss, pair_figures(rewards.detach(), quality, batch.members)


STAGE = Stage("prm", PRMConfig, run, several_processes=True)
