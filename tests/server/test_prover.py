"""Proofs behind a server: judged on their own, and searched for step by step."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings

from .support import running

GOAL = {"kind": "prover", "goal": "forall n : nat, n + 0 = n"}
STEPS = {
    "": ["reflexivity.", "intros n. induction n."],
    "intros n. induction n.\n": ["- discriminate.", "- reflexivity."],
    "intros n. induction n.\n- reflexivity.\n": ["- reflexivity.", "- simpl. rewrite IHn. reflexivity."],
}


def script(prompt: str, number: int) -> Reply:
    chain = prompt.partition("assistant: ")[2]
    return Reply(STEPS[chain][number % 2] + "\n") if chain in STEPS else Reply("")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    settings = Settings(port=0, log_level="critical", drain_timeout_seconds=1)
    with running(settings, [ServedModel("prover", ScriptedEngine(script))]) as url:
        yield url


def post(url: str, path: str, **body: Any) -> dict[str, Any]:
    reply = httpx.post(f"{url}{path}", json=body, timeout=100)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_proofs_are_judged(url: str) -> None:
    messages = [{"role": "user", "content": "Prove it in Coq."}]
    candidates = ["```coq\ninduction n; simpl; auto.\n```", "```coq\nAdmitted.\n```"]
    verdicts = post(url, "/v1/verify", verifier=GOAL, messages=messages, candidates=candidates)["data"]
    assert [(verdict["passed"], verdict["score"]) for verdict in verdicts] == [(True, 1.0), (False, 0.0)]
    assert verdicts[0]["steps"] == [1.0]


def test_a_proof_is_found_step_by_step(url: str) -> None:
    strategy = {"kind": "beam_search", "width": 1, "expansions": 2, "step_separator": "\n", "verifier": GOAL}
    messages = [{"role": "user", "content": "Prove it in Coq."}]
    answer = post(url, "/v1/chat/completions", model="prover", messages=messages, strategy=strategy)
    proof = answer["choices"][0]["message"]["content"]
    assert proof == "intros n. induction n.\n- reflexivity.\n- simpl. rewrite IHn. reflexivity.\n"


def test_specifications_out_of_bounds_are_refused(url: str) -> None:
    for wrong, field in [({"goal": " "}, "goal"), ({"name": "a b"}, "name"), ({"system": "metamath"}, "system")]:
        body = {"verifier": {**GOAL, **wrong}, "messages": [], "candidates": ["auto."]}
        reply = httpx.post(f"{url}/v1/verify", json=body, timeout=60)
        assert reply.status_code == 400
        assert field in reply.text
