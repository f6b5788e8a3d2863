"""The stage `rollouts`, as files and processes show it."""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deliberate.engines.errors import DeliberateError, InvalidRequest, UpstreamFailed
from deliberate.engines.scripted import ByteTokenizer
from deliberate.models import bundled
from deliberate.training.artifact import Artifact
from deliberate.training.datasets import DatasetConfig, RolloutRow, read_dataset
from deliberate.training.recording.metrics import Report
from deliberate.training.run_folder import OtherRun
from deliberate.training.stages.rollouts import RolloutsConfig, run
from tests.engines.openai.fake_upstream import FakeUpstream, Fault
from tests.training.stages.upstreams import (
    Calculating,
    calculating,
    ended,
    read_lines,
    started,
    sums,
    whole_lines,
    write_lines,
)

MakeConfig = Callable[..., RolloutsConfig]


@pytest.fixture
def server() -> Iterator[tuple[str, Calculating]]:
    with calculating() as found:
        yield found


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeUpstream]]:
    """Starts vendors' servers, which misbehave as they are told."""
    monkeypatch.setattr("deliberate.engines.openai.retry._FIRST_SECONDS", 0.01)
    started: list[FakeUpstream] = []

    def start(**fields: Any) -> FakeUpstream:
        chunks = [{"reasoning_content": "0 + 0 = 0"}, {"content": "<answer>0</answer>"}]
        told: dict[str, Any] = {"owner": "vendor", "chunks": chunks, **fields}
        started.append(FakeUpstream(ByteTokenizer(), "", **told).start())
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def config(tmp_path: Path) -> MakeConfig:
    """Of problems in a file, with other fields."""

    def make(url: str, *rows: Mapping[str, Any] | bytes, **fields: Any) -> RolloutsConfig:
        source = write_lines(tmp_path / "problems.jsonl", *(rows or sums(6)))
        return RolloutsConfig.model_validate(
            {
                "name": "sums",
                "output_dir": tmp_path / "out",
                "engine": {"base_url": url},
                "datasets": [{"format": "trl", "source": str(source)}],
                "num_generations": 4,
                "retry_seconds": 0.01,
                "logging_steps": 2,
            }
            | fields
        )

    return make


def rows_of(folder: Path) -> tuple[RolloutRow, ...]:
    return read_dataset(DatasetConfig(format="rollouts", source=str(folder / "data.jsonl"))).of(RolloutRow)


def test_every_problem_is_sampled_and_scored(
    server: tuple[str, Calculating], config: MakeConfig, tmp_path: Path
) -> None:
    url, engine = server
    reports: list[Report] = []
    artifact = run(config(url, system_prompt="Add."), reports.append)
    rows = rows_of(tmp_path / "out")
    assert [row.id for row in rows] == [f"sum-{i}" for i in range(6)]
    assert rows[3].prompt == ({"role": "system", "content": "Add."}, {"role": "user", "content": "What is 3 + 3?"})
    for row in rows:
        assert len(row.samples) == 4
        for sample in row.samples:
            assert sample.score == float(f"<answer>{row.answer}</answer>" in sample.text)
            assert sample.finished
            assert sample.token_ids is not None, "this server tells token ids"
            assert bytes(sample.token_ids[:-1]).decode() == sample.text
            assert sample.logprobs == (-0.1,) * len(sample.token_ids)
    scores = [sample.score or 0.0 for row in rows for sample in row.samples]
    assert 0 < sum(scores) < 24
    assert artifact.metrics["reward"] == round(sum(scores) / 24, 6)
    assert artifact.metrics["completions"] == 24
    assert artifact.metrics["completion_tokens"] == sum(
        len(sample.token_ids or ()) for row in rows for sample in row.samples
    )
    assert [report.step for report in reports] == [2, 4, 6]
    assert reports[-1].max_steps == 6
    assert {line["step"] for line in read_lines(tmp_path / "out" / "metrics.jsonl")} == {2, 4, 6}
    asked = len(engine.calls)
    assert run(config(url, system_prompt="Add.")) == artifact, "what had finished is there at once"
    assert len(engine.calls) == asked


