import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import parse_verifier
from deliberate.verifiers.strict_json import NotJson, canonical_text, loads


async def judge(resources: Resources, text: str, **options: Any) -> Verdict:
    verifier = parse_verifier({"kind": "json", **options}).build(resources)
    (verdict,) = await verifier.verify(Problem(()), [Candidate(text)])
    return verdict


@pytest.mark.parametrize(
    ("reply", "passed"),
    [
        ('{"a": [1, 2.5, null, true, "x"]}', True),
        ('<think>{"a": 1</think>\n{"a": 1}', True),
        ('Sure:\n```json\n{"a": 1}\n```\nDone.', True),
        ("```\n[1]\n```", True),
        ("12", True),
        ('{"a": 1', False),
        ('{"a": NaN}', False),
        ('{"a": -Infinity}', False),
        ('{"a": 1, "a": 2}', False),
        ('{"a": 1e999999}', False),
        ("[" * 500 + "]" * 500, False),
        ("[" * 200_000, False),
        ("9" * 10_000, False),
        ("", False),
        ("It is {1}.", False),
    ],
)
async def test_parsing_is_strict(reply: str, passed: bool, resources: Resources) -> None:
    verdict = await judge(resources, reply)
    assert (verdict.passed, verdict.status) == (passed, "ok"), verdict


async def test_the_reason_says_what_is_wrong(resources: Resources) -> None:
    assert (await judge(resources, '{"a": 1, "a": 2}')).reason == "the key 'a' is given twice"
    assert "line 2" in (await judge(resources, '{"a":\n}')).reason


async def test_a_schema_is_kept_and_the_first_failure_named(resources: Resources) -> None:
    schema = {"type": "object", "properties": {"p": {"type": "array", "items": {"type": "integer"}}}, "required": ["p"]}
    assert (await judge(resources, '{"p": [1, 2]}', schema=schema)).passed is True
    verdict = await judge(resources, '{"p": [1, "2"]}', schema=schema)
    assert (verdict.score, verdict.passed) == (0.0, False)
    assert verdict.reason == '$.p[1]: "2" is not of type "integer"'
    assert (await judge(resources, "{}", schema=schema)).reason.startswith("$: ")


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("target", ["http://127.0.0.1:9/x.json", "file:///etc/passwd", "other.json"])
def test_references_out_of_the_schema_are_refused(keyword: str, target: str) -> None:
    with pytest.raises(ValidationError, match=target):
        parse_verifier({"kind": "json", "schema": {"properties": {"a": {"items": [{keyword: target}]}}}})


@pytest.mark.parametrize(
    "schema", [{"type": "strin"}, {"pattern": "(("}, {"$ref": "#/$defs/none"}, {"$schema": "http://127.0.0.1:9/meta"}]
)
def test_an_invalid_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="invalid JSON Schema"):
        parse_verifier({"kind": "json", "schema": schema})


async def test_a_schema_that_takes_for_ever_times_out(resources: Resources) -> None:
    branch = {"items": {"$ref": "#/$defs/x"}}
    schema = {"$defs": {"x": {"anyOf": [{**branch, "minItems": 9}, {**branch, "minItems": 8}]}}, "$ref": "#/$defs/x"}
    started = time.monotonic()
    verdict = await judge(resources, "[" * 60 + "]" * 60, schema=schema, timeout_s=0.5)
    assert (verdict.score, verdict.status) == (None, "timeout")
    assert time.monotonic() - started < 4


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(documents)
def test_what_python_writes_is_read_back(document: Any) -> None:
    import json

    text = json.dumps(document)
    assert loads(text) == document
    assert canonical_text(text) == canonical_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False))


@given(st.text(max_size=60) | st.text(alphabet='[]{}":,0123456789.eE-+ntrufalsNI\\ ', max_size=60))
def test_anything_else_is_refused_and_never_crashes(text: str) -> None:
    try:
        loads(text)
    except NotJson as refusal:
        assert str(refusal)
