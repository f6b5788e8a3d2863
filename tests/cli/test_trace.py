"""Searches drawn as trees, from the model here, from servers and from files."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from deliberate.cli.drawing import MOST_CANDIDATES, MOST_SIBLINGS, draw
from deliberate.cli.main import app
from deliberate.engines.protocol import Finish, Sample
from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.search.events import (
    PROMPT,
    Asked,
    Cancelled,
    Choice,
    Chosen,
    Completed,
    Event,
    Expanded,
    Failed,
    Pruned,
    Sampled,
    Scored,
    Visited,
)
from deliberate.verifiers.protocol import Verdict

from ..server.support import live

runner = CliRunner()


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error; of a wide terminal."""
    result = runner.invoke(app, arguments, env={"COLUMNS": "160"})
    return result.exit_code, result.stdout, result.stderr


def sample(text: str) -> Sample:
    return Sample(text, tuple(text.encode()), (-0.1,) * len(text.encode()), Finish("stop"))


def picture(events: list[Event], *, styled: bool = False) -> list[str]:
    """The drawn tree's lines; with `styled` as for a terminal that knows colours."""
    out = StringIO()
    colours = "standard" if styled else None
    console = Console(file=out, width=120, force_terminal=styled, color_system=colours, highlight=False)
    console.print(draw(events, "a search"))
    return out.getvalue().rstrip("\n").split("\n")


TREE: list[Event] = [
    Asked(0, sample("What is first?")),
    *(Expanded(i, PROMPT, sample(text)) for i, text in enumerate(["1 + 1 = 2", "1 + 1 = 3", "1 + 1 = 2"])),
    *(Scored(i, Verdict(score)) for i, score in enumerate([0.9, 0.001, 0.9])),
    Pruned(1, "not among the best"),
    Pruned(2, "not among the best"),
    Expanded(3, 0, sample("<answer>2</answer>")),
    Completed(3, sample("1 + 1 = 2\n\n<answer>2</answer>")),
    Scored(3, Verdict.undecided("too slow", "timeout")),
    Visited(0, 3, 0.75),
    Failed(4, 2, "lost", 0),
    Cancelled(5, 7, 1),
    Chosen((Choice(3, 0.9),), "one chain ended"),
]


def test_a_tree_is_drawn_as_a_tree() -> None:
    assert picture(TREE) == [
        "a search",
        "├── question 0: What is first?  14 tokens",
        "├── 0.90  1 + 1 = 2  2 times  3 visits, mean 0.75  9 tokens",
        "│   ├── <answer>2</answer>  ← the answer  18 tokens  not judged: too slow",
        "│   └── failed  2 tokens  lost",
        "└── 1e-03  1 + 1 = 3  9 tokens  pruned",
        "    └── cancelled  7 tokens",
    ]


def test_the_chosen_path_is_green_and_what_was_given_up_dim() -> None:
    lines = picture(TREE, styled=True)
    bold_green, dim, red = "\x1b[1;32m", "\x1b[2m", "\x1b[31m"
    assert [line for line in lines if bold_green in line] == [lines[2], lines[3]]
    assert f"{red}failed" in lines[4]
    assert f"{dim}1e-03" in lines[5]
    assert f"{dim}cancelled" in lines[6]


def test_many_siblings_are_folded_and_the_chosen_one_is_shown() -> None:
    steps: list[Event] = [Expanded(i, PROMPT, sample(f"step {i}")) for i in range(20)]
    scores: list[Event] = [Scored(i, Verdict(i / 100)) for i in range(20)]
    end: list[Event] = [
        Expanded(20, 0, sample("<answer>1</answer>")),
        Completed(20, sample("<answer>1</answer>")),
        Chosen((Choice(20, 0.0),), "one chain ended"),
    ]
    lines = picture([*steps, *scores, *end])
    assert len(lines) == 1 + MOST_SIBLINGS + 1 + 1
    assert lines[1].startswith("├── 0.00  step 0  6 tokens")
    assert [line.split()[3] for line in lines[3:-1]] == ["15", "16", "17", "18", "19"]
    assert lines[-1] == "└── … 14 more"


