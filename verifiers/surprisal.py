"""A small recurrent network that reads how surprised a language model is by each token of a chain.

A causal language model knows that a token is wrong where it predicts it, and forgets: its states at later tokens hold
what was said, not how likely that was. So a rule over the tokens' log-probabilities (`min`, `mean`, `sum`) may judge
better than a small head over the states, and a rule that is learned better still: it can tell a slip that was made good
in a later line from one that was not. A trainable scoring function in the sense of Yaldiz 2024 (LARS,
arXiv:2406.11278), of log-probabilities alone, so that any engine that scores given tokens can serve it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from deliberate.engines.errors import InvalidRequest

FILE_NAME = "surprisal_reader.json"
"""In the folder of the language model that it reads. No safetensors: vLLM would take them for the model's weights."""
_WIDTH = 32
_LARGEST = 12.0
"""Nats; what is less likely than one in 160,000 is wrong all the same."""


class SurprisalReader(nn.Module):
    """From log-probabilities of a chain's tokens to the log-odds, after each of them, that all is right."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(2, _WIDTH, batch_first=True)
        self.score = nn.Linear(_WIDTH, 1)

    def forward(self, logprobs: Tensor) -> Tensor:
        """Log-odds (chains, tokens) from log-probabilities in nats (chains, tokens), padded on the right."""
        known = logprobs.float().clamp(-_LARGEST, 0.0)
        states, _ = self.recurrent(torch.stack([known / _LARGEST, known.exp()], dim=-1))
        return self.score(states).squeeze(-1)

    @torch.no_grad()
    def read(self, logprobs: Sequence[Sequence[float]]) -> list[list[float]]:
        """The same for chains of any lengths, none of them empty."""
        rows = pad_sequence([torch.tensor(row, dtype=torch.float32) for row in logprobs], batch_first=True)
        return [said[: len(row)] for said, row in zip(self(rows).tolist(), logprobs, strict=True)]

    def save(self, folder: Path) -> None:
        """Beside the language model."""
        weights = {name: value.tolist() for name, value in self.state_dict().items()}
        (folder / FILE_NAME).write_text(json.dumps(weights) + "\n", encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Take what `save` wrote. Raises InvalidRequest for a file that is something else."""
        path = folder / FILE_NAME
        try:
            weights = json.loads(path.read_text(encoding="utf-8"))
            self.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise InvalidRequest(f"{path} holds no reader of surprisals: {error}", param="model") from error


def find_reader(path: str) -> SurprisalReader | None:
    """What was trained beside the language model of this folder. Raises InvalidRequest for one that cannot be read."""
    if not (Path(path) / FILE_NAME).is_file():
        return None
    reader = SurprisalReader()
    reader.restore(Path(path))
    return reader.eval()
