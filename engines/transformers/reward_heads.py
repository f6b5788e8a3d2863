"""Reward models whose code is not part of transformers: their published weights load into these classes."""

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import Qwen2Model, Qwen2PreTrainedModel
from transformers.modeling_outputs import TokenClassifierOutput


class _Qwen2WithHead(Qwen2PreTrainedModel):
    """A Qwen2 decoder with a head over every token's hidden state."""

    labels: ClassVar[int]
    score: nn.Module

    def __init__(self, config: Any) -> None:
        config.num_labels = self.labels
        super().__init__(config)
        self.num_labels = self.labels
        self.model = Qwen2Model(config)
        self._add_head(config.hidden_size)
        self.post_init()

    def _add_head(self, hidden_size: int) -> None:
        raise NotImplementedError

    def forward(self, input_ids: torch.Tensor) -> TokenClassifierOutput:
        """Logits [rows, tokens, labels]."""
        return TokenClassifierOutput(logits=self.score(self.model(input_ids).last_hidden_state))


class Qwen2ForRewardModel(_Qwen2WithHead):
    """An outcome reward, as in https://huggingface.co/Qwen/Qwen2.5-Math-RM-72B, modeling_qwen2_rm.py."""

    labels = 1

    def _add_head(self, hidden_size: int) -> None:
        hidden = nn.Linear(hidden_size, hidden_size)
        self.score = nn.Sequential(hidden, nn.ReLU(), nn.Linear(hidden_size, self.labels))


class Qwen2ForProcessRewardModel(Qwen2ForRewardModel):
    """Two classes, wrong and right, as in https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B, modeling_qwen2_rm.py."""

    labels = 2


class Qwen2ForPrmModel(_Qwen2WithHead):
    """A value, as in https://github.com/SkyworkAI/skywork-o1-prm-inference, model_utils/prm_model.py."""

    labels = 1

    def _add_head(self, hidden_size: int) -> None:
        self.v_head = nn.ModuleDict({"summary": nn.Linear(hidden_size, self.labels)})

    @property
    def score(self) -> nn.Module:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.v_head["summary"]
