"""A step of the stage `grpo` beside one of TRL's GRPOTrainer: the same model, problems, batch and lengths.

Both sides take turns in one process, so that the ratios hold on a noisy machine. The optimizer steps learn from the
same completions, which our engine drew; generation is each side's own, at the same temperature and limit. On a CPU what
is counted is processor time, by one thread on both sides.

TRL is no part of this project: `pip install 'trl>=1.16,<1.17'`, then `python -m deliberate.bench.grpo [MODEL]`.
"""

import gc
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer

from deliberate.bench.figures import save_figures
from deliberate.models import bundled_models
from deliberate.training.optimization.optimizer import HybridOptimizer
from deliberate.training.policies.hub import hide_progress_bars
from deliberate.training.policy_optimization.experience import Experience
from deliberate.training.policy_optimization.explorer import ScoredGroup
from deliberate.training.policy_optimization.grpo_config import GRPOConfig
from deliberate.training.policy_optimization.grpo_learner import GRPOLearner

_RATE = 1e-6
"""So small that the policy stays what it is."""


@dataclass(frozen=True, slots=True)
class Generated:
    """By one side in one turn."""

    generation: float
    """Seconds."""
    tokens: int


def now() -> float:
    """Seconds of the processor, or with a GPU those of the wall."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


class Ours:
    """The stage's learner, without its loop."""

    def __init__(self, config: GRPOConfig) -> None:
        self._config = config
        self.learner = GRPOLearner(config)
        self._optimizer = HybridOptimizer(self.learner.named_parameters(), optim="adamw")

    def generate(self, turn: int) -> tuple[Generated, Sequence[ScoredGroup]]:
        start = now()
        groups = self.learner.rounds.sample(turn).groups
        seconds = now() - start
        return Generated(seconds, sum(sample.tokens for group in groups for sample in group.samples)), groups

    def optimize(self, experience: Experience) -> float:
        start = now()
        every = range(len(experience.prompts))
        self.learner.learn(experience, every, every)
        torch.nn.utils.clip_grad_norm_(self._optimizer.parameters, self._config.max_grad_norm)
        self._optimizer.step(_RATE)
        return now() - start


class Theirs:
    """TRL's trainer, without its loop."""

    def __init__(self, config: GRPOConfig, prompts: Sequence[Any]) -> None:
        try:
            import trl  # pyright: ignore[reportMissingImports]
            from datasets import Dataset
        except ModuleNotFoundError as error:
            raise typer.BadParameter("TRL is not installed: pip install 'trl>=1.16,<1.17'") from error
        arguments = trl.GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=config.generation_batch_size,
            num_generations=config.num_generations,
            max_completion_length=config.max_completion_length,
            temperature=config.temperature,
            learning_rate=_RATE,
            beta=config.beta,
            loss_type="grpo",
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
            report_to=[],
            disable_tqdm=True,
        )
        self._trainer: Any = trl.GRPOTrainer(
            model=config.model_name_or_path,
            reward_funcs=[_length],
            args=arguments,
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        )
        self._size = config.per_device_train_batch_size
        self._trainer.create_optimizer()
        self._trainer.model.train()

    def generate(self, prompts: Sequence[Any]) -> Generated:
        start = now()
        made = self._trainer._generate_and_score_completions([{"prompt": prompt} for prompt in prompts])
        return Generated(now() - start, int(made["completion_mask"].sum()))

    def optimize(self, experience: Experience, pad_id: int) -> float:
        """Micro-batches in the order of sampling, as TRL's are in the order of its sampler."""
        count = len(experience.prompts)
        lots = [range(start, min(start + self._size, count)) for start in range(0, count, self._size)]
        inputs = [_inputs(experience.rows(lot), pad_id, self._trainer.accelerator.device) for lot in lots]
        self._trainer.current_gradient_accumulation_steps = len(lots)
        start = now()
        for given in inputs:
            self._trainer.compute_loss(self._trainer.model, given).backward()
        torch.nn.utils.clip_grad_norm_(self._trainer.model.parameters(), self._trainer.args.max_grad_norm)
        self._trainer.optimizer.step()
        self._trainer.optimizer.zero_grad()
        return now() - start


