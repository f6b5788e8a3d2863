"""POST /v1/verify, /tokenize, /detokenize."""

from .support import MESSAGES, Live


def test_verify(server: Live) -> None:
    candidates = ["1 + 1 = 2", "1 + 1 = 3", "no sum"]
    body = {"verifier": "calculator", "messages": MESSAGES, "candidates": candidates}
    reply = server.http.post("/v1/verify", json=body).json()
    assert reply["object"] == "list"
    assert reply["verifier"] == {"kind": "calculator"}
    assert [(v["index"], v["score"], v["passed"], v["status"]) for v in reply["data"]] == [
        (0, 1.0, True, "ok"),
        (1, 0.0, False, "ok"),
        (2, None, None, "unavailable"),
    ]
    assert reply["data"][1]["steps"] == [0.0]
    assert "3" in reply["data"][1]["reason"]
    assert server.engine.calls == []


def test_verify_takes_shorthands(server: Live) -> None:
    for verifier in ("json", {"kind": "json"}, ["json", "calculator"]):
        body = {"verifier": verifier, "messages": MESSAGES, "candidates": ['{"a": 1}'], "model": "tiny"}
        assert server.http.post("/v1/verify", json=body).json()["data"][0]["status"] in ("ok", "unavailable")


def test_tokenize_and_back(server: Live) -> None:
    reply = server.http.post("/tokenize", json={"prompt": "aé"}).json()
    assert reply == {
        "count": 3,
        "max_model_len": 4096,
        "tokens": [97, 195, 169],
        "token_strs": ["a", "�", "�"],
    }
    assert server.http.post("/detokenize", json={"model": "tiny", "tokens": reply["tokens"]}).json() == {"prompt": "aé"}


def test_tokenize_messages(server: Live) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "!"}]},
        {"role": "assistant", "content": None},
    ]
    tokens = server.http.post("/tokenize", json={"messages": messages}).json()["tokens"]
    assert bytes(tokens).decode() == "system: Be brief.\nuser: Hi!\nassistant: \nassistant: "
