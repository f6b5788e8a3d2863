"""Samples of a run on disk: nothing is lost when it is killed, nothing is there twice when it goes on."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deliberate.training.recording.samples import SamplesLog, TrainingSample
from deliberate.training.recording.step_lines import DamagedLine

WRITER = """
import sys
from itertools import count
from pathlib import Path
from deliberate.training.recording.samples import SamplesLog, TrainingSample

log = SamplesLog(Path(sys.argv[1]), resumed_step=int(sys.argv[2]))
for step in count(int(sys.argv[2]) + 1):
    log.add([TrainingSample(step, "p", "c" * 3_000, 1.0, {"accuracy": 1.0}, 0.5) for _ in range(8)])
    print(step, flush=True)
"""


def sample(step: int, completion: str = "4") -> TrainingSample:
    return TrainingSample(step, "2 + 2?", completion, 1.5, {"accuracy": 1.0, "format": None}, -0.25, finished=False)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def write(folder: Path, *samples: TrainingSample, resumed_step: int = 0) -> None:
    log = SamplesLog(folder, resumed_step=resumed_step)
    log.add(samples)
    log.close()


def test_a_line_has_the_fields_that_the_report_reads(tmp_path: Path) -> None:
    write(tmp_path, sample(3))
    rewards = {"accuracy": 1.0, "format": None}
    facts = {"step": 3, "prompt": "2 + 2?", "completion": "4", "reward": 1.5, "rewards": rewards, "advantage": -0.25}
    assert lines(tmp_path) == [{**facts, "finished": False}]


@pytest.mark.parametrize("text", ["a\nb\r\u2028c", "\ud83d alone", "\x00\x1b[31m", "😀 ünï"])
def test_any_text_comes_back(text: str, tmp_path: Path) -> None:
    write(tmp_path, sample(1, text))
    assert [json.loads(line)["completion"] for line in (tmp_path / "samples.jsonl").open("rb")] == [text]


def test_resuming_drops_what_will_be_written_again(tmp_path: Path) -> None:
    write(tmp_path, *(sample(step, str(step)) for step in (1, 1, 2, 3, 3)))
    write(tmp_path, sample(3, "again"), resumed_step=2)
    assert [line["completion"] for line in lines(tmp_path)] == ["1", "1", "2", "again"]


def test_starting_anew_drops_all(tmp_path: Path) -> None:
    write(tmp_path, sample(1), sample(2))
    write(tmp_path, sample(1, "new"))
    assert [line["completion"] for line in lines(tmp_path)] == ["new"]


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_last_line_is_dropped(cut: int, tmp_path: Path) -> None:
    write(tmp_path, sample(1), sample(2, "torn"))
    path = tmp_path / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    write(tmp_path, sample(2, "whole"), resumed_step=2)
    assert [line["completion"] for line in lines(tmp_path)] == ["4", "whole"]


@pytest.mark.parametrize("damage", [b"{not json}", b"\xff\x00", b"[1]", b'{"reward": 1}', b""])
def test_a_damaged_line_is_named_and_nothing_is_dropped(damage: bytes, tmp_path: Path) -> None:
    write(tmp_path, sample(1), sample(2))
    path = tmp_path / "samples.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage + b"\n" + second)
    with pytest.raises(
        DamagedLine, match=r"samples\.jsonl:2 is not .*: take the line out, and the same command goes on"
    ):
        write(tmp_path, sample(3), resumed_step=2)
    assert path.read_bytes() == first + damage + b"\n" + second
    path.write_bytes(first + second)
    write(tmp_path, sample(3), resumed_step=2)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]


def test_a_killed_process_loses_no_step_that_it_had_finished(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(5)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout if line.endswith("\n")]
    with subprocess.Popen([*command, str(told[-1])], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == told[-1] + 1
        process.send_signal(signal.SIGKILL)
    write(tmp_path, resumed_step=told[-1] + 1)
    assert [line["step"] for line in lines(tmp_path)] == [step for step in range(1, told[-1] + 2) for _ in range(8)]
