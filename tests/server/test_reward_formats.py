"""Reward models of every kind behind a server: the policy with `--verifier-model`, asked over HTTP."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deliberate.engines.errors import UnknownName
from deliberate.server.loading import load_model
from deliberate.server.settings import Settings
from deliberate.server.sources import find_model

from ..engines.tiny_models import byte_tokenizer, make_model, make_reward_model, make_value_head_model
from .support import running

BODY: dict[str, Any] = {
    "messages": [{"role": "user", "content": "How many?"}],
    "candidates": ["3 + 4 = 7\n\nSo there are 7.", "3 + 4 = 8\n\nSo there are 8.\n\n", " "],
}


def qwen_prm(folder: Path) -> Path:
    make_reward_model(folder, "process", vocab_size=264)
    byte_tokenizer("<extra_0>").save_pretrained(folder)
    return folder


def recorded(folder: Path) -> Path:
    make_model(folder, seed=1, scale=2)
    (folder / "deliberate.json").write_text(json.dumps({"format": "rlhflow"}))
    return folder


@pytest.mark.parametrize(
    ("make", "format", "default"),
    [
        (lambda folder: make_model(folder, seed=1, scale=2), "math_shepherd", "likelihood"),
        (lambda folder: make_model(folder, seed=1, scale=2), "rlhflow", "likelihood"),
        (lambda folder: make_reward_model(folder, "token", 2), "trl", "reward_model"),
        (recorded, None, "reward_model"),
        (make_value_head_model, None, "reward_model"),
        (qwen_prm, None, "reward_model"),
    ],
    ids=["math_shepherd", "rlhflow", "trl", "by-record", "skywork-by-architecture", "qwen_prm-by-architecture"],
)
def test_steps_are_judged(make: Callable[[Path], Path], format: str | None, default: str, tmp_path: Path) -> None:
    source = find_model(str(make_model(tmp_path / "policy")), companion=str(make(tmp_path / "judge")))
    named = {} if format is None else {"format": format}
    settings = Settings(port=0, log_level="critical")
    with running(settings, [load_model(source)]) as url, httpx.Client(base_url=url, timeout=60) as http:
        verifier = {"kind": "reward_model", "steps": True, **named}
        reply = http.post("/v1/verify", json=BODY | {"verifier": verifier})
        search = {"model": "policy:best-of-2", "messages": BODY["messages"], "max_tokens": 4}
        judged = http.post("/v1/chat/completions", json=search).json()["deliberation"]["verifier"]
    assert reply.status_code == 200, reply.text
    right, wrong, blank = reply.json()["data"]
    assert [len(verdict["steps"]) for verdict in (right, wrong)] == [2, 2]
    assert right["score"] == right["steps"][-1] != wrong["score"]
    assert "evidence" not in right
    assert blank["status"] == "unavailable"
    assert judged["kind"] == default


def test_what_a_model_cannot_be_is_a_400(tmp_path: Path) -> None:
    source = find_model(str(make_model(tmp_path / "policy")), companion=str(make_model(tmp_path / "judge")))
    with running(Settings(port=0, log_level="critical"), [load_model(source)]) as url:
        for verifier, expected in (
            ({"format": "qwen"}, "'chat', 'math_shepherd'"),
            ({"format": "qwen_prm"}, "no reward model of its own"),
            ({"format": "orm", "model": "judge"}, "judge"),
        ):
            reply = httpx.post(f"{url}/v1/verify", json=BODY | {"verifier": {"kind": "reward_model", **verifier}})
            assert reply.status_code in (400, 404)
            assert expected in reply.json()["error"]["message"]


def test_a_record_of_an_unknown_format_is_refused(tmp_path: Path) -> None:
    judge = make_model(tmp_path / "judge")
    (judge / "deliberate.json").write_text(json.dumps({"format": "rhlflow"}))
    with pytest.raises(UnknownName, match=r"'rhlflow'; known: .* Did you mean 'rlhflow'"):
        load_model(find_model(str(make_model(tmp_path / "policy")), companion=str(judge)))
