"""What a stream looks like on the wire, to the byte."""

import json
import re
from pathlib import Path

import pytest

from deliberate.engines.protocol import Finish, Sample
from deliberate.engines.scripted import Reply
from deliberate.search.events import Choice, Chosen, Failed, Sampled, Scored
from deliberate.search.log import Log
from deliberate.server.progress import Progress
from deliberate.verifiers.protocol import Verdict

from .support import CANDIDATES, MESSAGES, Live, live

GOLDEN = Path(__file__).parent / "golden"


def normalised(text: str) -> str:
    """Without what differs from run to run: ids, times, and the version that the fingerprint stands for."""
    text = re.sub(r'"(chatcmpl|dlb)-[0-9a-f]{32}"', r'"\1-ID"', text)
    text = re.sub(r'"created":\d+', '"created":0', text)
    text = re.sub(r'"(seconds|verifier_seconds)":[0-9.e-]+', r'"\1":0', text)
    return re.sub(r'"fp_[0-9a-f]+"', '"fp_ID"', text)


@pytest.mark.parametrize(
    "name", ["none", "vote-4", "best-of-4", "weighted-vote-4", "adaptive-vote-4", "two-choices", "usage"]
)
def test_transcript(name: str) -> None:
    """Golden files in `golden/`; after a wanted change delete them, run the test, and read the difference."""
    fields = {
        "two-choices": {"strategy": "vote-4", "n": 2},
        "usage": {"stream_options": {"include_usage": True}, "max_tokens": 12, "logprobs": True, "top_logprobs": 1},
    }.get(name, {"strategy": name})
    script = ["ab é"] if name == "usage" else CANDIDATES
    with live(script, progress_seconds=0) as server:
        reply = server.chat(seed=7, stream=True, **fields)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in reply.headers
    file = GOLDEN / f"{name}.txt"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(normalised(reply.text), encoding="utf-8")
        pytest.fail(f"{file} was missing and is now written: read it, then run again")
    assert normalised(reply.text) == file.read_text(encoding="utf-8")


def test_stream_and_reply_say_the_same(server: Live) -> None:
    for strategy in ("none", "best-of-4"):
        whole = server.chat(strategy=strategy, seed=7).json()
        for _ in range(3):  # the script has four replies: start again at the same one
            server.chat(max_tokens=1) if strategy == "none" else None
        chunks = [
            json.loads(line.removeprefix("data: "))
            for line in server.chat(strategy=strategy, seed=7, stream=True).text.splitlines()
            if line.startswith("data: {")
        ]
        text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
        assert text == whole["choices"][0]["message"]["content"]
        report, streamed = whole["deliberation"], chunks[-1]["deliberation"]
        for key in ("strategy", "verifier", "seed", "candidates", "tokens", "reason", "fallback"):
            assert report[key] == streamed[key]


def test_tokens_of_a_plain_answer_come_as_they_are_made() -> None:
    with live([Reply("abc", seconds_per_token=0.05)]) as server:
        body = {"model": "tiny", "messages": MESSAGES, "stream": True}
        with server.http.stream("POST", "/v1/chat/completions", json=body) as reply:
            running = [server.engine.stats.running for line in reply.iter_lines() if '"content":"b"' in line]
    assert running == [1]


def test_silence_is_broken_by_comments() -> None:
    with live([Reply("<think>a</think>b", seconds_per_token=0.03)], keep_alive_seconds=0.1) as server:
        text = server.chat(strategy="vote-2", stream=True).text
    assert text.count(": keep-alive\n\n") >= 3
    assert text.endswith("data: [DONE]\n\n")


def test_prompt_that_opens_the_chain() -> None:
    with live(["a</think>b"]) as server:
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "<think>"}]
        for stream in (False, True):
            assert server.chat(messages=messages, stream=stream).status_code == 200
        message = server.chat().json()["choices"][0]["message"]
        assert (message["reasoning"], message["content"]) == ("a", "b")


def test_choice_that_fails_ends_the_stream_with_an_error() -> None:
    with live([Reply("ok"), Reply("bad", finish="error")]) as server:
        lines = server.chat(n=2, stream=True).text.splitlines()
        assert '"code": "search_failed"' in lines[-2]
        assert "Choice 1 failed" in lines[-2]
        whole = server.chat(n=2).json()
        assert [choice["message"]["content"] for choice in whole["choices"]] == ["ok"]
        assert [c["status"] for c in whole["deliberation"]["candidates"]] == ["finished", "failed"]


def test_progress_is_not_too_talkative() -> None:
    now = 0.0
    log = Log()
    progress = Progress(log, 4, "calculator", 0.5, lambda: now)
    told: list[str] = []
    answers = [f"<answer>{'very ' * 20}{i}</answer>" for i in range(3)]
    events = [
        *(Sampled(i, Sample(text, (1,), (-0.1,), Finish("stop"))) for i, text in enumerate(answers)),
        Failed(3, 0, "lost"),
        *(Scored(i, Verdict(i / 4)) for i in range(2)),
        Scored(2, Verdict.undecided("too slow", "timeout")),
        Chosen((Choice(1, 0.25),), "all 4 samples ended", "a fallback"),
    ]
    for event in events:
        now += 0.2
        log.add(event)
        told += progress.lines(event)
    assert [line.split(":")[0].strip() for line in told] == [
        "Sampled 1 of 4",
        "Sampled 4 of 4",
        "Scored 3 candidates with calculator, best 0.25, 1 undecided",
        "Chose very very very very very very very very… (candidate 1)",
    ]
    assert told[-1].endswith("all 4 samples ended; a fallback\n")