@pytest.mark.timeout(300)
def test_a_task_and_a_model_in_this_process(tmp_path: Path) -> None:
    fields = {
        "name": "tiny-rollouts",
        "engine": {"model": "tiny"},
        "task": {"name": "word_problems", "count": 3, "difficulty": [2], "seed": 5},
        "num_generations": 4,
        "max_completion_length": 24,
        "verifier": [{"kind": "reference", "weight": 3}, {"kind": "format"}],
        "fill": {"0.answer": "answer"},
    }
    artifact = run(RolloutsConfig.model_validate(fields | {"output_dir": tmp_path / "out"}))
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 3
    samples = [sample for row in rows for sample in row.samples]
    assert all(sample.token_ids and sample.logprobs and max(sample.logprobs) <= 0 for sample in samples)
    cut = [sample for sample in samples if not sample.finished]
    assert cut
    assert all(len(sample.token_ids or ()) == 24 for sample in cut)
    assert {sample.score for sample in samples} <= {0.0, 0.25, 0.75, 1.0}
    assert artifact.task == "word_problems"
    assert artifact.parents == {"tiny": Artifact.load(bundled("tiny")).weights_hash}
    assert list((tmp_path / "out").glob("events.out.tfevents.*"))
    elsewhere = {"output_dir": tmp_path / "again", "concurrency": 4, "engine": {"model": str(bundled("tiny"))}}
    again = run(RolloutsConfig.model_validate(fields | elsewhere))
    assert again.data_hash == artifact.data_hash, "how much is in flight changes nothing"
    assert again.config == artifact.config, "nor does where the model lies"


@pytest.mark.timeout(400)
def test_kill_9_at_random_moments_changes_nothing(tmp_path: Path) -> None:
    """The same command goes on, and asks for little more than it would have at once."""
    rows, chance = 30, random.Random()
    source = write_lines(tmp_path / "problems.jsonl", *sums(rows))
    with calculating(seconds_per_token=0.01, brief=True) as (url, engine):
        fields: dict[str, Any] = {
            "name": "sums",
            "engine": {"base_url": url, "kind": "chat"},
            "datasets": [{"format": "trl", "source": str(source)}],
            "num_generations": 2,
            "concurrency": 8,
            "verifier": "calculator",
        }
        whole = run(RolloutsConfig.model_validate(fields | {"output_dir": tmp_path / "whole"}))
        assert len(engine.calls) == 2 * rows
        data, kills = tmp_path / "killed" / "data.jsonl", 0
        while kills < 3:
            before = whole_lines([data])
            process = started("rollouts", fields | {"output_dir": tmp_path / "killed"}, tmp_path)
            while whole_lines([data]) == before:
                assert process.poll() is None
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
            process.communicate()
            kills += 1
            assert not (tmp_path / "killed" / "deliberate.json").exists()
        data.open("ab").write(b'{"id": "sum-29", "mess')  # As a machine that loses power leaves it.
        ended(started("rollouts", fields | {"output_dir": tmp_path / "killed"}, tmp_path))
        in_flight = 2 * 4
        assert len(engine.calls) <= 4 * rows + kills * 2 * in_flight
    killed = Artifact.load(tmp_path / "killed")
    assert data.read_bytes() == (tmp_path / "whole" / "data.jsonl").read_bytes()
    assert _timeless(killed) == _timeless(whole)
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    assert left == {"data.jsonl", "deliberate.json", "metrics.jsonl"}


def _timeless(artifact: Artifact) -> dict[str, Any]:
    fields = artifact.model_dump(exclude={"command"})
    del fields["metrics"]["seconds"]
    return fields


