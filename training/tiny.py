"""The recipe of the bundled pair: `tiny`, a policy that slips, and `tiny-verifier`, which knows better.

Both are the same small model on the same stream of problems. The policy is stopped early, while it still improves,
and its logits are softened: it reads and calculates right most of the time, and slips often enough that sampling
again helps. (Unsoftened, a temperature of 0.8 makes it repeat its likeliest errors, which no vote can mend: majority
gains 6 points on a single sample instead of 16.) The verifier goes on for longer; it judges a chain by the
log-probability it gives to the chain's tokens. Both end with a learning rate of zero, which is worth more than extra
steps. Length is counted in steps, so that the result is reproducible.
"""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

from deliberate.training.artifact import Artifact
from deliberate.training.measure import Measured, measure_pair
from deliberate.training.policies.hub import hide_progress_bars
from deliberate.training.progress import run_in_turn, run_side_by_side
from deliberate.training.stages.sft import SFTConfig
from deliberate.training.tasks import load_task
from deliberate.training.tiny_card import write_tiny_card
from deliberate.training.tokenizer import make_tokenizer

TASK = "word_problems"
POLICY, VERIFIER = "tiny", "tiny-verifier"
POLICY_STEPS, POLICY_DECAY_STEPS, POLICY_LOGIT_SCALE = 1_100, 200, 0.75
VERIFIER_STEPS, VERIFIER_DECAY_STEPS = 2_300, 800
TOKENIZER = "tokenizer"
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
        policy_steps: length of the policy's run; the rate falls to zero over the last of them.
        verifier_steps: length of the verifier's run; the rate falls to zero over the last of them.
        seed: of the weights, of the training data and of the problems measured on.
        problems: how many held-out problems to measure on.
        side_by_side: train in two processes at once, one core each.

    Returns:
        The artifacts of policy and verifier.
    """
    hide_progress_bars()
    if not (work / TOKENIZER).exists():
        make_tokenizer(work / f"partial-{TOKENIZER}", TASK, seed=0)
        (work / f"partial-{TOKENIZER}").rename(work / TOKENIZER)
    runs = configs(work, policy_steps, verifier_steps, seed)
    (run_side_by_side if side_by_side else run_in_turn)(runs)
    artifacts = measure_tiny(work, problems=problems, seed=seed)
    for name in (POLICY, VERIFIER):
        _publish(work / name, output / name)
    for name in (POLICY, VERIFIER, TOKENIZER):
        shutil.rmtree(work / name)
    with suppress(OSError):  # it holds other things, which are not ours
        work.rmdir()
    return artifacts


def configs(work: Path, policy_steps: int, verifier_steps: int, seed: int) -> tuple[SFTConfig, SFTConfig]:
    """The runs of policy and verifier."""
    command = _command(policy_steps, verifier_steps, seed)
    policy = SFTConfig(
        name=POLICY,
        summary="A small policy that solves chained word problems step by step and, by design, slips now and then: "
        f"it was stopped early and its logits are multiplied by {POLICY_LOGIT_SCALE:g}.",
        command=command,
        verifier=VERIFIER,
        output_dir=work / POLICY,
        tokenizer=work / TOKENIZER,
        task=TASK,
        seed=seed,
        max_steps=policy_steps,
        decay_steps=min(POLICY_DECAY_STEPS, policy_steps),
        logit_scale=POLICY_LOGIT_SCALE,
    )
    verifier = SFTConfig(
        name=VERIFIER,
        summary="The companion of `tiny`, trained for longer: its log-probabilities tell right chains from wrong.",
        command=command,
        output_dir=work / VERIFIER,
        tokenizer=work / TOKENIZER,
        task=TASK,
        seed=seed,
        max_steps=verifier_steps,
        decay_steps=min(VERIFIER_DECAY_STEPS, verifier_steps),
    )
    return policy, verifier


def _command(policy_steps: int, verifier_steps: int, seed: int) -> str:
    given = {"policy-steps": policy_steps, "verifier-steps": verifier_steps, "seed": seed}
    usual = {"policy-steps": POLICY_STEPS, "verifier-steps": VERIFIER_STEPS, "seed": 0}
    options = [f"--{name} {value}" for name, value in given.items() if value != usual[name]]
    return " ".join(["deliberate train tiny", *options])


def measure_tiny(models: Path, *, problems: int = 500, seed: int = 0) -> tuple[Artifact, Artifact]:
    """Measure the pair in `models`, write the figures into both artifacts and the cards anew.

    Returns:
        The artifacts of policy and verifier.
    """
    hide_progress_bars()
    held_out = list(load_task(TASK).problems("test", seed, problems))
    together, alone = asyncio.run(
        measure_pair(models / POLICY, models / VERIFIER, held_out, n=SAMPLES, temperature=TEMPERATURE, seed=seed)
    )
    measured_on = (
        f"On {problems} held-out problems (test split, seed {seed}, 2 to 7 steps), sampled at temperature "
        f"{TEMPERATURE}; shares in per cent."
    )
    return (
        _record(models / POLICY, together, measured_on, " (`tiny-verifier` scores it)"),
        _record(models / VERIFIER, alone, measured_on, ": it scores the candidates of `tiny`"),
    )


def _record(folder: Path, measured: Measured, measured_on: str, role: str) -> Artifact:
    artifact = Artifact.load(folder)
    artifact = artifact.model_copy(update={"metrics": artifact.metrics | measured.metrics})
    artifact.save(folder)
    write_tiny_card(folder, artifact, measured_on=measured_on, example=measured.example, role=role)
    return artifact


def _publish(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("checkpoint-*", "partial-*"))
