"""Every format against a straightforward reading of the whole chain: its family's own published code, in short."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from deliberate.engines.errors import InvalidRequest, UnknownName
from deliberate.engines.protocol import EngineStats
from deliberate.engines.scripted import ScriptedEngine
from deliberate.engines.transformers import load, load_scorer
from deliberate.verifiers.formats.registry import FORMATS, format_of
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.reward_model import RewardModel
from deliberate.verifiers.workers import WorkerPool

from ..engines.tiny_models import (
    REWARD_HEADS,
    byte_tokenizer,
    make_model,
    make_reward_model,
    make_value_head_model,
    sentence_piece_tokenizer,
)

QUESTION = "Tom has 3 apples and buys 4 more. How many?"
PROBLEM = Problem(({"role": "user", "content": QUESTION},))
STEPS = ["He had 3.", "3 + 4 = 7", "So he has 7 - and not 8.", "The answer is 7"]
SEPARATOR = "\n\n"


@dataclass(frozen=True)
class Family:
    """One format: how to make a small random model of it, and what its authors' code says of the steps."""

    format: str
    make: Callable[[Path], Path]
    reference: Callable[[Path, Sequence[str]], list[float]]


def saved(folder: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    tokenizer.save_pretrained(folder)
    return folder


def tokenizer_of(folder: Path) -> Any:
    return PreTrainedTokenizerFast.from_pretrained(folder)


def logits_of(folder: Path, ids: Sequence[int]) -> torch.Tensor:
    """Of a language model, [tokens, vocabulary]."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(torch.tensor([list(ids)])).logits[0]


def make_math_shepherd(folder: Path) -> Path:
    ends = {"eos_token_id": 2, "pad_token_id": 2}
    make_model(folder, "mistral", scale=0.5, initializer_range=0.2, vocab_size=400, sliding_window=None, **ends)
    return saved(folder, sentence_piece_tokenizer())


def math_shepherd(folder: Path, steps: Sequence[str]) -> list[float]:
    tokenizer = tokenizer_of(folder)
    candidates = tokenizer.encode("+ -")[1:]
    mark = tokenizer.encode("ки")[-1]
    ids = tokenizer.encode(f"{QUESTION} " + "\n".join(f"{step} ки" for step in steps))
    assert ids.count(mark) == len(steps)
    scores = logits_of(folder, ids)[:, candidates].softmax(-1)[:, 0]
    return scores[torch.tensor(ids) == mark].tolist()


def make_rlhflow(folder: Path) -> Path:
    return make_model(folder, "llama", scale=0.5, initializer_range=0.2)


def rlhflow(folder: Path, steps: Sequence[str]) -> list[float]:
    tokenizer = tokenizer_of(folder)
    candidates = [tokenizer.encode("+")[-1], tokenizer.encode("-")[-1]]
    conversation, scores = list[dict[str, str]](), list[float]()
    for number, step in enumerate(steps):
        conversation.append({"role": "user", "content": f"{QUESTION} {step}" if number == 0 else step})
        conversation.append({"role": "assistant", "content": "+"})
        text = tokenizer.apply_chat_template(conversation, tokenize=False)
        logits = logits_of(folder, tokenizer.encode(text, add_special_tokens=False))
        scores.append(logits[-3, candidates].softmax(-1)[0].item())
    return scores


def make_skywork(folder: Path) -> Path:
    return saved(make_value_head_model(folder), byte_tokenizer(begins=True))


def skywork(folder: Path, steps: Sequence[str]) -> list[float]:
    tokenizer = tokenizer_of(folder)
    ids, flags = tokenizer.encode(tokenizer.bos_token + QUESTION + "\n"), list[int]()
    for step in steps:
        ids += [*tokenizer.encode(step), tokenizer.encode("\n")[-1]]
        flags.append(len(ids) - 1)
    weights = torch.load(folder / "pytorch_model.bin")
    config = CONFIG_MAPPING["qwen2"].from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_config(config).eval()
    model.load_state_dict({name: value for name, value in weights.items() if not name.startswith("v_head")})
    with torch.inference_mode():
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
    values = hidden @ weights["v_head.summary.weight"].T + weights["v_head.summary.bias"]
    return values.sigmoid()[flags, 0].tolist()


def make_qwen_prm(folder: Path) -> Path:
    return saved(make_reward_model(folder, "process", vocab_size=264), byte_tokenizer("<extra_0>"))


def qwen_prm(folder: Path, steps: Sequence[str]) -> list[float]:
    tokenizer = tokenizer_of(folder)
    text = tokenizer.apply_chat_template(PROBLEM.messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer.encode(text + "<extra_0>".join(steps) + "<extra_0>")
    at = torch.tensor(ids) == tokenizer.encode("<extra_0>")[0]
    return plain_outputs(folder, ids)[at].softmax(-1)[:, 1].tolist()


def plain_outputs(folder: Path, ids: Sequence[int]) -> torch.Tensor:
    """What the two layers of Qwen's heads say, [tokens, labels], written out."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    model: Any = AutoModelForCausalLM.from_config(CONFIG_MAPPING["qwen2"].from_pretrained(folder)).model.eval()
    decoder = {name.removeprefix("model."): w for name, w in weights.items() if name.startswith("model.")}
    model.load_state_dict(decoder)
    with torch.inference_mode():
        hidden = model(torch.tensor([list(ids)])).last_hidden_state[0]
        inner = nn.functional.relu(hidden @ weights["score.0.weight"].T + weights["score.0.bias"])
        return inner @ weights["score.2.weight"].T + weights["score.2.bias"]


def make_trl(folder: Path) -> Path:
    return saved(make_reward_model(folder, "token", 2, "qwen3", head_dim=8), byte_tokenizer(begins=True))


def trl(folder: Path, steps: Sequence[str]) -> list[float]:
    tokenizer = tokenizer_of(folder)
    ids = [tokenizer.bos_token_id, *tokenizer(QUESTION, add_special_tokens=False)["input_ids"]]
    ends = list[int]()
    for step in steps:
        ids += tokenizer(step, add_special_tokens=False)["input_ids"]
        ids += tokenizer.encode(SEPARATOR, add_special_tokens=False)
        ends.append(len(ids) - 1)
    model: Any = REWARD_HEADS["token"].from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0, ends].softmax(-1)[:, 1].tolist()


