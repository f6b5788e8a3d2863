"""Documents in the form that AgentJo's `strict_json` asks for: the facts of a sentence, under the caller's own names.

Keys, their order, descriptions and types change from problem to problem, so that they must be read from the template.
The conversation is what `strict_json` sends, and `agent_format` grades: the document must parse by AgentJo's rules and
say what the sentence says. The splits are disjoint by construction: by a hash of the keys in their order, and by a hash
of their values.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deliberate.training.tasks._agent_json_text import DOMAINS, ORDERS, Domain, Field
from deliberate.training.tasks._agentjo_prompts import MARK, strict_json
from deliberate.training.tasks._division import digest, division
from deliberate.training.tasks._protocol import Problem, Split, stream

DIFFICULTIES = range(1, 5)


def document(values: Mapping[str, Any]) -> str:
    """The reply that says so: JSON with the marks of the template around the keys."""
    return json.dumps({f"{MARK}{key}{MARK}": value for key, value in values.items()})


def _facts(rng: random.Random, domain: Domain) -> dict[str, Any]:
    """Values of all fields, by their slots."""
    return {field.slot: field.draw(rng) for field in domain.fields}


def _named(rng: random.Random, domain: Domain, number: int) -> dict[str, Field]:
    """The fields that a caller asks for, by the names that it gives them."""
    return {rng.choice(field.keys): field for field in rng.sample(domain.fields, number)}


def _problem(rng: random.Random, split: Split, number: int) -> Problem:
    while True:
        domain = rng.choice(DOMAINS)
        facts, asked = _facts(rng, domain), _named(rng, domain, number)
        expected = {key: facts[field.slot] for key, field in asked.items()}
        if len(expected) == number and division(keys=expected, values=expected.values()) == split:
            return _as_problem(rng, domain, facts, asked, expected, split)


def _as_problem(
    rng: random.Random,
    domain: Domain,
    facts: Mapping[str, Any],
    asked: Mapping[str, Field],
    expected: dict[str, Any],
    split: Split,
) -> Problem:
    said = {field.slot: field.spoken(facts[field.slot]) for field in domain.fields}
    sentence = rng.choice(domain.sentences).format(**said)
    fields = {key: field.description for key, field in asked.items()}
    return Problem(
        id=f"agent_json-{digest(f'{sentence} {fields}')}",
        messages=strict_json(rng.choice(ORDERS), sentence, fields),
        verifier={"kind": "agent_format", "expected": expected},
        solution=document(expected),
        difficulty=len(expected),
        split=split,
    )


class AgentJson:
    """Documents of 1 to 4 fields: texts, numbers, truth values, options and lists."""

    name = "agent_json"
    difficulties = DIFFICULTIES
    system_prompts = ()

    def problems(
        self, split: Split, seed: int, limit: int | None = None, difficulty: Sequence[int] | None = None
    ) -> Iterator[Problem]:
        return stream(self, _problem, split, seed, limit, difficulty, "fields")


TASK = AgentJson()
