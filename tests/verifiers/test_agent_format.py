"""`agent_format` beside what AgentJo itself makes of the same replies."""

import contextlib
import io
import json
import time
import warnings
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from agentjo import Agent, Function, parse_yaml, strict_json
from hypothesis import given, settings
from hypothesis import strategies as st

from deliberate.engines.scripted import Reply
from deliberate.verifiers.agentjo.checked import Checked
from deliberate.verifiers.agentjo.checking import check
from deliberate.verifiers.agentjo.prompts import asked_in
from deliberate.verifiers.protocol import Candidate, Problem, Resources, Verdict
from deliberate.verifiers.registry import parse_verifier

from ..server.support import Live, live
from ..yaml_rules import kept_yaml_rules


@pytest.fixture(autouse=True, scope="module")
def yaml_rules() -> Generator[None]:
    with kept_yaml_rules():
        yield


JSON_FIELDS: dict[str, Any] = {
    "Sentiment": "type: Enum['Positive', 'Negative']",
    "Score": "how sure, type: int",
    "Words": "the words that tell, type: list[str]",
    "Details": {"Sarcastic": "type: bool", "Reasons": ["first reason", "second reason"]},
}
JSON_REPLY = (
    "{'###Sentiment###': 'Positive', '###Score###': 3, '###Words###': ['a', \"b\"], "
    "'###Details###': {'######Sarcastic######': true, '######Reasons######': ['x', 'y']}}"
)
YAML_FIELDS: dict[str, Any] = {
    "Observation": "Reflect, then say what you see",
    "Score": "how sure, type: int",
    "Pick": "one of, Enum['left', 'right']",
    "Numbers": "list[float]",
    "Perhaps": "Optional[int]",
    "Either": "int | str",
    "Person": {"Name": "str", "Address": {"City": "str"}},
    "Steps": [{"What": "what to do", "Done": "bool"}],
    "% of total": "float",
}
YAML_REPLY = """```yaml
Observation: fine
Score: 3
Pick: left
Numbers:
 - 1.5
 - 2
Perhaps: None
Either: one
Person:
  Name: Ann
  Address: somewhere
Steps:
 - What: go
   Done: yes
"% of total": 12
```"""


def theirs(parser: Any, fields: dict[str, Any], reply: str) -> tuple[list[dict[str, str]], dict[str, Any] | None]:
    """The messages that a parser of AgentJo's sends, and what it makes of the reply without asking once more."""
    sent: list[dict[str, str]] = []

    def model(system_prompt: str, user_prompt: str) -> str:
        sent.extend(({"role": "system", "content": system_prompt}, {"role": "user", "content": user_prompt}))
        return reply

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        parsed = parser("You are good.", "Do it.", fields, llm=model, num_tries=1)
    taken = bool(parsed) and len(sent) == 2 and (parser is parse_yaml or _complete(parsed, fields))
    return sent[:2], parsed if taken else None


def _complete(parsed: object, fields: object) -> bool:
    """Whether all keys are there: strict_json loses those that it sees within the value of another."""
    if not isinstance(fields, dict):
        return True
    return isinstance(parsed, dict) and all(k in parsed and _complete(parsed[k], v) for k, v in fields.items())


def ours(messages: Sequence[dict[str, str]], reply: str) -> Checked:
    asked = asked_in(messages)
    assert asked is not None
    return check(asked, reply, ())


def same(parser: Any, fields: dict[str, Any], reply: str) -> None:
    messages, parsed = theirs(parser, fields, reply)
    checked = ours(messages, reply)
    assert (checked.complaint is None) == (parsed is not None), (reply, parsed, checked)
    assert (checked.right == checked.of) == (checked.complaint is None)


edits = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 12),
        st.text(alphabet="'\"`{}[]#:, -\n|%ab1.", max_size=3)
        | st.sampled_from(["true", "None", "3.5", "'x'", "###", "```", "```yaml\n", "Score", " : "]),
    ),
    max_size=3,
)


def edited(text: str, changes: Sequence[tuple[float, int, str]]) -> str:
    """The text with some of it cut out, and other text in its place."""
    for place, length, new in changes:
        start = int(place * len(text))
        text = text[:start] + new + text[start + length :]
    return text


@given(edits)
@settings(max_examples=300, deadline=None)
def test_a_json_document_passes_exactly_when_strict_json_takes_it(changes: list[tuple[float, int, str]]) -> None:
    same(strict_json, JSON_FIELDS, edited(JSON_REPLY, changes))