FAMILIES = [
    Family("math_shepherd", make_math_shepherd, math_shepherd),
    Family("rlhflow", make_rlhflow, rlhflow),
    Family("skywork", make_skywork, skywork),
    Family("qwen_prm", make_qwen_prm, qwen_prm),
    Family("trl", make_trl, trl),
]


def chain(steps: Sequence[str], end: str = SEPARATOR, **fields: Any) -> Candidate:
    return Candidate(SEPARATOR.join(steps) + end, **fields)


class Judge:
    """A served reward model of one family."""

    def __init__(self, family: Family, folder: Path, pool: WorkerPool, **options: Any) -> None:
        self.folder = family.make(folder)
        generative = FORMATS[family.format].marks is not None
        self._model: Any = load(str(self.folder)) if generative else load_scorer(str(self.folder))
        policy = ScriptedEngine(["ok"])
        resources = Resources(
            pool,
            {"policy": policy} | ({"judge": self._model} if generative else {}),
            policy="policy",
            scorer="judge" if generative else None,
            scorers={} if generative else {"judge": self._model},
            reward_model=None if generative else "judge",
        )
        config = {"steps": True, "aggregate": "prod", "format": family.format, **options}
        self._verifier = RewardModel.model_validate(config).build(resources)

    @property
    def stats(self) -> EngineStats:
        return self._model.stats

    async def judge(self, *candidates: Candidate) -> list[Verdict]:
        return await self._verifier.verify(PROBLEM, candidates)

    async def close(self) -> None:
        await self._model.close()


families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.format)


def test_every_format_is_tested() -> None:
    assert {family.format for family in FAMILIES} | {"chat", "orm"} == set(FORMATS)


@families
async def test_steps_score_as_in_the_familys_own_code(family: Family, tmp_path: Path, workers: WorkerPool) -> None:
    judge = Judge(family, tmp_path, workers)
    expected = family.reference(judge.folder, STEPS)
    assert max(expected) - min(expected) > 0.01, "a reading at any other place would be found out"
    ended, cut = await judge.judge(chain(STEPS), chain(STEPS[:2], end="", finished=False))
    assert list(ended.steps) == pytest.approx(expected, abs=1e-5)
    assert list(cut.steps) == pytest.approx(expected[:2], abs=1e-5)
    await judge.close()


@families
async def test_without_steps_the_end_is_read(family: Family, tmp_path: Path, workers: WorkerPool) -> None:
    judge = Judge(family, tmp_path, workers, steps=False)
    (verdict,) = await judge.judge(chain(STEPS))
    assert verdict.score == pytest.approx(family.reference(judge.folder, STEPS)[-1], abs=1e-5)
    assert verdict.steps == ()
    await judge.close()


@families
async def test_trap_trailing_step_mark(family: Family, tmp_path: Path, workers: WorkerPool) -> None:
    """A separator at the end of a chain opens no empty step, which would be scored."""
    judge = Judge(family, tmp_path, workers)
    bare, marked, blank = await judge.judge(chain(STEPS, end=""), chain(STEPS), chain(STEPS, end="\n\n\n\n  \n"))
    assert bare.steps == marked.steps == blank.steps
    assert len(bare.steps) == len(STEPS)
    await judge.close()