def _inputs(rows: Experience, pad_id: int, device: torch.device) -> dict[str, torch.Tensor]:
    """As TRL's trainer pads them: prompts on the left, completions on the right."""
    width = max(map(len, rows.prompts))
    prompts = torch.tensor([[pad_id] * (width - len(p)) + list(p) for p in rows.prompts])
    there = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in rows.prompts])
    length = rows.mask.shape[1]
    completions = torch.tensor([[*c, *[pad_id] * (length - len(c))] for c in rows.completions])
    tensors = {
        "prompt_ids": prompts,
        "prompt_mask": there,
        "completion_ids": completions,
        "completion_mask": rows.mask.long(),
        "advantages": rows.columns["advantages"][:, 0],
        "num_items_in_batch": rows.mask.sum(),
    }
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _length(completions: Sequence[Any], **_: Any) -> list[float]:
    return [float(len(str(completion))) for completion in completions]


def measure(config: GRPOConfig, rounds: int) -> dict[str, Any]:
    """Medians over the rounds, the first of which warms both sides up and does not count."""
    torch.set_num_threads(config.num_threads)
    ours = Ours(config)
    with ours.learner as learner:
        theirs: Theirs | None = None
        found: dict[str, list[float]] = {}
        for turn in range(rounds + 1):
            drawn, groups = ours.generate(turn)
            prompts = [list(group.row.prompt) for group in groups for _ in group.samples]
            theirs = theirs or Theirs(config, prompts)
            also_drawn = theirs.generate(prompts)
            experience = learner.credited(groups)
            # None of them 0, so that none of ours is left out.
            signs = torch.tensor([[(-1.0) ** row] for row in range(len(experience.prompts))])
            experience = experience.with_columns(advantages=signs)
            gc.collect()
            our_step = ours.optimize(experience)
            their_step = theirs.optimize(experience, learner.tokenizer.pad_id)
            if turn:
                values = {
                    "completions_per_second": len(prompts) / drawn.generation,
                    "trl_completions_per_second": len(prompts) / also_drawn.generation,
                    "generated_tokens_per_second": drawn.tokens / drawn.generation,
                    "trl_generated_tokens_per_second": also_drawn.tokens / also_drawn.generation,
                    "step_seconds": our_step,
                    "trl_step_seconds": their_step,
                    "generation_ratio": (drawn.tokens / drawn.generation) / (also_drawn.tokens / also_drawn.generation),
                    "step_ratio": their_step / our_step,
                    "whole_ratio": (also_drawn.generation + their_step) / (drawn.generation + our_step),
                }
                for name, value in values.items():
                    found.setdefault(name, []).append(value)
    return {
        **{name: median(values) for name, values in found.items()},
        "step_ratios": found["step_ratio"],
        "completions": config.generation_batch_size,
        "num_generations": config.num_generations,
        "max_completion_length": config.max_completion_length,
        "beta": config.beta,
    }


def main(
    model: Annotated[str, typer.Argument(help="A bundled model, or a folder.")] = "tiny",
    completions: Annotated[int, typer.Option(help="Of a step.")] = 64,
    n: Annotated[int, typer.Option(help="Completions of each problem.")] = 8,
    micro_batch: Annotated[int, typer.Option(help="Completions that go through the model together.")] = 16,
    max_completion_length: Annotated[int, typer.Option(help="Most tokens of a completion.")] = 64,
    rounds: Annotated[int, typer.Option(help="Timed turns of each side; medians count.")] = 5,
    save: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Measure generation and the optimizer step beside TRL's."""
    os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    hide_progress_bars()
    known = bundled_models()
    config = GRPOConfig(
        name="bench",
        output_dir=Path(tempfile.mkdtemp()),
        model_name_or_path=str(known.get(model, model)),
        task="word_problems",
        max_steps=1,
        generation_batch_size=completions,
        num_generations=n,
        per_device_train_batch_size=micro_batch,
        max_completion_length=max_completion_length,
        beta=0.0,
    )
    results = measure(config, rounds)
    typer.echo(
        f"generation: {results['generated_tokens_per_second']:.0f} tokens/s, TRL "
        f"{results['trl_generated_tokens_per_second']:.0f}: {results['generation_ratio']:.2f} times as fast\n"
        f"optimizer step: {results['step_seconds']:.2f} s, TRL {results['trl_step_seconds']:.2f} s: "
        f"{results['step_ratio']:.2f} times as fast\n"
        f"both: {results['whole_ratio']:.2f} times as fast"
    )
    save_figures(results, save)


if __name__ == "__main__":
    typer.run(main)
