"""`deliberate eval` on the bundled model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deliberate.cli.eval import app


def evaluate(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["--task", "word_problems", *arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_figures_as_json_and_files(tmp_path: Path) -> None:
    options = ["--limit", "12", "--n", "4", "--seed", "3", "--output", str(tmp_path), "--json"]
    status, out, _ = evaluate("--strategies", "none,majority_vote,best_of_n,best_of_n@calculator", *options)
    assert status == 0
    figures = json.loads(out)
    rows = {(row["strategy"], row["model"]): row for row in figures["results"]}
    assert list(rows) == [
        ("none", "tiny"),
        ("majority_vote", "tiny"),
        ("best_of_n", "tiny"),
        ("best_of_n@calculator", "tiny"),
        ("none", "tiny-verifier"),
    ]
    assert all(0 <= row["accuracy"] <= 1 and row["tokens"] > 0 and row["seconds"] > 0 for row in rows.values())
    # All strategies see the same samples, the verifier model solves its own problems.
    assert rows["majority_vote", "tiny"]["tokens"] == rows["best_of_n", "tiny"]["tokens"]
    assert rows["none", "tiny-verifier"]["accuracy"] > rows["none", "tiny"]["accuracy"]
    assert [n for n, _ in figures["curves"]["best_of_n"]] == [1, 2, 4]
    assert figures["curves"]["best_of_n"][-1][1] == rows["best_of_n", "tiny"]["accuracy"]
    assert figures["curve_tokens"]["best_of_n"][-1] == rows["best_of_n", "tiny"]["tokens"]
    assert figures["pass_at"]["4"] >= rows["best_of_n", "tiny"]["accuracy"]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategies", "best_of_m"], "Unknown strategy 'best_of_m'"),
        (["--strategies", "best_of_n@oracle"], "Unknown verifier 'oracle'"),
        (["--prompt", "magic"], "Unknown prompt transform 'magic'"),
        (["--split", "validation"], "validation"),
        (["--model", "./nowhere"], "'./nowhere'"),
    ],
)
def test_mistakes_are_told_plainly(arguments: list[str], message: str, tmp_path: Path) -> None:
    status, _, error = evaluate(*arguments, "--limit", "1", "--output", str(tmp_path))
    assert status == 2
    assert message in error


def test_strategies_ask_what_a_problem_shows(tmp_path: Path) -> None:
    options = [
        "--limit",
        "2",
        "--n",
        "2",
        "--max-tokens",
        "24",
        "--difficulty",
        "1,2",
        "--output",
        str(tmp_path),
        "--json",
    ]
    names = ["vote", "best_of_n@agreement", "best_of_n@code"]
    arguments = ["--task", "python_functions", "--strategies", ",".join(names), *options]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert [row["strategy"] for row in figures["results"]][:3] == names
    assert (figures["difficulty"], figures["ungraded"]) == ("1,2", [])
    # The bundled model knows no Python.
    assert all(row["accuracy"] == 0 for row in figures["results"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--strategies", "best_of_n@agreemen"],
            "Unknown verifier 'agreemen'; known: agent_format, agreement, calculator",
        ),
        (["--difficulty", "9"], "python_functions has 1 to 5 steps"),
        (["--difficulty", "two"], "'two' is no list of numbers"),
    ],
)
def test_mistakes_about_a_task_are_told_plainly(arguments: list[str], message: str) -> None:
    options = ["--task", "python_functions", "--limit", "1"]
    result = CliRunner().invoke(app, [*options, *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in result.stderr


def test_prompts_change_what_is_measured(tmp_path: Path) -> None:
    options = ["--limit", "2", "--n", "1", "--strategies", "none", "--output", str(tmp_path), "--json"]
    plain, asked = (json.loads(evaluate(*options, *more)[1]) for more in ([], ["--prompt", "least_to_most"]))
    assert (plain["prompt"], asked["prompt"]) == ([], [{"kind": "least_to_most"}])
    assert plain["results"][0]["tokens"] < asked["results"][0]["tokens"], "what is asked first is counted"


def test_an_unknown_task_names_the_known() -> None:
    result = CliRunner().invoke(app, ["--task", "chess"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert (
        "Unknown task 'chess'; known: agent_functions, agent_json, python_functions, three_js, word_problems"
        in result.stderr
    )