@families
async def test_a_chain_that_grows_is_read_once(family: Family, tmp_path: Path, workers: WorkerPool) -> None:
    judge = Judge(family, tmp_path, workers)
    steps = [f"Step {number} says {number} + 1 = {number + 1}" for number in range(8)]
    grown = list[Verdict]()
    for end in range(1, len(steps) + 1):
        earlier = grown[-1] if grown else None
        grown += await judge.judge(chain(steps[:end], finished=False, earlier=earlier))
    read = judge.stats.prefill_tokens_total
    await judge.judge(chain(["another chain altogether", *steps[1:]]))
    whole = judge.stats.prefill_tokens_total - read
    assert read <= 1.5 * whole
    afresh = await judge.judge(*(chain(steps[:end], finished=False) for end in range(1, len(steps) + 1)))
    for one, other in zip(grown, afresh, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-6)
        assert one.steps == pytest.approx(other.steps, abs=1e-6)
    await judge.close()


@families
async def test_an_empty_chain_is_undecided(family: Family, tmp_path: Path, workers: WorkerPool) -> None:
    judge = Judge(family, tmp_path, workers)
    empty, blank, whole = await judge.judge(Candidate(""), Candidate(" \n\n "), chain(STEPS))
    assert (empty.reason, blank.reason) == ("the candidate is empty",) * 2
    assert whole.status == "ok"
    await judge.close()


@pytest.mark.parametrize("labels", [1, 2])
async def test_an_outcome_is_read_where_the_conversation_is_closed(
    labels: int, tmp_path: Path, workers: WorkerPool
) -> None:
    folder = make_reward_model(tmp_path, "sequence", labels)
    scorer = load_scorer(str(folder))
    resources = Resources(workers, {"p": ScriptedEngine(["ok"])}, "p", None, {"judge": scorer}, "judge")
    verifier = RewardModel(format="orm").build(resources)
    (verdict,) = await verifier.verify(PROBLEM, [chain(STEPS)])
    tokenizer = tokenizer_of(folder)
    turns = [*PROBLEM.messages, {"role": "assistant", "content": chain(STEPS).text}]
    ids = tokenizer.encode(tokenizer.apply_chat_template(turns, tokenize=False))
    model: Any = REWARD_HEADS["sequence"].from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0]
    right = logits.sigmoid()[0] if labels == 1 else logits.softmax(-1)[1]
    assert verdict.score == pytest.approx(right.item(), abs=1e-5)
    with pytest.raises(InvalidRequest, match="leave `steps` out"):
        RewardModel(format="orm", steps=True).build(resources)
    await scorer.close()


def lend(pool: WorkerPool, **fields: Any) -> Resources:
    return Resources(pool, {"policy": ScriptedEngine(["ok"]), "judge": ScriptedEngine(["ok"])}, "policy", **fields)


def test_a_generative_format_asks_the_companion_that_speaks(workers: WorkerPool) -> None:
    assert RewardModel(format="math_shepherd").build(lend(workers, scorer="judge"))
    assert RewardModel(format="math_shepherd", model="judge").build(lend(workers))
    with pytest.raises(InvalidRequest, match=r"say \+ or -, and the companion .* name one \(served: judge, policy\)"):
        RewardModel(format="math_shepherd").build(lend(workers))
    with pytest.raises(UnknownName, match="'jugde'; known: judge, policy"):
        RewardModel(format="rlhflow", model="jugde").build(lend(workers))


def test_the_record_of_a_model_says_its_format(workers: WorkerPool) -> None:
    recorded = lend(workers, scorer="judge", formats={"judge": "rlhflow"})
    assert RewardModel().build(recorded).format.name == "rlhflow"
    assert RewardModel(model="judge").build(recorded).format.name == "rlhflow"
    assert RewardModel(format="math_shepherd").build(recorded).format.name == "math_shepherd"
    with pytest.raises(InvalidRequest, match="no reward model of its own"):
        RewardModel().build(lend(workers, scorer="judge"))


def test_some_architectures_read_one_format_alone() -> None:
    assert format_of("Qwen2ForProcessRewardModel") == "qwen_prm"
    assert format_of("Qwen2ForPrmModel") == "skywork"
    assert format_of("Qwen2ForTokenClassification") is None


def test_a_model_that_cannot_have_been_trained_so_is_refused(workers: WorkerPool) -> None:
    class Rewriting(ScriptedEngine):
        """Its template drops what was said before the last turn."""

    engine = Rewriting(["ok"])
    template = engine.tokenizer.apply_chat_template
    engine.tokenizer.apply_chat_template = lambda messages, **options: template(messages[-1:], **options)  # pyright: ignore[reportAttributeAccessIssue]
    resources = Resources(workers, {"policy": engine}, "policy", scorer="policy")
    with pytest.raises(InvalidRequest, match="rewrites a turn once it is answered"):
        RewardModel(format="rlhflow").build(resources)
    with pytest.raises(InvalidRequest, match="a token '<extra_0>'; to this one it is 9 tokens"):
        FORMATS["qwen_prm"].check(ScriptedEngine(["ok"]).tokenizer)
