"""`deliberate ask` against a running server, and by itself."""

import json

import pytest
from typer.testing import CliRunner

from deliberate.cli.main import app

from ..server.support import live

runner = CliRunner()


def ask(*arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error; of a wide terminal."""
    result = runner.invoke(app, ["ask", *arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_candidates_and_choice_are_shown() -> None:
    with live() as server:
        code, out, err = ask("1 + 1?", "--strategy", "best-of-4", "--base-url", f"{server.url}/v1", "--seed", "3")
    assert code == 0
    assert out == "<answer>2</answer>\n"
    assert "Sampled 4 of 4: 2 (2 votes)" in err
    assert "best_of_n, seed 3" in err
    assert "Scored 4 candidates with calculator" in err
    chosen = [line for line in err.splitlines() if "→" in line]
    assert len(chosen) == 1
    assert [cell.strip() for cell in chosen[0].split("│")[1:-1]] == ["→", "1", "2", "1", "43", "finished"]


def test_options_reach_the_server() -> None:
    with live() as server:
        options = ["--temperature", "0.9", "--max-tokens", "5", "--strategy", "vote-2"]
        ask("Why?", "--base-url", f"{server.url}/v1", *options)
        (call,) = server.engine.calls
    assert (call.n, call.sampling.temperature, call.sampling.max_tokens) == (2, 0.9, 5)
    assert bytes(call.prompt_ids).decode() == "user: Why?\nassistant: "


def test_prompts_reach_the_server() -> None:
    with live() as server:
        example = {"question": "2 + 2?", "answer": "4"}
        prompts = ["--prompt", "zero_shot_cot", "--prompt", json.dumps({"kind": "few_shot", "examples": [example]})]
        ask("Why?", "--base-url", f"{server.url}/v1", "--strategy", "none", *prompts)
        (call,) = server.engine.calls
    text = "user: 2 + 2?\nassistant: 4\nuser: Why?\n\nLet's think step by step.\nassistant: "
    assert bytes(call.prompt_ids).decode() == text


def test_json() -> None:
    with live() as server:
        config = '{"kind": "majority_vote", "n": 4}'
        code, out, _ = ask("1 + 1?", "--strategy", config, "--base-url", f"{server.url}/v1", "--json")
    assert code == 0
    report = json.loads(out)
    assert report["content"] == "<answer>2</answer>"
    assert len(report["deliberation"]["candidates"]) == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--strategy", "bestof-4"], "Unknown strategy 'bestof'"),
        (["--strategy", '{"kind": '], "not valid JSON"),
        (["--prompt", "zero_shot"], "Unknown prompt transform 'zero_shot'"),
        (["--prompt", '{"kind": '], "--prompt is not valid JSON"),
        (["--model", "huge"], "Unknown model 'huge'"),
        (["--temperature", "7"], "less than or equal to 2"),
    ],
)
def test_refusals_are_told_plainly(arguments: list[str], expected: str) -> None:
    with live() as server:
        code, out, err = ask("Why?", "--base-url", f"{server.url}/v1", *arguments)
        assert server.engine.calls == []
    assert code == 2
    assert out == ""
    assert expected in err
    assert "Traceback" not in err


def test_nothing_answers() -> None:
    code, _, err = ask("Why?", "--base-url", "http://127.0.0.1:1/v1")
    assert code == 2
    assert "deliberate serve" in err


def test_without_a_server_the_bundled_model_answers_here() -> None:
    question = "Mia has 12 apples. She buys 30 more. She gives away half. How many are left?"
    code, out, err = ask(question, "--strategy", "best-of-8", "--seed", "1", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["content"] == "<answer>21</answer>"
    assert report["deliberation"]["verifier"] == {"kind": "likelihood"}
