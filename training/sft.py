"""Supervised fine-tuning: a small causal LM learns a task's worked solutions from random weights.

Fresh problems are streamed, so nothing is seen twice; the loss covers the completion only. A run killed at any time
and started again with the same configuration ends with the same weights as one that was never interrupted.
"""

import hashlib
import json
import platform
import time
from collections.abc import Iterator
from typing import Any

import tokenizers
import torch
import transformers
from transformers import GenerationConfig

from deliberate.training import checkpoint
from deliberate.training.architecture import freeze_output_biases, new_model, scale_logits
from deliberate.training.artifact import FILE_NAME, Artifact, file_hash
from deliberate.training.checkpoint import Progress
from deliberate.training.config import SFTConfig
from deliberate.training.data import IGNORED, Batch, BatchStream
from deliberate.training.hub import ChatTokenizer, load_model, move_model, save_model
from deliberate.training.metrics import MetricsLog, Reporter, Update, read_lines
from deliberate.training.optimizer import HybridOptimizer, scheduled_rate
from deliberate.training.tasks import load_task


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
    log = MetricsLog(
        config.output_dir,
        trainer.progress,
        interval=config.logging_steps,
        max_steps=config.max_steps,
        watcher=report,
    )
    for update in trainer.updates():
        log.add(update, trainer.progress)
        if trainer.progress.step % config.save_steps == 0 or trainer.progress.step == config.max_steps:
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
        model = new_model(config.model, self.tokenizer, config.seed) if saved is None else load_model(saved.model)
        self.model = move_model(model, self.device)
        freeze_output_biases(self.model)
        self.optimizer = HybridOptimizer(self.model, config.weight_decay)
        if saved is not None:
            self.progress = saved.progress
            self.optimizer.load_state_dict(saved.optimizer)

    def updates(self) -> Iterator[Update]:
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

    def _update(self, batch: Batch) -> Update:
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
        return Update(loss.item(), rate, norm.item())

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


_NO_EFFECT = {"name", "summary", "command", "verifier", "output_dir", "tokenizer", "logging_steps", "save_steps"}
"""Fields that do not change the weights (another tokenizer shows in the data hash)."""


def portable(config: SFTConfig) -> dict[str, Any]:
    """The part of the configuration that decides the weights, the same on every machine."""
    return config.model_dump(mode="json", exclude={*_NO_EFFECT, "save_total_limit"})


def _identity(config: SFTConfig) -> str:
    """Identifies a run: two with the same identity make the same weights."""
    return hashlib.blake2b(json.dumps(portable(config), sort_keys=True).encode(), digest_size=16).hexdigest()


def _finished(config: SFTConfig) -> Artifact | None:
    if not (config.output_dir / FILE_NAME).exists():
        return None
    artifact = Artifact.load(config.output_dir)
    return artifact if artifact.config == portable(config) else None


def _export(config: SFTConfig, trainer: _Trainer) -> Artifact:
    folder, tokenizer, progress = config.output_dir, trainer.tokenizer, trainer.progress
    trainer.model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.end_id, pad_token_id=tokenizer.pad_id, do_sample=True, temperature=0.8
    )
    scale_logits(trainer.model, config.logit_scale)
    save_model(trainer.model, folder)
    tokenizer.save(folder)
    last = json.loads(read_lines(folder)[-1])
    artifact = Artifact(
        name=config.name,
        stage="sft",
        summary=config.summary,
        command=config.command,
        task=config.task,
        config=portable(config),
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
