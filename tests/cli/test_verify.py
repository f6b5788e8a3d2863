"""Files of answers judged, by the library and by a server: what is written, told, resumed and refused."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deliberate.cli.main import app
from deliberate.verifiers.calculator import Calculator

from ..server.support import live
from ..server.test_failing_verifiers import BrokenVerifier

runner = CliRunner()
COMMAND = [sys.executable, "-c", "from deliberate.cli.main import app; app(prog_name='deliberate')"]
QUESTION = [{"role": "user", "content": "What is 1 + 1?"}]
ROWS: list[dict[str, Any]] = [
    {"id": "sums", "messages": QUESTION, "candidates": ["1 + 1 = 2", "1 + 1 = 3", "no sum"], "gold": "2"},
    {"id": 2, "prompt": "What is 1 + 1?", "candidate": "1 + 1 = 2", "gold": "2", "source": "a book"},
    {"prompt": QUESTION, "completion": [{"role": "assistant", "content": "The answer is 3."}], "gold": "2"},
]


def write(folder: Path, *rows: Mapping[str, Any] | str | bytes) -> Path:
    path = folder / "answers.jsonl"
    texts = [json.dumps(row) if isinstance(row, Mapping) else row for row in rows]
    path.write_bytes(b"".join((text.encode() if isinstance(text, str) else text) + b"\n" for text in texts))
    return path


def run(*arguments: str | Path) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, the lines of verdicts, and what people are told, on one line."""
    result = runner.invoke(app, ["verify", *map(str, arguments)], env={"COLUMNS": "300"})
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, lines, one_line(result.stderr)


def one_line(told: str) -> str:
    """Without the line breaks, which depend on how long the paths in it are."""
    return " ".join(told.split())


def scores(lines: list[dict[str, Any]]) -> dict[Any, list[float | None]]:
    return {line["id"]: [verdict["score"] for verdict in line["verdicts"]] for line in lines}


def test_a_file_is_judged_line_by_line(tmp_path: Path) -> None:
    status, lines, told = run(write(tmp_path, *ROWS), "--verifier", "calculator")
    assert status == 0
    assert scores(lines) == {"sums": [1.0, 0.0, None], 2: [1.0], 3: [None]}
    assert [verdict["index"] for verdict in lines[0]["verdicts"]] == list(range(len(lines[0]["verdicts"])))
    assert "Pass rate │ 66.7% (2 of 3)" in told
    assert "Problems with a pass │ 66.7% (2)" in told
    assert "Mean score │ 0.667" in told
    assert "Undecided │ 2" in told
    assert "2 x unavailable: no equation to check" in told
    assert "verdicts/s" in told


def test_a_server_says_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, *ROWS)
    _, here, _ = run(path, "--verifier", "calculator", "--concurrency", "1")
    with live() as server:
        status, there, _ = run(path, "--verifier", "calculator", "--server", f"{server.url}/v1", "--concurrency", "1")
        assert status == 0
        assert there == here
        status, _, told = run(
            path, "--verifier", "calculator", "--server", f"{server.url}/v1", "--model", "huge", "--concurrency", "1"
        )
        assert status == 2
        assert "answers.jsonl:1: the server says: Unknown model 'huge'; known: tiny" in told
    status, lines, told = run(path, "--verifier", "calculator", "--server", f"{server.url}/v1")
    assert (status, lines) == (2, [])
    assert "No answer from" in told
    assert "deliberate serve" in told


def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    rows = [{"prompt": "?", "candidates": ["1 + 1 = 2", "1 + 1 = 3"]} for _ in range(12)]
    with live(queue_limit=2, retry_after_seconds=1) as server:
        path = write(tmp_path, *rows)
        status, lines, _ = run(path, "--verifier", "calculator", "--server", f"{server.url}/v1", "--concurrency", "3")
    assert status == 0
    assert scores(lines) == {number: [1.0, 0.0] for number in range(1, 13)}