@given(edits)
@settings(max_examples=300, deadline=None)
def test_a_yaml_document_passes_exactly_when_parse_yaml_takes_it(changes: list[tuple[float, int, str]]) -> None:
    same(parse_yaml, YAML_FIELDS, edited(YAML_REPLY, changes))


TYPES = (
    "int", "float", "str", "bool", "code", "dict", "dict['a', 'b']", "Enum['a', 1, None]", "list", "list[int]",
    "array[list[str]]", "list[dict['a']]", "list[Enum['a']]", "Dict[str, int]", "Enum[a]", "nothing known",
)  # fmt: skip
VALUES = (
    "1", "1.5", "'1'", "''", "a", "'a'", "None", "True", "true", "'falsehood'", "[]", "[1]", "['1', 'x']", "[['a']]",
    "[{'a': 1}]", "{'a': 1}", "{'a': 1, 'b': 2}", "{}", "{a}", "[a]", "'[1, 2]'", "'\\\\x'", "'say \\n'", "-3", "1e999",
)  # fmt: skip


@pytest.mark.parametrize("type_name", TYPES)
def test_each_type_of_strict_json(type_name: str) -> None:
    for value in VALUES:
        same(strict_json, {"Key": f"what, type: {type_name}"}, f"{{'###Key###': {value}}}")


YAML_TYPES = (
    "int", "float", "str", "bool", "list", "dict", "date", "datetime", "time", "uuid", "Decimal", "any", "None",
    "list[int]", "array[str]", "List[List[int]]", "dict[str, int]", "Dict[int, Any]", "Optional[int]", "Optional[Any]",
    "Union[int, list[str]]", "int | None", "list[str | int]", "Enum['a', 'b']", "Enum[1, 2]", "list[Enum['a', 'b']]",
    "just words", "more words, and words", "words, type: int", "type: list[float]", "words, Enum['a', 'b', 'a-b']",
)  # fmt: skip
YAML_VALUES = (
    "1", "1.5", "'1'", "''", "a", "yes", "null", "None", "~", "[]", "[1]", "[a]", "[[1]]", "{a: 1}", "{1: 1}", "{a: b}",
    "2024-05-06", "2024-05-06 07:08:09", "12:30", "'07:08:09'", "12345678-1234-5678-1234-567812345678", "!!set {a}",
    "!!binary aGk=", "!!python/object:os.system x", "&a [*a]", "1e3", "0x1F", "1_000", ".nan", "a: b",
)  # fmt: skip


@pytest.mark.parametrize("type_name", YAML_TYPES)
def test_each_type_of_parse_yaml(type_name: str) -> None:
    for value in YAML_VALUES:
        same(parse_yaml, {"A key": type_name, "List": []}, f"```yaml\nA key: {value}\nList: [x]\n```")


@pytest.mark.parametrize("key", ["plain", "two words", "it's", "% of", "model", "copy", "class", "Größe"])
@pytest.mark.parametrize("parser", [strict_json, parse_yaml])
def test_keys_of_all_kinds(parser: Any, key: str) -> None:
    mark = "###" if parser is strict_json else ""
    same(parser, {key: "words"}, json.dumps({f"{mark}{key}{mark}": "x"}, ensure_ascii=False))
    same(parser, {key: "words"}, json.dumps({f"{mark}{key.replace(' ', '_')}{mark}": "x"}, ensure_ascii=False))
    same(parser, {key: "words", "b": "int"}, json.dumps({f"{mark}{key}{mark}": "x", "c": 1}, ensure_ascii=False))


@pytest.mark.parametrize("delimiter", ["@@", "~", "%%%"])
def test_delimiters_other_than_the_usual_are_recognised(delimiter: str) -> None:
    def model(system_prompt: str, user_prompt: str) -> str:
        asked.append({"role": "system", "content": system_prompt})
        return f"{{'{delimiter}Key{delimiter}': 3}}"

    asked: list[dict[str, str]] = []
    assert strict_json("", "", {"Key": "type: int"}, delimiter=delimiter, llm=model) == {"Key": 3}
    assert ours(asked, f"{{'{delimiter}Key{delimiter}': 3}}").complaint is None
    assert ours(asked, f"{{'{delimiter}Key{delimiter}': a}}").complaint == "'Key' is not of type int: 'a'"


