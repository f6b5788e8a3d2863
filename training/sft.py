"""Supervised fine-tuning: a small causal LM learns a task's worked solutions from random weights.

Fresh problems are streamed, so nothing is seen twice; the loss covers the completion only. A run killed at any time
and started again with the same configuration ends with the same weights as one that was never interrupted.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from deliberate.training import checkpoint
from deliberate.training.artifact import FILE_NAME, Artifact, file_hash
from deliberate.training.checkpoint import Progress
from deliberate.training.config import SFTConfig
from deliberate.training.data import IGNORED, Batch, BatchStream
from deliberate.training.hub import ChatTokenizer, load_model, move_model, save_model
from deliberate.training.optimizer import HybridOptimizer, scheduled_rate
from deliberate.training.tasks import load_task

METRICS = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class Report:
    """What a run tells its watcher every `logging_steps`: one line of metrics.jsonl."""

    step: int
    max_steps: int
    loss: float
    """Mean cross entropy per completion token, in nats, of the batches since the last report."""
    learning_rate: float
    """At the last of these steps."""
    grad_norm: float
    """Before clipping, at the last of these steps."""
    tokens: int
    """Prompt and completion tokens since the run began."""
    tokens_per_second: float
    """Since the last report."""


Reporter = Callable[[Report], None]


@dataclass(frozen=True, slots=True)
class _Update:
    loss: float
    learning_rate: float
    grad_norm: float


def run(config: SFTConfig, report: Reporter = lambda _: None) -> Artifact:
    """Train to `config.max_steps` and leave a model folder that plain transformers loads.

    Resumes from the newest checkpoint in `config.output_dir`; where that run had finished, returns its artifact.

    Raises:
        CheckpointError: the folder holds a run with another configuration.
        UnknownTaskError: there is no such task.
    """
    finished = _finished(config)
    if finished is not None:
        return finished
    torch.set_num_threads(config.num_threads)
    trainer = _Trainer(config)
    losses = list[float]()
    started, tokens = time.perf_counter(), trainer.progress.tokens
    with (config.output_dir / METRICS).open("a", encoding="utf-8") as log:
        for update in trainer.updates():
            losses.append(update.loss)
            progress = trainer.progress
            if _due(progress.step, config.logging_steps, config.max_steps):
                now = time.perf_counter()
                line = Report(
                    step=progress.step,
                    max_steps=config.max_steps,
                    loss=sum(losses) / len(losses),
                    learning_rate=update.learning_rate,
                    grad_norm=update.grad_norm,
                    tokens=progress.tokens,
                    tokens_per_second=(progress.tokens - tokens) / (now - started),
                )
                log.write(json.dumps(asdict(line)) + "\n")
                log.flush()
                report(line)
                losses, started, tokens = [], now, progress.tokens
            if _due(progress.step, config.save_steps, config.max_steps):
                trainer.save()
    return _export(config, trainer)


class _Trainer:
    """Model, optimizer and position in the data, one update at a time."""

    def __init__(self, config: SFTConfig) -> None:
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = ChatTokenizer(config.tokenizer)
        self.progress = Progress()
        task = load_task(config.task)
        self.stream = BatchStream(
            task,
            self.tokenizer,
            seed=config.seed,
            batch_size=config.per_device_train_batch_size,
            difficulty=config.difficulty,
            system_prompt_share=config.system_prompt_share,
        )
        config.output_dir.mkdir(parents=True, exist_ok=True)
        saved = checkpoint.load_latest(config.output_dir, _identity(config), self.device)
        model = _new_model(config, self.tokenizer) if saved is None else load_model(saved.model)
        self.model = move_model(model, self.device)
        _freeze_output_biases(self.model)
        self.optimizer = HybridOptimizer(self.model, config.weight_decay)
        if saved is not None:
            self.progress = saved.progress
            self.optimizer.load_state_dict(saved.optimizer)
        _drop_metrics_after(config.output_dir / METRICS, self.progress.step)

    def updates(self) -> Iterator[_Update]:
        """Go on to `max_steps`; `progress` counts the update that was just yielded."""
        batches = self.stream.from_step(self.progress.step)
        while self.progress.step < self.config.max_steps:
            started = time.perf_counter()
            batch = next(batches)
            update = self._update(batch)
            self.progress = Progress(
                step=self.progress.step + 1,
                tokens=self.progress.tokens + batch.tokens,
                seconds=self.progress.seconds + time.perf_counter() - started,
                data_hash=batch.digest(self.progress.data_hash),
            )
            yield update

    def _update(self, batch: Batch) -> _Update:
        config = self.config
        loss = self._loss(batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.max_grad_norm)
        rate = scheduled_rate(
            self.progress.step,
            peak=config.learning_rate,
            warmup_steps=config.warmup_steps,
            decay_steps=config.decay_steps,
            max_steps=config.max_steps,
        )
        self.optimizer.step(rate)
        return _Update(loss.item(), rate, norm.item())

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Mean cross entropy of the completion tokens; the prompt's positions never reach the vocabulary."""
        ids, labels = batch.input_ids.to(self.device), batch.labels.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16):
            hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state
            learned = labels != IGNORED
            logits = self.model.lm_head(hidden[learned])
        return torch.nn.functional.cross_entropy(logits.float(), labels[learned])

    def save(self) -> None:
        """Write a checkpoint and drop those over the limit."""
        folder = self.config.output_dir
        checkpoint.save(folder, self.model, self.optimizer.state_dict(), self.progress, _identity(self.config))
        if self.config.save_total_limit is not None:
            checkpoint.prune(folder, self.config.save_total_limit)