@pytest.mark.timeout(400)
def test_a_killed_run_of_a_model_in_this_process_goes_on(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "name": "tiny-rollouts",
        "engine": {"model": "tiny"},
        "task": {"name": "word_problems", "count": 20},
        "num_generations": 4,
        "concurrency": 8,
        "max_completion_length": 32,
        "verifier": "calculator",
    }
    data = tmp_path / "killed" / "data.jsonl"
    process = started("rollouts", fields | {"output_dir": tmp_path / "killed"}, tmp_path)
    while whole_lines([data]) < 4:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert not (tmp_path / "killed" / "deliberate.json").exists()
    killed = run(RolloutsConfig.model_validate(fields | {"output_dir": tmp_path / "killed"}))
    whole = run(RolloutsConfig.model_validate(fields | {"output_dir": tmp_path / "whole"}))
    assert data.read_bytes() == (tmp_path / "whole" / "data.jsonl").read_bytes()
    assert _timeless(killed) == _timeless(whole)


def test_the_folder_of_another_run_is_left_alone(
    server: tuple[str, Calculating], config: MakeConfig, tmp_path: Path
) -> None:
    url, _ = server
    with pytest.raises(OtherRun, match="another config"):
        run(config(url))
        run(config(url, num_generations=2))
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "data.jsonl").write_text("mine")
    with pytest.raises(OtherRun, match=r"holds a data\.jsonl of no run that is known"):
        run(config(url))
    assert (tmp_path / "out" / "data.jsonl").read_text() == "mine"


def test_an_unfinished_run_goes_on_with_its_own_configuration_alone(
    server: tuple[str, Calculating], config: MakeConfig, tmp_path: Path
) -> None:
    url, _ = server
    done = run(config(url))
    _reopen(tmp_path / "out", done)
    with pytest.raises(OtherRun, match=r"another temperature and num_generations; go on with that configuration"):
        run(config(url, num_generations=2, temperature=0.5))
    assert run(config(url, concurrency=1, skip_refused=True)).data_hash == done.data_hash


def test_data_that_changed_is_told(server: tuple[str, Calculating], config: MakeConfig, tmp_path: Path) -> None:
    url, _ = server
    done = run(config(url))
    with pytest.raises(OtherRun, match="another parents"):
        run(config(url, *sums(7)))
    _reopen(tmp_path / "out", done)
    lines = (tmp_path / "out" / "data.jsonl").read_bytes().splitlines(keepends=True)
    for changed, told in (
        (lines[0].replace(b"0 + 0", b"0 + 1"), "asks something else than the problem 'sum-0'"),
        (lines[0].replace(b"sum-0", b"sum-x"), "is of the problem 'sum-x', which the data does not have"),
        (b"{}\n", "has no 'id'"),
        (b"\xff\n", "is not UTF-8"),
    ):
        (tmp_path / "out" / "data.jsonl").write_bytes(lines[1] + changed)
        with pytest.raises(InvalidRequest, match=rf"data\.jsonl:2 .*{told}") as error:
            run(config(url))
        assert "choose another output_dir" in str(error.value)


def _reopen(folder: Path, done: Artifact) -> None:
    """As the folder was a moment before the artifact was written."""
    (folder / "deliberate.json").unlink()
    marker = {"stage": done.stage, "config": done.config, "parents": done.parents}
    (folder / "unfinished.json").write_text(json.dumps(marker))