async def judge(resources: Resources, text: str, messages: Sequence[dict[str, Any]] = (), **fields: Any) -> Verdict:
    options = {name: fields.pop(name) for name in ("credit", "unvoted", "expected", "timeout_s") if name in fields}
    verifier = parse_verifier({"kind": "agent_format", **options}).build(resources)
    (verdict,) = await verifier.verify(Problem(tuple(messages), **fields), [Candidate(text)])
    return verdict


class TestVerdicts:
    @pytest.fixture
    def json_prompt(self) -> list[dict[str, str]]:
        return theirs(strict_json, JSON_FIELDS, JSON_REPLY)[0]

    @pytest.fixture
    def yaml_prompt(self) -> list[dict[str, str]]:
        return theirs(parse_yaml, YAML_FIELDS, YAML_REPLY)[0]

    async def test_reasoning_before_the_document_does_not_count(
        self, resources: Resources, json_prompt: list[dict[str, str]], yaml_prompt: list[dict[str, str]]
    ) -> None:
        for prompt, reply in ((json_prompt, JSON_REPLY), (yaml_prompt, YAML_REPLY)):
            thought = f"<think>maybe {{'###Score###': 1}} or ```yaml\nScore: x\n```</think>\n{reply}"
            assert (await judge(resources, thought, prompt)).passed is True
            assert (await judge(resources, thought.removeprefix("<think>"), prompt)).passed is True
            verdict = await judge(resources, f"<think>{reply}", prompt)
            assert (verdict.score, verdict.passed) == (0.0, False), "the client sees none of it"

    async def test_the_reason_names_the_key_and_what_is_wrong(
        self, resources: Resources, json_prompt: list[dict[str, str]], yaml_prompt: list[dict[str, str]]
    ) -> None:
        missing = await judge(resources, JSON_REPLY.replace("Score", "Points"), json_prompt)
        assert missing.reason == "the key '###Score###' is missing"
        wrong = await judge(resources, JSON_REPLY.replace("Positive", "Good"), json_prompt)
        assert wrong.reason == "'Sentiment' is 'Good', not one of ['Positive', 'Negative']"
        typed = await judge(resources, YAML_REPLY.replace("Score: 3", "Score: high"), yaml_prompt)
        assert typed.reason.startswith("Score: Input should be a valid integer")
        broken = await judge(resources, YAML_REPLY.replace("- 2", "- [2"), yaml_prompt)
        assert broken.reason.startswith("the YAML does not parse: ")

    async def test_partial_credit_is_the_share_of_right_keys(
        self, resources: Resources, json_prompt: list[dict[str, str]], yaml_prompt: list[dict[str, str]]
    ) -> None:
        two_wrong = JSON_REPLY.replace("Positive", "Good").replace("3", "x")
        assert (await judge(resources, two_wrong, json_prompt)).score == 0.0
        partial = await judge(resources, two_wrong, json_prompt, credit="share")
        assert (partial.score, partial.passed) == (0.5, False)
        one_wrong = YAML_REPLY.replace("Score: 3", "Score: high")
        assert (await judge(resources, one_wrong, yaml_prompt, credit="share")).score == pytest.approx(8 / 9)
        one_more = YAML_REPLY.replace("Score: 3", "Score: 3\nMood: high")
        assert (await judge(resources, one_more, yaml_prompt, credit="share")).score == pytest.approx(9 / 10)

    async def test_documents_that_say_the_same_have_one_answer(
        self, resources: Resources, json_prompt: list[dict[str, str]], yaml_prompt: list[dict[str, str]]
    ) -> None:
        spaced = JSON_REPLY.replace("': ", "':   ").replace("3,", "'3',").replace("'Positive'", '"Positive"')
        answers = [(await judge(resources, text, json_prompt)).answer for text in (JSON_REPLY, spaced)]
        assert answers[0] is not None and answers[0] == answers[1]
        other = YAML_REPLY.replace("fine", "other")
        assert {(await judge(resources, t, yaml_prompt)).answer for t in (YAML_REPLY, other)} != {None}
        assert len({(await judge(resources, t, yaml_prompt)).answer for t in (YAML_REPLY, other)}) == 1
        assert len({(await judge(resources, t, yaml_prompt, unvoted=())).answer for t in (YAML_REPLY, other)}) == 2

    async def test_content_in_parts_and_one_message_for_all_are_read(
        self, resources: Resources, json_prompt: list[dict[str, str]]
    ) -> None:
        whole = "\n".join(message["content"] for message in json_prompt)
        parts = [{"type": "text", "text": whole}, {"type": "image_url", "image_url": {"url": "data:,"}}]
        assert (await judge(resources, JSON_REPLY, [{"role": "user", "content": parts}])).passed is True
        assert (await judge(resources, "no", [{"role": "user", "content": whole}])).passed is False

    async def test_a_retry_of_strict_json_is_recognised(self, resources: Resources) -> None:
        prompts: list[dict[str, str]] = []

        def model(system_prompt: str, user_prompt: str) -> str:
            prompts.append({"role": "system", "content": system_prompt})
            return "{'###Score###': 'Output in the following json template: ```{}```\\nUpdate values enclosed in <>'}"

        with contextlib.redirect_stdout(io.StringIO()):
            assert strict_json("", "", {"Score": "type: int"}, llm=model) == {}
        assert "Previous json" in prompts[-1]["content"]
        assert (await judge(resources, "{'###Score###': 3}", prompts[-1:])).passed is True
        assert (await judge(resources, "{'###Score###': 'x'}", prompts[-1:])).passed is False

    async def test_a_retry_of_parse_yaml_is_recognised(self, resources: Resources) -> None:
        prompts: list[dict[str, str]] = []

        def model(system_prompt: str, user_prompt: str) -> str:
            prompts.append({"role": "system", "content": system_prompt})
            return "Score: x"

        with warnings.catch_warnings(action="ignore"):
            assert parse_yaml("", "", {"Score": "type: int"}, llm=model) == {}
        assert prompts[0] != prompts[1]
        assert (await judge(resources, "```yaml\nScore: 3\n```", prompts[1:2])).passed is True
        assert (await judge(resources, "```yaml\nScore: x\n```", prompts[1:2])).passed is False

    async def test_without_template_and_tools_nothing_is_decided(self, resources: Resources) -> None:
        verdict = await judge(resources, "x", [{"role": "user", "content": "What is 1 + 1?"}])
        assert (verdict.status, verdict.score) == ("unavailable", None)
        assert "strict_json" in verdict.reason and "tools" in verdict.reason

    async def test_what_is_expected(self, resources: Resources, json_prompt: list[dict[str, str]]) -> None:
        said: dict[str, Any] = {"Sentiment": "Positive", "Score": 3, "Words": ["a", "b"]}
        said["Details"] = {"Sarcastic": True, "Reasons": ["x", "y"]}
        right = await judge(resources, JSON_REPLY, json_prompt, expected=said)
        wrong = await judge(resources, JSON_REPLY, json_prompt, expected=said | {"Score": 4})
        partly = await judge(resources, JSON_REPLY, json_prompt, expected=said | {"Score": 4}, unvoted=("Score",))
        assert [(v.score, v.passed) for v in (right, wrong, partly)] == [(1.0, True), (0.0, False), (1.0, True)]
        assert wrong.reason == "as asked, but not what is expected"
        broken = await judge(resources, "{}", json_prompt, expected=said)
        assert (broken.score, broken.passed) == (0.0, False)


