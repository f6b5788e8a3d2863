"""What documents are about: sentences, and the facts in them under the names that a caller may give them.

The order of domains and fields does not matter to the train / held-out division; their names and values do.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deliberate.training.tasks._word_problem_text import MEN, OBJECTS, WOMEN

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CITIES = ("Rome", "Paris", "London", "Oslo", "Cairo", "Tokyo", "Lima", "Delhi", "Madrid", "Berlin")
COLORS = ("red", "blue", "green", "black", "white", "yellow")


def _one_of(*values: Any) -> Callable[[random.Random], Any]:
    return lambda rng: rng.choice(values)


def _some_of(*values: str) -> Callable[[random.Random], list[str]]:
    return lambda rng: rng.sample(values, rng.randint(2, 3))


def _tenths(smallest: int, largest: int) -> Callable[[random.Random], float]:
    return lambda rng: rng.randint(smallest * 10, largest * 10) / 10


def _enumeration(*options: str) -> str:
    return f"Enum{list(options)}"


@dataclass(frozen=True, slots=True)
class Field:
    """One fact of a sentence."""

    slot: str
    """Where it stands in the sentences."""
    keys: tuple[str, ...]
    """What a caller may call it."""
    meaning: str
    type: str
    """As `strict_json` writes types."""
    draw: Callable[[random.Random], Any]
    phrases: tuple[str, str] | None = None
    """How a sentence says that it is not so, and that it is; for truth values."""

    @property
    def description(self) -> str:
        return f"{self.meaning}, type: {self.type}"

    def spoken(self, value: Any) -> str:
        """The value in words."""
        if self.phrases is not None:
            return self.phrases[value]
        return f"{', '.join(value[:-1])} and {value[-1]}" if isinstance(value, list) else str(value)


@dataclass(frozen=True, slots=True)
class Domain:
    """A kind of sentence."""

    name: str
    sentences: tuple[str, ...]
    fields: tuple[Field, ...]


_PERSON = _one_of(*WOMEN, *MEN)

DOMAINS = (
    Domain(
        "order",
        (
            "{name} buys {count} {item} on {day}. {urgent}",
            "{urgent} On {day} {name} needs {count} {item}.",
            "Order for {name}: {count} {item}, to be sent on {day}. {urgent}",
        ),
        (
            Field("name", ("name", "buyer", "customer"), "who buys", "str", _PERSON),
            Field("count", ("count", "number", "amount"), "how many", "int", _one_of(*range(2, 100))),
            Field("item", ("item", "product", "things"), "what is bought", "str", _one_of(*OBJECTS)),
            Field("day", ("day", "date"), "which day", _enumeration(*DAYS), _one_of(*DAYS)),
            Field(
                "urgent",
                ("urgent", "hurry"),
                "if it is urgent",
                "bool",
                _one_of(False, True),
                ("It can wait.", "It is urgent."),
            ),
        ),
    ),
    Domain(
        "trip",
        (
            "{name} goes from {start} to {goal} by {means}, which takes {hours} hours.",
            "In {hours} hours {name} travels to {goal} by {means}. The trip begins in {start}.",
            "A trip of {hours} hours by {means} brings {name} from {start} to {goal}.",
        ),
        (
            Field("name", ("name", "traveller", "person"), "who travels", "str", _PERSON),
            Field("start", ("start", "origin", "from"), "where it begins", "str", _one_of(*CITIES[:5])),
            Field("goal", ("goal", "city", "to"), "where it ends", "str", _one_of(*CITIES[5:])),
            Field(
                "means",
                ("means", "by"),
                "how",
                _enumeration("train", "bus", "car", "ship"),
                _one_of("train", "bus", "car", "ship"),
            ),
            Field("hours", ("hours", "time"), "how long in hours", "float", _tenths(1, 30)),
        ),
    ),
    Domain(
        "person",
        (
            "{name} is {age} years old, lives in {city} and likes {likes}. {pet}",
            "{pet} That is {name} from {city}, {age} years old, who likes {likes}.",
            "Meet {name}, {age}, of {city}. Favourite things: {likes}. {pet}",
        ),
        (
            Field("name", ("name", "person", "who"), "the name", "str", _PERSON),
            Field("age", ("age", "years"), "how old", "int", _one_of(*range(10, 90))),
            Field("city", ("city", "home", "place"), "where the person lives", "str", _one_of(*CITIES)),
            Field("likes", ("likes", "hobbies"), "what the person likes", "list[str]", _some_of(*OBJECTS)),
            Field(
                "pet",
                ("pet", "has_pet"),
                "if there is a pet",
                "bool",
                _one_of(False, True),
                ("No pets are around.", "A cat is part of the family."),
            ),
        ),
    ),
    Domain(
        "product",
        (
            "The {color} {item} cost {price} dollars and get {stars} stars. {stock}",
            "{stock} {stars} stars for the {color} {item} at {price} dollars.",
            "For {price} dollars you get {color} {item}, rated with {stars} stars. {stock}",
        ),
        (
            Field("item", ("item", "product", "what"), "what is sold", "str", _one_of(*OBJECTS)),
            Field("color", ("color", "look"), "the color", _enumeration(*COLORS), _one_of(*COLORS)),
            Field("price", ("price", "cost", "dollars"), "price in dollars", "float", _tenths(1, 99)),
            Field("stars", ("stars", "rating", "score"), "stars from 1 to 5", "int", _one_of(1, 2, 3, 4, 5)),
            Field(
                "stock",
                ("stock", "available"),
                "if it can be had now",
                "bool",
                _one_of(False, True),
                ("They are sold out.", "They are in stock."),
            ),
        ),
    ),
)

ORDERS = (
    "Extract the facts.",
    "Read the text and fill in the values.",
    "Find what is asked for in the text.",
    "Fill in what the text says.",
)
"""System prompts that a caller gives `strict_json`."""
