"""The recipe of the bundled pair: `tiny`, a policy that slips, and `tiny-verifier`, which knows better.

Both are the same small model, trained on the same task. The policy is stopped in the middle, its rate still at the
peak: it reads and calculates right most of the time, and wrong often enough that sampling again helps. The verifier
is trained for longer and its rate is brought to zero, which is worth more than the extra steps; it judges a chain by
the log-probability it gives to the chain's tokens. Length is counted in steps, so that the result is reproducible.
"""

import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from deliberate.training import measure
from deliberate.training.artifact import Artifact
from deliberate.training.card import write_card
from deliberate.training.config import SFTConfig
from deliberate.training.progress import run_in_turn, run_side_by_side
from deliberate.training.tasks import load_task
from deliberate.training.tokenizer import make_tokenizer

TASK = "word_problems"
POLICY, VERIFIER = "tiny", "tiny-verifier"
POLICY_STEPS = 800
VERIFIER_STEPS = 2_400
DECAY_SHARE = 0.4
"""Of the verifier's steps, at their end."""
SAMPLES = 16
TEMPERATURE = 0.8


def train_tiny(
    output: Path,
    *,
    work: Path,
    policy_steps: int = POLICY_STEPS,
    verifier_steps: int = VERIFIER_STEPS,
    seed: int = 0,
    problems: int = 500,
    side_by_side: bool = True,
) -> tuple[Artifact, Artifact]:
    """Make both models from nothing, measure them, and put them into `output/tiny` and `output/tiny-verifier`.

    Args:
        output: replaced there only when both models are finished.
        work: where the runs live until then; started again with the same arguments, they resume from here.
        policy_steps: at a constant rate, so more steps continue the same run.
        verifier_steps: the last `DECAY_SHARE` of them with a falling rate.
        seed: of the policy; the verifier's is the next one, and the problems measured on come from it too.
        problems: how many held-out problems to measure on.
        side_by_side: train in two processes at once, one core each.

    Returns:
        The artifacts of policy and verifier.
    """
    tokenizer = work / "tokenizer"
    if not tokenizer.exists():
        make_tokenizer(tokenizer, TASK, seed=0)
    command = _command(policy_steps, verifier_steps, seed)
    policy = SFTConfig(
        name=POLICY,
        summary="A small policy that solves chained word problems step by step, and slips now and then.",
        command=command,
        verifier=VERIFIER,
        output_dir=work / POLICY,
        tokenizer=tokenizer,
        task=TASK,
        seed=seed,
        max_steps=policy_steps,
    )
    verifier = SFTConfig(
        name=VERIFIER,
        summary="The companion of `tiny`, trained for longer: its log-probabilities tell right chains from wrong.",
        command=command,
        output_dir=work / VERIFIER,
        tokenizer=tokenizer,
        task=TASK,
        seed=seed + 1,
        max_steps=verifier_steps,
        decay_steps=round(DECAY_SHARE * verifier_steps),
    )
    (run_side_by_side if side_by_side else run_in_turn)([policy, verifier])
    artifacts = _measure(work, problems, seed)
    for name in (POLICY, VERIFIER):
        _publish(work / name, output / name)
    shutil.rmtree(work)
    return artifacts


def _command(policy_steps: int, verifier_steps: int, seed: int) -> str:
    given = {"policy-steps": policy_steps, "verifier-steps": verifier_steps, "seed": seed}
    usual = {"policy-steps": POLICY_STEPS, "verifier-steps": VERIFIER_STEPS, "seed": 0}
    options = [f"--{name} {value}" for name, value in given.items() if value != usual[name]]
    return " ".join(["deliberate train tiny", *options])


def _measure(work: Path, count: int, seed: int) -> tuple[Artifact, Artifact]:
    """Add the held-out figures to both artifacts and write the cards."""
    task = load_task(TASK)
    problems = list(task.problems("test", seed, count))
    tokenizer = AutoTokenizer.from_pretrained(work / POLICY)
    policy, verifier = (
        AutoModelForCausalLM.from_pretrained(work / name, dtype=torch.float32) for name in (POLICY, VERIFIER)
    )

    def figures(sampler: torch.nn.Module, n: int) -> dict[str, float]:
        groups = measure.sample_candidates(
            task, problems, tokenizer, sampler, verifier, n=n, temperature=TEMPERATURE, seed=seed
        )
        return measure.figures(groups)

    measured_on = (
        f"On {count} held-out problems (test split, seed {seed}, 2 to 7 steps), sampled at temperature {TEMPERATURE}; "
        "shares in per cent."
    )
    pair = figures(policy, SAMPLES)
    alone = {"pass@1": figures(verifier, 1)["pass@1"]}
    artifacts = (
        _record(work / POLICY, pair, measured_on, " (`tiny-verifier` scores it)"),
        _record(work / VERIFIER, alone, measured_on, ": it scores the candidates of `tiny`"),
    )
    return artifacts


def _record(folder: Path, metrics: dict[str, float], measured_on: str, role: str) -> Artifact:
    artifact = Artifact.load(folder)
    artifact = artifact.model_copy(update={"metrics": artifact.metrics | metrics})
    artifact.save(folder)
    write_card(folder, artifact, measured_on=measured_on, role=role)
    return artifact


def _publish(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("checkpoint-*", "partial-*"))