class TestAgent:
    """The prompts of AgentJo's Agent."""

    @pytest.fixture
    def prompt(self) -> list[dict[str, str]]:
        sent: list[dict[str, str]] = []

        def model(system_prompt: str, user_prompt: str) -> str:
            sent.extend(({"role": "system", "content": system_prompt}, {"role": "user", "content": user_prompt}))
            return self.reply("end_task")

        def add(x: int, y: int) -> int:
            """Adds x and y, written ```[x, y]```"""
            return x + y

        with contextlib.redirect_stdout(io.StringIO()):
            agent = Agent("Helper", "Helps", llm=model, verbose=False)
            agent.assign_functions([Function(external_fn=add, llm=model)])
            agent.run("Add 1 and 2")
        return sent

    @staticmethod
    def reply(function: str) -> str:
        return (
            "```yaml\nObservation: nothing yet\nThoughts: add\nCurrent Subtask: add 1 and 2\n"
            f"Equipped Function Name: {function}\n```"
        )

    async def test_a_function_that_the_agent_lacks_is_refused(
        self, resources: Resources, prompt: list[dict[str, str]]
    ) -> None:
        for name in ("add", "use_llm", "end_task"):
            assert (await judge(resources, self.reply(name), prompt)).passed is True
        for name in ("subtract", "add()", "[add]", "null"):
            verdict = await judge(resources, self.reply(name), prompt)
            assert verdict.passed is False
            assert verdict.reason.endswith("not one of use_llm, end_task, add")

    async def test_functions_vote_whatever_was_thought(
        self, resources: Resources, prompt: list[dict[str, str]]
    ) -> None:
        texts = [self.reply("add"), self.reply("add").replace("nothing yet", "all"), self.reply("use_llm")]
        answers = [(await judge(resources, text, prompt)).answer for text in texts]
        assert answers[0] == answers[1] == '{"Equipped Function Name": "add"}'
        assert answers[2] != answers[0]