SUM = {"id": 1, "prompt": "What is 1 + 1?", "answer": "2"}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([SUM, {"id": 2, "answer": "4"}], "problems.jsonl:2 is of no format of TRL"),
        ([SUM, {"id": 2, "prompt": "  ", "answer": "4"}], "problems.jsonl:2 has an empty 'prompt'"),
        ([SUM, {"id": 2, "prompt": "?", "answer": ""}], "problems.jsonl:2 has an empty 'answer'"),
        ([SUM, SUM], r"problems.jsonl:2 has the id '1' of .*problems.jsonl:1"),
        ([SUM, '{"prompt": "é", "answer": "4"}\n'.encode("latin1")], "problems.jsonl:2 is not UTF-8"),
        ([SUM, b"{\n"], "problems.jsonl:2 is not JSON"),
        ([SUM, {"id": 2, "prompt": "?"}], "problems.jsonl:2: the row has no answer and no verifier"),
        ([SUM, {"id": 2, "prompt": "?", "verifier": "likelihood"}], "problems.jsonl:2: .*cannot score given tokens"),
        ([SUM, {"id": 2, "prompt": "?", "verifier": {"kind": "refer"}}], "problems.jsonl:2 has a 'verifier'"),
    ],
)
def test_wrong_data_are_told_before_anything_is_written(
    server: tuple[str, Calculating], config: MakeConfig, tmp_path: Path, lines: list[Any], told: str
) -> None:
    url, engine = server
    with pytest.raises(InvalidRequest, match=told) as error:
        run(config(url, *lines, engine={"base_url": url, "kind": "chat"}))
    assert "othing was written" in str(error.value)
    assert not (tmp_path / "out").exists()
    assert not engine.calls


