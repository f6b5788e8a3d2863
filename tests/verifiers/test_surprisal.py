"""What is read from how surprised a language model is."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from deliberate.engines.errors import InvalidRequest
from deliberate.engines.scripted import END_OF_SEQUENCE, ScriptedEngine
from deliberate.models import bundled
from deliberate.server.loading import load_companion
from deliberate.server.serving import Scorer
from deliberate.verifiers.likelihood import Likelihood
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.surprisal import FILE_NAME, SurprisalReader, find_reader
from deliberate.verifiers.workers import WorkerPool

PROMPT = tuple(b"Q: ")
CHAINS = ((-0.1, -3.0, -0.2), (-0.01,), (-20.0, -math.inf, 0.0, -1.0))


class Falling:
    """Log-odds that begin at 1 and fall by a token's surprisal."""

    def __init__(self) -> None:
        self.asked = list[list[int]]()

    def read(self, logprobs: Sequence[Sequence[float]]) -> list[list[float]]:
        self.asked.append([len(row) for row in logprobs])
        return [[1.0 + sum(row[: place + 1]) for place in range(len(row))] for row in logprobs]


class Digits(ScriptedEngine):
    """Gives digits -2 nats, everything else none."""

    async def score(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> list[tuple[float, ...]]:
        return [
            tuple(-2.0 if chr(token).isdigit() else 0.0 for token in sequence[start:])
            for sequence, start in zip(sequences, starts, strict=True)
        ]


def reader(seed: int = 0) -> SurprisalReader:
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    return SurprisalReader().eval()


def lend(pool: WorkerPool, read: Falling | None = None) -> Resources:
    engines = {"tiny": Digits(["ok"]), "judge": Digits(["ok"])}
    readers = {} if read is None else {"judge": read}
    return Resources(pool, engines, policy="tiny", scorer="judge", step_separator="\n", readers=readers)


def sampled(text: str, end: bool = True, earlier: Verdict | None = None) -> Candidate:
    return Candidate(text, (*text.encode(), *([END_OF_SEQUENCE] if end else [])), finished=end, earlier=earlier)


async def judge(resources: Resources, *candidates: Candidate, **options: Any) -> list[Verdict]:
    verifier = Likelihood.model_validate(options).build(resources)
    return await verifier.verify(Problem(({"role": "user", "content": "Q"},), PROMPT), candidates)


def test_what_it_says_of_a_token_depends_on_that_and_those_before_alone() -> None:
    said = reader().read(CHAINS)
    assert [len(row) for row in said] == [3, 1, 4]
    for chain, row in zip(CHAINS, said, strict=True):
        for place in range(len(chain)):
            assert reader().read([chain[: place + 1]])[0] == pytest.approx(row[: place + 1], abs=1e-5)
    assert all(map(math.isfinite, said[2])), "what is impossible is very unlikely"


def test_it_is_kept_beside_the_model_exactly(tmp_path: Path) -> None:
    reader(1).save(tmp_path)
    found = find_reader(str(tmp_path))
    assert found is not None
    assert found.read(CHAINS) == reader(1).read(CHAINS) != reader(2).read(CHAINS)
    assert find_reader(str(tmp_path / "elsewhere")) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"score.bias": "x"}', "null"])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(InvalidRequest, match=rf"{FILE_NAME} holds no reader"):
        find_reader(str(tmp_path))


async def test_a_companion_that_was_trained_so_judges_so(workers: WorkerPool) -> None:
    read = Falling()
    good, bad = await judge(lend(workers, read), sampled("a\nb\n"), sampled("a\n1\nb"))
    assert good.score == pytest.approx(1 / (1 + math.exp(-1.0)))
    assert bad.score == pytest.approx(1 / (1 + math.exp(1.0)))
    assert bad.steps == pytest.approx([good.score, bad.score, bad.score])
    assert bad.reason == "learned, log-odds -1"
    assert read.asked == [[5, 6]], "one call for all"
    (named,) = await judge(lend(workers, read), sampled("a\n1\nb"), aggregate="learned", model="judge")
    assert named == bad


async def test_a_rule_may_be_asked_for_all_the_same(workers: WorkerPool) -> None:
    (ruled,) = await judge(lend(workers, Falling()), sampled("a1"), aggregate="sum")
    (ratio,) = await judge(lend(workers, Falling()), sampled("a1"), ratio=True)
    assert (ruled.score, ratio.score) == (pytest.approx(math.exp(-2.0)), 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": True}, "no ratios: leave out `ratio`"),
        ({"model": "policy"}, r"Nothing was trained to read what the model 'tiny' says \(models with it: judge\)"),
    ],
)
async def test_what_was_not_learned_cannot_be_asked_for(
    workers: WorkerPool, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        await judge(lend(workers, Falling()), sampled("a"), aggregate="learned", **options)
    assert caught.value.param == "verifier.aggregate"


async def test_a_chain_that_grew_is_judged_as_if_it_had_been_whole(workers: WorkerPool) -> None:
    resources = lend(workers, Falling())
    (begun,) = await judge(resources, sampled("a\n1", end=False))
    (grown,) = await judge(resources, sampled("a\n1\nb2", earlier=begun))
    (whole,) = await judge(resources, sampled("a\n1\nb2"))
    assert grown == whole
    assert grown.steps[:2] == pytest.approx(begun.steps)


async def test_chains_without_scores_take_no_others_along(workers: WorkerPool) -> None:
    good, empty = await judge(lend(workers, Falling()), sampled("a"), sampled("", end=False))
    assert (good.status, empty.status) == ("ok", "unavailable")


async def test_a_model_folder_brings_its_own(tmp_path: Path) -> None:
    """The file in the folder is all that a server needs."""
    for file in bundled("tiny-verifier").iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / FILE_NAME).write_text(json.dumps({n: v.tolist() for n, v in reader().state_dict().items()}))
    companion = load_companion(str(tmp_path))
    assert isinstance(companion, Scorer) and companion.reader is not None
    await companion.engine.close()
    assert companion.reader.read(CHAINS) == reader().read(CHAINS)
    plain = load_companion(str(bundled("tiny-verifier")))
    assert isinstance(plain, Scorer) and plain.reader is None
    await plain.engine.close()