def _due(step: int, interval: int, last: int) -> bool:
    return step % interval == 0 or step == last


def _new_model(config: SFTConfig, tokenizer: ChatTokenizer) -> LlamaForCausalLM:
    """Random weights: Qwen2's, in the form of a Llama whose attention has biases.

    The two compute the same while the biases of the attention's output stay zero. The form matters because
    AutoTokenizer gives every model of type qwen2 Qwen's own splitting of text, whatever tokenizer lies beside it.
    """
    shape: dict[str, Any] = {
        **config.model.model_dump(),
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.context_length,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.end_id,
        "pad_token_id": tokenizer.pad_id,
    }
    torch.manual_seed(config.seed)  # pyright: ignore[reportUnknownMemberType]
    drawn = Qwen2ForCausalLM(Qwen2Config(**shape))
    model = LlamaForCausalLM(LlamaConfig(**shape, attention_bias=True))
    model.load_state_dict(drawn.state_dict(), strict=False)
    return model


_NO_EFFECT = {"name", "summary", "command", "verifier", "output_dir", "tokenizer", "logging_steps", "save_steps"}
"""Fields that do not change the weights (another tokenizer shows in the data hash)."""


def _portable(config: SFTConfig) -> dict[str, Any]:
    """The part of the configuration that decides the weights, the same on every machine."""
    return config.model_dump(mode="json", exclude={*_NO_EFFECT, "save_total_limit"})


def _freeze_output_biases(model: LlamaForCausalLM) -> None:
    """Keep the attention's output biases at zero; those of queries, keys and values learn."""
    for name, parameter in model.named_parameters():
        if name.endswith("o_proj.bias"):
            parameter.requires_grad_(False)


def _identity(config: SFTConfig) -> str:
    """Identifies a run: two with the same identity make the same weights."""
    return hashlib.blake2b(json.dumps(_portable(config), sort_keys=True).encode(), digest_size=16).hexdigest()


def _finished(config: SFTConfig) -> Artifact | None:
    if not (config.output_dir / FILE_NAME).exists():
        return None
    artifact = Artifact.load(config.output_dir)
    return artifact if artifact.config == _portable(config) else None


def _drop_metrics_after(path: Path, step: int) -> None:
    """Forget the lines that a resumed run is about to write again."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), encoding="utf-8")


def _export(config: SFTConfig, trainer: _Trainer) -> Artifact:
    folder, tokenizer, progress = config.output_dir, trainer.tokenizer, trainer.progress
    trainer.model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.end_id, pad_token_id=tokenizer.pad_id, do_sample=True, temperature=0.8
    )
    with torch.no_grad():
        trainer.model.model.norm.weight.mul_(config.logit_scale)
    save_model(trainer.model, folder)
    tokenizer.save(folder)
    last = json.loads((folder / METRICS).read_text(encoding="utf-8").splitlines()[-1])
    artifact = Artifact(
        name=config.name,
        stage="sft",
        summary=config.summary,
        command=config.command,
        task=config.task,
        config=_portable(config),
        data_hash=progress.data_hash,
        weights_hash=file_hash(folder / "model.safetensors"),
        metrics={"train_loss": last["loss"], "train_tokens": progress.tokens, "train_seconds": round(progress.seconds)},
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        verifier=config.verifier,
    )
    artifact.save(folder)
    if config.save_total_limit is not None:
        checkpoint.prune(folder, keep=0)
    return artifact
