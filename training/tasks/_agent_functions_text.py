"""The functions that agents have, and what people say who want them called."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deliberate.training.tasks._agent_json_text import CITIES, DAYS
from deliberate.training.tasks._agentjo_prompts import Equipped
from deliberate.training.tasks._word_problem_text import MEN, OBJECTS, WOMEN

_DRAWS: dict[str, Callable[[random.Random], Any]] = {
    "int": lambda rng: rng.randint(2, 99),
    "float": lambda rng: rng.randint(11, 999) / 10,
    "bool": lambda rng: rng.random() < 0.5,
}
_TEXTS: dict[str, tuple[str, ...]] = {
    "person": WOMEN + MEN,
    "city": CITIES,
    "goal": CITIES,
    "day": DAYS,
    "item": OBJECTS,
    "room": ("kitchen", "hall", "bath", "garden", "office"),
    "message": ("dinner is ready", "I am late", "call me back", "all is well", "we won", "it rains"),
    "title": ("lunch", "dentist", "party", "meeting", "training"),
    "song": ("Yesterday", "Hallelujah", "Imagine", "Waterloo", "Africa"),
    "direction": ("left", "right", "up", "down"),
    "language": ("French", "German", "Spanish", "Latin"),
    "word": OBJECTS,
}
_SPOKEN = {False: "off", True: "on"}


@dataclass(frozen=True, slots=True)
class Request:
    """A function, and how people ask for it."""

    function: Equipped
    texts: tuple[str, ...]

    def draw(self, rng: random.Random) -> dict[str, Any]:
        """Arguments of a call."""
        drawn = dict[str, Any]()
        for name, type_name in self.function.parameters.items():
            drawn[name] = rng.choice(_TEXTS[name]) if type_name == "str" else _DRAWS[type_name](rng)
        return drawn

    def asked(self, rng: random.Random, arguments: dict[str, Any]) -> str:
        """A sentence that wants this call."""
        spoken = {name: _SPOKEN[v] if isinstance(v, bool) else v for name, v in arguments.items()}
        return rng.choice(self.texts).format(**spoken)


def _row(name: str, description: str, *texts: str, returns: str = "str") -> Request:
    return Request(Equipped(name, description, returns), texts)


FUNCTIONS = (
    _row("double", "Doubles <x: int>", "Double {x}.", "What is two times {x}?", returns="int"),
    _row("square", "Squares <x: int>", "Square {x}.", "What is {x} times itself?", returns="int"),
    _row("weather", "Tells the weather in <city: str>", "How is the weather in {city}?", "Will it rain in {city}?"),
    _row("play", "Plays <song: str>", "Play {song}.", "I want to hear {song}."),
    _row(
        "timer",
        "Sets a timer for <minutes: int> minutes long",
        "Wake me in {minutes} minutes.",
        "Timer: {minutes} minutes.",
    ),
    _row("call", "Calls <person: str>", "Call {person}.", "I want to speak with {person}."),
    _row("add", "Adds <x: int> and <y: int>", "What is {x} plus {y}?", "Add {x} and {y}.", returns="int"),
    _row("subtract", "Subtracts <y: int> from <x: int>", "What is {x} minus {y}?", "Take {y} from {x}.", returns="int"),
    _row(
        "multiply", "Multiplies <x: int> by <y: int>", "What is {x} times {y}?", "Multiply {x} by {y}.", returns="int"
    ),
    _row(
        "light",
        "Turns the light in <room: str> <on: bool>",
        "Turn the light in the {room} {on}.",
        "Light {on} in the {room}.",
    ),
    _row(
        "send", "Sends <message: str> to <person: str>", "Tell {person}: {message}.", "Write {person} that {message}."
    ),
    _row("order", "Orders <count: int> of <item: str>", "Order {count} {item}.", "I need {count} {item}."),
    _row(
        "pay",
        "Pays <person: str> <dollars: float>",
        "Pay {person} {dollars} dollars.",
        "Give {dollars} dollars to {person}.",
    ),
    _row(
        "move",
        "Moves <steps: int> in <direction: str>",
        "Go {steps} steps {direction}.",
        "Move {direction} by {steps}.",
    ),
    _row(
        "translate",
        "Translates <word: str> into <language: str>",
        "What is {word} in {language}?",
        "Say {word} in {language}.",
    ),
    _row(
        "book",
        "Books a table in <city: str> for <people: int> on <day: str>",
        "A table for {people} in {city} on {day}.",
        "On {day} {people} of us eat in {city}.",
    ),
    _row(
        "event",
        "Plans <title: str> on <day: str> at <hour: int>",
        "Plan {title} for {day} at {hour}.",
        "{title} on {day} at {hour}.",
    ),
    _row(
        "ticket",
        "Buys a ticket from <city: str> to <goal: str> for <day: str>",
        "I go from {city} to {goal} on {day}.",
        "A ticket for {day}, {city} to {goal}.",
    ),
    _row(
        "sell",
        "Sells <count: int> of <item: str> for <dollars: float>",
        "Sell {count} {item} for {dollars} dollars.",
        "{count} {item} go for {dollars} dollars.",
    ),
    _row(
        "remind",
        "Reminds <person: str> on <day: str> of <title: str>",
        "Remind {person} of the {title} on {day}.",
        "On {day} {person} should think of the {title}.",
    ),
)

AGENTS = (
    ("Helper", "Does what the user asks"),
    ("Assistant", "Calls functions"),
    ("Butler", "Helps with everything"),
)
"""Names and descriptions."""
