"""Web pages judged by a server: the screenshot of each stands in the trace."""

import json
import re
import textwrap
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deliberate.cli.main import app
from deliberate.engines.scripted import Reply, ScriptedEngine

from ..verifiers.browser import pages
from .support import Live, live

ANSWERS = [pages.fenced(pages.STATIC), pages.fenced(pages.GOOD), "I cannot write pages."]


@pytest.fixture(scope="module")
def gallery() -> Iterator[Live]:
    with live(ANSWERS, verifier="render", browsers=1) as server:
        yield server


def test_the_best_page_is_chosen_and_all_are_shown_in_the_trace(gallery: Live, tmp_path: Path) -> None:
    gallery.http.timeout = 60
    reply = gallery.chat(strategy={"kind": "best_of_n", "n": 3, "verifier": "render"}, seed=1).json()
    assert reply["choices"][0]["message"]["content"] == ANSWERS[1]
    name = reply["deliberation"]["id"]
    kept = gallery.http.get(f"/v1/deliberations/{name}").json()
    verdicts = {event["index"]: event["verdict"] for event in kept["events"] if event["kind"] == "scored"}
    assert verdicts[2]["score"] == 0.0 and "attachments" not in verdicts[2]
    for index in (0, 1):
        (screenshot,) = verdicts[index]["attachments"]
        kind, _, data = screenshot["data_url"].partition(",")
        assert (screenshot["name"], kind) == ("screenshot", "data:image/jpeg;base64")
        assert b64decode(data).startswith(b"\xff\xd8\xff")

    arguments = ["trace", name, "--base-url", f"{gallery.url}/v1", "--save-images", str(tmp_path / "pictures")]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    saved = {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    assert set(saved) == {"0-screenshot.jpeg", "1-screenshot.jpeg"}
    assert saved["1-screenshot.jpeg"] == b64decode(verdicts[1]["attachments"][0]["data_url"].partition(",")[2])


def test_screenshots_count_as_what_traces_hold() -> None:
    with live(ANSWERS, verifier="render", browsers=1, max_trace_bytes=10_000) as server:
        server.http.timeout = 60
        reply = server.chat(strategy={"kind": "best_of_n", "n": 2, "verifier": "render"}).json()
        assert reply["choices"][0]["message"]["content"] == ANSWERS[1]
        gone = server.http.get(f"/v1/deliberations/{reply['deliberation']['id']}")
        assert gone.status_code == 404


def test_the_composite_reward_of_the_documentation() -> None:
    """What a page does, how the reply is written and what a judge thinks, each with its weight."""
    text = (Path(__file__).parents[2] / "docs" / "three-js.md").read_text(encoding="utf-8")
    (strategy,) = [block for block in indented_blocks(text) if block.startswith('{"kind": "best_of_n"')]
    with live(engine=ScriptedEngine(thinks_and_grades, context_length=100_000), browsers=1) as server:
        server.http.timeout = 60
        reply = server.chat(strategy=json.loads(strategy)).json()
        assert reply["choices"][0]["message"]["content"].endswith(ANSWERS[1])
        kept = server.http.get(f"/v1/deliberations/{reply['deliberation']['id']}").json()
    verdicts = [event["verdict"] for event in kept["events"] if event["kind"] == "scored"]
    assert all(0 < verdict["score"] < 1 for verdict in verdicts)
    assert abs(verdicts[0]["score"] - verdicts[1]["score"]) > 0.1
    for kind in ("render: syntax 1", "format: ", "length: ", "rouge: ", "judge: "):
        assert all(kind in verdict["reason"] for verdict in verdicts)
    assert all(len(verdict["attachments"]) == 1 for verdict in verdicts)


def thinks_and_grades(prompt: str, number: int) -> Reply:
    """Two pages, and grades for whichever it is asked about."""
    if "Grade an answer" in prompt:
        return Reply('Good.\n{"reasoning": 5, "creativity": 6}')
    return Reply("<think>A cube that turns, lit from above.</think>\n" + ANSWERS[number % 2])


def indented_blocks(markdown: str) -> list[str]:
    """Code blocks of a document."""
    blocks = re.findall(r"(?:^ {4}.*\n)+", markdown, re.M)
    return [textwrap.dedent(block) for block in blocks]