class TestInSearch:
    """Over a real socket."""

    @staticmethod
    def ask(server: Live, messages: list[dict[str, str]], **fields: Any) -> dict[str, Any]:
        return server.chat(messages=messages, **fields).json()

    @pytest.fixture
    def prompt(self) -> list[dict[str, str]]:
        return theirs(parse_yaml, {"Thoughts": "why", "Score": "int"}, "")[0]

    def test_documents_vote_and_broken_ones_do_not(self, prompt: list[dict[str, str]]) -> None:
        texts = ["Thoughts: a\nScore: 7", "Score: 7\nThoughts: b", "Thoughts: c\nScore: 9", *["Score: nine"] * 4]
        with live(texts) as server:
            reply = self.ask(server, prompt, model="tiny:weighted-vote-7@agent_format")
        assert reply["choices"][0]["message"]["content"] == texts[0]

    def test_a_stream_ends_with_the_first_that_passes(self, prompt: list[dict[str, str]]) -> None:
        good = "Thoughts: a\nScore: 7"
        with live(["no", good, Reply("x" * 3000, seconds_per_token=0.001)]) as server:
            body = {"model": "tiny:best-of-3@agent_format", "messages": prompt, "stream": True}
            with server.http.stream("POST", "/v1/chat/completions", json=body) as stream:
                lines = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: {")]
        assert "".join(c["delta"].get("content") or "" for line in lines for c in line["choices"]) == good
        assert server.engine.stats.running == 0

    def test_a_cold_request_is_warmed(self, prompt: list[dict[str, str]]) -> None:
        with live(["Thoughts: a\nScore: 7"]) as server:
            reply = self.ask(server, prompt, model="tiny:best-of-2@agent_format", temperature=0)
            assert server.engine.calls[-1].sampling.temperature == 0.6
        assert "stopped after" in reply["deliberation"]["reason"]

    def test_without_a_template_the_reply_says_what_could_not_be_verified(self) -> None:
        with live(["4", "5", "5"]) as server:
            reply = self.ask(server, [{"role": "user", "content": "?"}], model="tiny:best-of-3@agent_format")
        assert reply["choices"][0]["message"]["content"] == "5"
        assert "no template of AgentJo's" in str(reply["deliberation"])


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NOW = {"type": "function", "function": {"name": "now"}}


def call(name: str, arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


class TestTools:
    @pytest.mark.parametrize(
        ("reply", "passed", "reason"),
        [
            (call("weather", {"city": "Rome"}), True, "as asked"),
            (call("weather", '{"city": "Rome", "days": 2}'), True, "as asked"),
            (f"<think>{call('x', {})}</think>Let me see. {call('now', {})}", True, "as asked"),
            ("It is always sunny.", True, "as asked"),
            (call("whether", {"city": "Rome"}), False, "the reply calls 'whether', not one of weather, now"),
            (call("weather", {}), False, 'weather: $: "city" is a required property'),
            (call("weather", {"city": "Rome", "days": 0}), False, "weather: $.days: 0 is less than the minimum of 1"),
            (call("weather", '{"city": '), False, "the arguments of weather are no JSON"),
            (call("weather", "[]"), False, "the arguments of weather are no JSON object: []"),
            (call("now", {"zone": 1}), False, "now: $: "),
            ("<tool_call>{'name': 'now'}</tool_call>", False, "a call of a tool is not complete"),
            ('<tool_call>{"name": "now", "arguments": {}}', False, "a call of a tool is not complete"),
            (call("now", {}) + call("weather", {}), False, "weather: $: "),
        ],
    )
    async def test_calls_are_such_as_the_tools_take(
        self, resources: Resources, reply: str, passed: bool, reason: str
    ) -> None:
        verdict = await judge(resources, reply, tools=(WEATHER, NOW))
        assert (verdict.passed, verdict.score, verdict.status) == (passed, float(passed), "ok"), verdict
        assert verdict.reason.startswith(reason)

    @pytest.mark.parametrize(
        ("choice", "reply", "passed"),
        [
            ("required", "Sunny.", False),
            ("required", call("now", {}), True),
            ("none", call("now", {}), False),
            ("none", "Sunny.", True),
            ({"type": "function", "function": {"name": "weather"}}, call("now", {}), False),
            ({"type": "function", "function": {"name": "weather"}}, call("weather", {"city": "Rome"}), True),
            ({"type": "function", "function": {"name": "weather"}}, "Sunny.", False),
        ],
    )
    async def test_tool_choice_is_kept(self, resources: Resources, choice: Any, reply: str, passed: bool) -> None:
        assert (await judge(resources, reply, tools=(WEATHER, NOW), tool_choice=choice)).passed is passed

    async def test_one_call_at_a_time_where_that_is_asked(self, resources: Resources) -> None:
        two = call("now", {}) * 2
        assert (await judge(resources, two, tools=(NOW,))).passed is True
        assert (await judge(resources, two, tools=(NOW,), parallel_tool_calls=False)).passed is False

    async def test_equal_calls_vote_together_and_partial_credit_is_the_share_of_calls(
        self, resources: Resources
    ) -> None:
        spaced = '<tool_call>{"arguments": {"days": 2, "city": "Rome"}, "name": "weather"}</tool_call>'
        plain = call("weather", {"city": "Rome", "days": 2})
        answers = {(await judge(resources, f"{text} so", tools=(WEATHER,))).answer for text in (spaced, plain)}
        assert len(answers) == 1 and None not in answers
        half = await judge(resources, plain + call("weather", {}), tools=(WEATHER,), credit="share")
        assert (half.score, half.passed) == (0.5, False)

    async def test_calls_are_no_document_to_compare(self, resources: Resources) -> None:
        verdict = await judge(resources, call("weather", {"city": "Rome"}), tools=(WEATHER,), expected={"city": "Rome"})
        assert (verdict.status, verdict.score) == ("unavailable", None)
        assert "`expected`" in verdict.reason

    @pytest.mark.parametrize("parameters", [{"$ref": "http://127.0.0.1:9/x.json"}, {"type": "strin"}])
    async def test_a_schema_that_cannot_be_used_decides_nothing(self, resources: Resources, parameters: Any) -> None:
        tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        verdict = await judge(resources, call("f", {}), tools=(tool,))
        assert (verdict.status, verdict.score) == ("unavailable", None)
        assert "'f'" in verdict.reason


HOSTILE = {
    "brackets": "[" * 100_000,
    "minuses": "-" * 100_000 + "1",
    "sums": "1+" * 60_000 + "1",
    "quotes": "'" * 100_000,
    "spaces": " " * 150_000,
    "keys": "'###Score###': 1, " * 8_000,
    "digits": "9" * 150_000,
    "laughs": "".join(f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
    "merges": "\n".join(f"- &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)),
    "itself": "Score: &a [*a]",
    "python": "Score: !!python/object/apply:os.system ['touch /tmp/deliberate-was-here']",
    "surrogates": "\ud800" * 100,
    "nulls": "\x00" * 100,
    "colons": ":" * 50_000,
    "dashes": "- " * 50_000,
}


@pytest.mark.parametrize("form", [strict_json, parse_yaml])
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_replies_cost_one_verdict_and_no_more(name: str, form: Any, resources: Resources) -> None:
    fields = {"Score": "type: list[int]" if form is strict_json else "list[list[list[str]]]", "Thoughts": "why"}
    prompt = theirs(form, fields, "")[0]
    hostile = HOSTILE[name]
    for reply in (hostile, f"{{'###Score###': {hostile}, '###Thoughts###': {hostile}}}", f"```yaml\n{hostile}\n```"):
        started = time.monotonic()
        verdict = await judge(resources, reply, prompt, timeout_s=1.0)
        assert verdict.passed is not True, (name, verdict)
        assert len(verdict.reason) <= 400
        assert time.monotonic() - started < 15
    good = "{'###Score###': [1], '###Thoughts###': x}" if form is strict_json else "Score: [[[a]]]\nThoughts: x"
    assert (await judge(resources, good, prompt)).passed is True, "the next reply is judged as ever"


async def test_hostile_prompts_decide_nothing(resources: Resources) -> None:
    for template in ("[" * 50_000, "{" * 50_000 + "}" * 50_000, "-" * 100_000, "9" * 5_000, "{1: 2}", "{}", ""):
        for messages in (
            f"Output in the following json template: ```{template}```\nUpdate values enclosed in <>",
            f"this yaml schema (without changing the schema):\n```yaml\n{template}\n```\nList format:",
        ):
            verdict = await judge(resources, "Score: 1", [{"role": "system", "content": messages}])
            assert verdict.passed is not True, (template[:10], verdict)