@pytest.mark.parametrize(
    ("verifier", "fill"),
    [
        ("reference", "answer=gold"),
        ('{"kind": "reference"}', "answer=gold"),
        ('[{"kind": "reference"}]', "0.answer=gold"),
    ],
)
def test_options_come_from_the_lines(tmp_path: Path, verifier: str, fill: str) -> None:
    status, lines, _ = run(write(tmp_path, *ROWS), "--verifier", verifier, "--fill", fill)
    assert status == 0
    assert scores(lines) == {"sums": [1.0, 0.0, 0.0], 2: [1.0], 3: [0.0]}


def test_each_line_may_name_its_own_verifier(tmp_path: Path) -> None:
    own = {"id": "own", "prompt": "?", "candidate": "{}", "verifier": "json"}
    _, lines, _ = run(write(tmp_path, own, ROWS[1]), "--verifier", "calculator")
    assert {line["id"]: line["verdicts"][0]["reason"] for line in lines}["own"] == "valid"


BAD: dict[str, tuple[Mapping[str, Any] | str | bytes, list[str]]] = {
    "not JSON": ('{"id": 1,', ["is not JSON", "one object on each line"]),
    "a list": ("[1, 2]", ["not a JSON object but '[1, 2]'"]),
    "bottomless": ("[" * 100_000, ["is not JSON"]),
    "Latin-1": (b'{"prompt": "caf\xe9"}', ["is not UTF-8", "0xe9 at 16", "iconv"]),
    "no question": ({"candidate": "x"}, ["what was asked", "messages", "prompt"]),
    "no answer": ({"prompt": "x"}, ["no answer", "candidates", "completion"]),
    "no candidates": ({"prompt": "x", "candidates": []}, ["candidates", "at least 1 item"]),
    "a wrong answer": ({"prompt": "x", "candidates": [4]}, ["candidates[0]", "valid string", "got 4"]),
    "a wrong message": ({"messages": [{"role": "robot"}], "candidate": "x"}, ["messages[0].role", "'robot'"]),
    "a wrong verifier": (
        {"prompt": "x", "candidate": "x", "verifier": {"kind": "reference", "answer": ""}},
        ["verifier.answer", "at least 1 character"],
    ),
    "an unknown verifier": ({"prompt": "x", "candidate": "x", "verifier": "oracle"}, ["'oracle'", "'calculator'"]),
    "an id twice": (ROWS[0], ["has the id 'sums' of line 1"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lines_are_named_before_anything_is_judged(tmp_path: Path, case: str) -> None:
    line, expected = BAD[case]
    output = tmp_path / "verdicts.jsonl"
    path = write(tmp_path, ROWS[0], line, ROWS[1])
    status, _, told = run(path, "--verifier", "calculator", "--output", output)
    assert status == 2
    assert f"{path}:2 " in told
    for text in expected:
        assert text in told
    assert not output.exists()
    status, _, told = run(path, "--verifier", "calculator", "--output", output, "--skip-bad-lines")
    assert status == 0
    assert f"{path}:2 " in told
    assert len(output.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--verifier", "oracle"], ["'oracle'", "known: "]),
        (["--verifier", '{"kind": '], ["not valid JSON"]),
        ([], ["answers.jsonl:1 names no verifier", "--verifier"]),
        (["--verifier", "reference", "--fill", "answer"], ["OPTION=FIELD"]),
        (["--fill", "answer=gold"], ["--verifier, which is missing"]),
        (["--verifier", "reference", "--fill", "answer=golden"], ["'golden'", "Did you mean 'gold'?"]),
        (["--verifier", "reference", "--fill", "answer.0.x=gold"], ["verifier.answer"]),
        (["--verifier", "[]", "--fill", "0.answer=gold"], ["'0' leads nowhere"]),
        (["--verifier", "likelihood"], ["answers.jsonl:1", "--model", "--verifier-model"]),
        (["--verifier", "likelihood", "--model", "./nowhere/at/all"], ["./nowhere/at/all"]),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, arguments: list[str], expected: list[str]) -> None:
    status, lines, told = run(write(tmp_path, *ROWS), *arguments)
    assert (status, lines) == (2, [])
    for text in expected:
        assert text in told


def test_empty_files_and_missing_ones(tmp_path: Path) -> None:
    status, _, told = run(write(tmp_path, "", " "), "--verifier", "json")
    assert (status, "holds no problem" in told) == (2, True)
    assert run(tmp_path / "none.jsonl", "--verifier", "json")[0] == 2


def test_a_run_that_broke_off_goes_on_where_it_ended(tmp_path: Path) -> None:
    path, output = write(tmp_path, *ROWS), tmp_path / "verdicts.jsonl"
    arguments = (path, "--verifier", "reference", "--fill", "answer=gold", "-o", output)
    assert run(*arguments)[0] == 0
    whole = output.read_text()
    first, *others = whole.splitlines(keepends=True)
    output.write_text(first + "".join(others)[:20])
    status, _, told = run(*arguments)
    assert status == 0
    assert "holds 1 of 3 problems already" in told
    assert "Pass rate │ 40.0% (2 of 5)" in told, "what was there counts too"
    assert sorted(output.read_text().splitlines()) == sorted(whole.splitlines())
    status, _, told = run(*arguments)
    assert (status, "nothing was left to do" in told) == (0, True)
    assert sorted(output.read_text().splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_leaves_nothing_that_cannot_be_gone_on_with(tmp_path: Path, sent: signal.Signals) -> None:
    rows = [{"id": number, "prompt": "?", "candidate": "1 + 1 = 2"} for number in range(3_000)]
    path, output = write(tmp_path, *rows), tmp_path / "verdicts.jsonl"
    arguments = ["verify", str(path), "--verifier", "calculator", "-o", str(output)]
    told = tmp_path / "told.txt"
    with told.open("wb") as file:
        # What a shell runs in the background ignores interrupts, and so would its children.
        process = subprocess.Popen(
            [*COMMAND, *arguments], stderr=file, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        )
    deadline = time.monotonic() + 60
    while not (output.exists() and output.stat().st_size > 10_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(sent)
    status = process.wait()
    before = output.read_bytes().count(b"\n")
    if sent is signal.SIGINT:
        assert status == 130
        assert f"Stopped. The same command goes on with the other {len(rows) - before}." in one_line(told.read_text())
    assert 0 < before < len(rows)
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, check=True, text=True)
    assert f"holds {before} of 3000" in one_line(done.stderr)
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == list(range(3_000))


def test_a_file_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    path, output = write(tmp_path, *ROWS), tmp_path / "verdicts.jsonl"
    for content, expected in (
        ("my notes\n", "verdicts.jsonl:1 is no line of verdicts"),
        ('{"id": "other", "verdicts": []}\n', "'other', which the input does not have"),
    ):
        output.write_text(content)
        status, _, told = run(path, "--verifier", "calculator", "-o", output)
        assert status == 2
        assert expected in told
        assert output.read_text() == content


@pytest.mark.parametrize(("bar", "status"), [("0.4", 0), ("0.41", 1)])
def test_exit_status_for_ci(tmp_path: Path, bar: str, status: int) -> None:
    # 2 of 5 answers pass, two cannot be decided and do not count as passed.
    assert run(write(tmp_path, *ROWS), "--verifier", "calculator", "--fail-under", bar)[0] == status


def test_a_verifier_that_breaks_passes_no_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Calculator, "build", lambda *_: BrokenVerifier("crash"))
    status, lines, told = run(write(tmp_path, *ROWS), "--verifier", "calculator", "--fail-under", "0.01")
    assert status == 1
    assert {score for line in scores(lines).values() for score in line} == {None}
    assert "5 x unavailable: calculator crashed: KeyError" in told


def test_a_model_is_loaded_where_a_verifier_asks_one(tmp_path: Path) -> None:
    row = {"prompt": "What is 1 + 1?", "candidates": ["2", "zzzz"]}
    for option in ("--model", "--verifier-model"):
        status, lines, _ = run(write(tmp_path, row), "--verifier", "likelihood", option, "tiny-verifier")
        assert status == 0
        first, second = lines[0]["verdicts"]
        assert first["score"] > second["score"] > 0


def test_standard_input(tmp_path: Path) -> None:
    text = "\n".join(map(json.dumps, ROWS))
    result = runner.invoke(app, ["verify", "-", "--verifier", "calculator"], input=text)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