def test_candidates_are_a_list() -> None:
    long = "<think>" + "1 + 1 = 2, " * 20 + "</think><answer>2</answer>"
    events: list[Event] = [
        *(Sampled(i, sample(f"<answer>{i}</answer>")) for i in range(MOST_CANDIDATES + 7)),
        Sampled(100, sample(long)),
        Chosen((Choice(100, 3.0), Choice(2, 1.0)), "all ended"),
    ]
    lines = picture(events)
    assert len(lines) == 1 + MOST_CANDIDATES + 1
    assert lines[3] == "├── <answer>2</answer>  ← answer 1  18 tokens"
    assert "…  ← the answer  → 2  " in lines[-2]
    assert lines[-1] == "└── … 8 more"


@pytest.fixture
def growing() -> ScriptedEngine:
    def script(prompt: str, number: int) -> Reply:
        return Reply("<answer>2</answer>") if "\n\n" in prompt else Reply(f"1 + {number} = {1 + number}\n\n")

    return ScriptedEngine(script)


def test_a_servers_search_is_drawn_saved_and_drawn_again(growing: ScriptedEngine, tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    with live(engine=growing) as server:
        url = f"{server.url}/v1"
        strategy = "beam-2x2@calculator"
        code, out, err = run(
            "ask", "1 + 1?", "--strategy", strategy, "--base-url", url, "--trace", "--save", str(file), "--seed", "1"
        )
        assert code == 0, err
        assert out.endswith("\n\n<answer>2</answer>\n")
        tree = err[err.index("beam_search, seed 1\n") :]
        assert "├── 1.00  1 + 0 = 1" in tree
        assert "← the answer" in tree
        kept = json.loads(file.read_text())
        asked = run("trace", kept["id"], "--base-url", url, "--save", str(tmp_path / "again.json"))
        assert asked == (0, tree, "")
        assert json.loads((tmp_path / "again.json").read_text()) == kept
        code, _, err = run("trace", "dlb-0", "--base-url", url)
        assert (code, "'dlb-0' is kept" in err) == (2, True)
    assert run("trace", str(file)) == (0, tree, "")


def test_the_answer_is_not_lost_where_no_trace_is_kept() -> None:
    with live(trace_seconds=0) as server:
        code, out, err = run("ask", "1 + 1?", "--strategy", "vote-4", "--base-url", f"{server.url}/v1", "--trace")
    assert (code, out) == (0, "<answer>2</answer>\n")
    assert "is kept here" in err
    assert "majority_vote, seed" in err


def test_budgets_reach_the_server() -> None:
    with live(["<answer>2</answer>"]) as server:
        options = ["--max-tokens-total", "9", "--deadline", "5", "--max-candidates", "2", "--strategy", "vote-2"]
        code, _, err = run("ask", "1 + 1?", "--base-url", f"{server.url}/v1", *options)
        assert code == 0
        assert "max_tokens_total = 9 was reached" in err
        code, _, err = run("ask", "1 + 1?", "--base-url", f"{server.url}/v1", "--max-candidates", "0")
        assert (code, "max_candidates" in err) == (2, True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "--base-url"),
        ("{", "holds no trace"),
        ("[]", "holds no trace"),
        ('{"object": "chat.completion"}', "holds no trace"),
        ('{"object": "deliberation", "events": [{"at": 0, "kind": "expandet"}]}', "Unknown event 'expandet'"),
    ],
)
def test_what_is_no_trace_is_told_plainly(content: str | None, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    if content is not None:
        file.write_text(content)
    code, out, err = run("trace", str(file))
    assert (code, out) == (2, "")
    assert expected in " ".join(err.split())


def test_the_bundled_model_here() -> None:
    question = "Mia has 12 apples. She buys 30 more. She gives away half. How many are left?"
    code, out, err = run("ask", question, "--strategy", "beam-2x2@likelihood", "--seed", "1", "--trace")
    assert code == 0, err
    assert out == "<answer>21</answer>\n"
    tree = err[err.index("beam_search, seed 1") :].splitlines()
    depths = [line.index("──") for line in tree if "──" in line]
    assert max(depths) >= 4 * 3, "it took three steps and an answer"
    assert sum("← the answer" in line for line in tree) == 1