def test_a_verifier_of_the_configuration_is_filled_from_rows(
    server: tuple[str, Calculating], config: MakeConfig, tmp_path: Path
) -> None:
    url, _ = server
    with pytest.raises(InvalidRequest, match=r"problems\.jsonl:1: Unknown field 'gold'"):
        run(config(url, verifier="reference", fill={"answer": "gold"}))
    run(config(url, *[{"prompt": "What is 1 + 1?"}], verifier="none"))
    (row,) = rows_of(tmp_path / "out")
    assert [sample.score for sample in row.samples] == [None] * 4


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"datasets": []}, "give a task, or datasets"),
        ({"datasets": [], "task": {"name": "word_problems", "count": 0}}, "greater than 0"),
        ({"num_generations": 0}, "greater than 0"),
        ({"temprature": 1}, "Extra inputs"),
    ],
)
def test_a_configuration_that_cannot_be(config: MakeConfig, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        config("http://127.0.0.1:9", **fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"engine": {"model": "./none"}}, r"There is no model folder '\./none'"),
        ({"engine": {}}, r"No model is named: give `model` \(bundled: tiny"),
        ({"engine": {"base_url": "http://127.0.0.1:9", "api_key_env": "NO_SUCH_KEY"}}, "export NO_SUCH_KEY="),
        ({"engine": {"base_url": "http://127.0.0.1:9"}}, "cannot be reached"),
        ({"datasets": [], "task": {"name": "no_task", "count": 1}}, "unknown task 'no_task'"),
        ({"datasets": [], "task": {"name": "word_problems", "count": 1, "difficulty": [99]}}, "difficulty"),
    ],
)
def test_a_model_or_task_that_cannot_be_had(
    config: MakeConfig, tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(DeliberateError, match=told):
        run(config("http://127.0.0.1:9", **fields))
    assert not (tmp_path / "out").exists()


def test_a_vendors_reasoning_stands_in_the_text(
    upstream: Callable[..., FakeUpstream], config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = upstream()
    monkeypatch.setenv("VENDOR_KEY", "secret")
    artifact = run(config(vendor.url, *sums(1), engine={"base_url": vendor.url, "api_key_env": "VENDOR_KEY"}))
    (row,) = rows_of(tmp_path / "out")
    assert {sample.text for sample in row.samples} == {"<think>0 + 0 = 0</think><answer>0</answer>"}
    assert all(sample.score == 1 and sample.token_ids is None for sample in row.samples)
    assert artifact.metrics["prompt_tokens"] == 4 * 7
    assert artifact.metrics["completion_tokens"] == 4 * 6
    assert {asked.headers["authorization"] for asked in vendor.asked} == {"Bearer secret"}
    assert len({asked.body["seed"] for asked in vendor.asked}) == 4
    assert "secret" not in (tmp_path / "out" / "deliberate.json").read_text()


def test_a_busy_vendor_is_asked_again(
    upstream: Callable[..., FakeUpstream], config: MakeConfig, tmp_path: Path
) -> None:
    """429 and 500 for longer than the engine itself has patience, and answers that are cut."""
    faults = [Fault(status=429, headers={"retry-after": "0"}), Fault(status=500), Fault(after=1, then="drop")]
    vendor = upstream(faults=faults * 10)
    artifact = run(config(vendor.url, *sums(1)))
    assert not vendor.faults
    assert artifact.metrics["lost"] == 0
    (row,) = rows_of(tmp_path / "out")
    assert {sample.text for sample in row.samples} == {"<think>0 + 0 = 0</think><answer>0</answer>"}
    assert len(row.samples) == 4
    assert artifact.metrics["refused"] == 0


def test_completions_that_stay_lost_are_counted(
    upstream: Callable[..., FakeUpstream], config: MakeConfig, tmp_path: Path
) -> None:
    unlucky: set[int] = set()

    def broken(body: Mapping[str, Any]) -> Fault | None:
        unlucky.update([body["seed"]] if not unlucky else [])
        return Fault(status=500) if body["seed"] in unlucky else None

    artifact = run(config(upstream(fault_of=broken).url, *sums(1), max_retries=1))
    (row,) = rows_of(tmp_path / "out")
    assert len(row.samples) == 3
    assert artifact.metrics["lost"] == 1


def test_a_vendor_that_is_gone_stops_the_run_which_then_goes_on(
    upstream: Callable[..., FakeUpstream], config: MakeConfig, tmp_path: Path
) -> None:
    def broken(body: Mapping[str, Any]) -> Fault | None:
        return Fault(status=503) if "4 + 4" in str(body["messages"]) else None

    vendor = upstream(fault_of=broken)
    with pytest.raises(UpstreamFailed, match="answered 503"):
        run(config(vendor.url, concurrency=1, num_generations=1, max_retries=1))
    assert [line["id"] for line in read_lines(tmp_path / "out" / "data.jsonl")][:3] == ["sum-0", "sum-1", "sum-2"]
    vendor.fault_of = lambda body: None
    before = len(vendor.asked)
    artifact = run(config(vendor.url, concurrency=1, num_generations=1, max_retries=1))
    assert artifact.metrics["problems"] == 6
    assert len(vendor.asked) - before <= 2


def test_a_problem_that_the_engine_refuses(
    upstream: Callable[..., FakeUpstream], config: MakeConfig, tmp_path: Path
) -> None:
    refusal = Fault(status=400, body=json.dumps({"error": {"message": "flagged"}}).encode())

    def moody(body: Mapping[str, Any]) -> Fault | None:
        return refusal if "2 + 2" in str(body["messages"]) else None

    vendor = upstream(fault_of=moody)
    with pytest.raises(InvalidRequest, match=r"problems\.jsonl:3: .*flagged.* set skip_refused"):
        run(config(vendor.url))
    artifact = run(config(vendor.url, skip_refused=True))
    assert artifact.metrics["refused"] == 1
    assert [row.id for row in rows_of(tmp_path / "out")] == ["sum-0", "sum-1", "sum-3", "sum-4", "sum-5"]
    (refused,) = read_lines(tmp_path / "out" / "refused.jsonl")
    assert refused["id"] == "sum-2"
    assert "flagged" in refused["reason"]


def test_a_vendor_that_refuses_everything(
    upstream: Callable[..., FakeUpstream], config: MakeConfig, tmp_path: Path
) -> None:
    vendor = upstream(finish_reason="content_filter")
    with pytest.raises(InvalidRequest, match=r"refused all 6 problems: .*content filter"):
        run(config(vendor.url, skip_refused=True, max_retries=0))
    assert not (tmp_path / "out" / "deliberate.json").exists()
