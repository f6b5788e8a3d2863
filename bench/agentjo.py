"""What AgentJo pays for a model that breaks its format: calls per parse, crashes and tasks done.

AgentJo's own `strict_json` and `Agent` talk to this server over a socket. The model behind it is scripted: it knows
the right document, and breaks it half of the time, by a seed. Asked plainly, AgentJo sees each broken document; asked
as `model:best-of-8@agent_format` it sees the first of eight that fits.
"""

import asyncio
import contextlib
import io
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from random import Random
from typing import Annotated, Any

import typer
from agentjo import Agent, Function, parse_yaml, strict_json
from openai import OpenAI
from rich.console import Console
from rich.table import Table

from deliberate.engines.scripted import Reply, ScriptedEngine
from deliberate.server.run import AnnouncedServer
from deliberate.server.serving import ServedModel
from deliberate.server.settings import Settings

MODEL = "scripted"
SUFFIX = ":best-of-8@agent_format"

SENTIMENT = {
    "Sentiment": "type: Enum['Positive', 'Negative']",
    "Score": "how sure from 0 to 10, type: int",
    "Words": "the words that tell, type: list[str]",
}
"""What `strict_json` is asked for."""


class BreakingModel:
    """A script for the engine: right documents, each broken with the same chance."""

    def __init__(self, seed: int, breaks: float = 0.5) -> None:
        self._seed = seed
        self._breaks = breaks

    def __call__(self, prompt: str, number: int) -> Reply:
        random = Random(f"{self._seed} {number}")
        broken = random.random() < self._breaks
        right, ways = _document(prompt)
        return Reply(random.choice(ways)(right) if broken else right)


Way = Callable[[str], str]


def _document(prompt: str) -> tuple[str, list[Way]]:
    """The right reply to a prompt of AgentJo's, and the ways in which this model gets it wrong."""
    if "###Sentiment###" in prompt:
        return "{'###Sentiment###': 'Positive', '###Score###': 7, '###Words###': ['fine', 'lovely']}", [
            lambda right: right.replace("'Positive'", "'Good'"),
            lambda right: right.replace("7", "'quite sure'"),
            lambda right: right.replace("'###Words###'", "'###Tokens###'"),
            lambda right: right[: right.index(", '###Words###'")],
            lambda right: "The text is positive, I am quite sure.",
        ]
    if "Equipped Function Name" in prompt:
        return _yaml(
            Observation="See above",
            Thoughts="One step at a time",
            **{"Current Subtask": "Multiply 6 by 7", "Equipped Function Name": _next_function(prompt)},
        ), [
            lambda right: right.replace("Function Name: ", "Function Name: best_"),
            lambda right: right.replace("Thoughts: ", "Thoughts: - ["),
            lambda right: right.replace("Current Subtask", "Subtask"),
            lambda right: right[: right.index("Current")],
            lambda right: "I would multiply 6 by 7.",
        ]
    return _yaml(x="6", y="7"), [
        lambda right: right.replace("6", "six"),
        lambda right: right.replace("y: 7", "z: 7"),
        lambda right: right.replace("x: 6", ""),
        lambda right: f"{right}\nThen:\n```yaml\nx: 6",
        lambda right: "x is 6, and y is 7.",
    ]


def _next_function(prompt: str) -> str:
    """A prompt for another try holds the last one in place of the task."""
    again = "Incorrectly formatted YAML block" in prompt
    begun = "end_task" in prompt.partition("Incorrectly formatted")[2] if again else "multiply(" in prompt
    return "end_task" if begun else "multiply"


def _yaml(**values: str) -> str:
    lines = "\n".join(f"{key}: {value}" for key, value in values.items())
    return f"```yaml\n{lines}\n```"


@dataclass(slots=True)
class Figures:
    """What a number of tasks came to."""

    tasks: int
    done: int = 0
    """Tasks with the right result."""
    crashes: int = 0
    """Tasks that ended in an exception."""
    calls: int = 0
    """Requests to the model."""
    parses: int = 0
    first: int = 0
    """Parses that succeeded with their first request."""
    empty: int = 0
    """Parses that came to nothing after all tries."""
    tokens: int = 0
    """Generated for all of it."""


Llm = Callable[[str, str], str]
Parser = Callable[..., Any]


def asking(url: str, model: str, figures: Figures) -> Llm:
    """The usual user's function around an OpenAI client, counting its calls."""
    client = OpenAI(base_url=url, api_key="unused", max_retries=0)

    def llm(system_prompt: str, user_prompt: str) -> str:
        figures.calls += 1
        reply = client.chat.completions.create(
            model=model,
            temperature=0,
            messages=[{"role": "system", "content": system_prompt}, {"role": "user", "content": user_prompt}],
        )
        return reply.choices[0].message.content or ""

    return llm


def counted(parser: Parser, figures: Figures) -> Parser:
    """The parser, writing down what became of each parse."""

    def parse(*args: Any, **options: Any) -> Any:
        before = figures.calls
        parsed = parser(*args, **options)
        figures.parses += 1
        figures.empty += not parsed
        figures.first += bool(parsed) and figures.calls == before + 1
        return parsed

    return parse


def measure_strict_json(url: str, model: str, tasks: int) -> Figures:
    """`strict_json` on its own."""
    figures = Figures(tasks)
    parse, llm = counted(strict_json, figures), asking(url, model, figures)
    with quiet():
        for number in range(tasks):
            found = parse("Classify the text.", f"Text {number}: a fine and lovely day", SENTIMENT, llm=llm)
            figures.done += found == {"Sentiment": "Positive", "Score": 7, "Words": ["fine", "lovely"]}
    return figures


def measure_agent(url: str, model: str, tasks: int) -> Figures:
    """An `Agent` that chooses a function, fills in its parameters, and ends."""
    figures = Figures(tasks)
    parse, llm = counted(parse_yaml, figures), asking(url, model, figures)
    with quiet():
        for _ in range(tasks):
            results: list[int] = []
            agent = Agent("Reckoner", "Multiplies numbers", llm=llm, llm_parser=parse, verbose=False)
            agent.assign_functions([Function(external_fn=_multiplying(results), llm=llm)])
            try:
                agent.run("What is 6 times 7?")
            except (KeyError, TypeError):  # What becomes of a parse that came to nothing.
                figures.crashes += 1
            figures.done += results == [42] and agent.task_completed
    return figures


def _multiplying(results: list[int]) -> Callable[[int, int], int]:
    def multiply(x: int, y: int) -> int:
        """Multiplies x by y"""
        results.append(x * y)
        return x * y

    return multiply


@contextmanager
def quiet() -> Generator[None, None, None]:
    """AgentJo prints what it could not parse."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        yield


@contextmanager
def serving(engine: ScriptedEngine) -> Generator[str, None, None]:
    """Base URL of a server of this engine, in a thread."""
    with serving_model(ServedModel(MODEL, engine)) as url:
        yield url


@contextmanager
def serving_model(model: ServedModel) -> Generator[str, None, None]:
    """Base URL of a server of this model, in a thread."""
    urls: Queue[str] = Queue()
    settings = Settings(port=0, log_level="critical", drain_timeout_seconds=1)
    server = AnnouncedServer(settings, [model], urls.put)
    thread = threading.Thread(target=asyncio.run, args=(server.serve(),), daemon=True)
    thread.start()
    try:
        yield urls.get(timeout=30)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def measure(tasks: int, seed: int) -> dict[tuple[str, str], Figures]:
    """Figures by what was measured and the suffix of the model's name."""
    found: dict[tuple[str, str], Figures] = {}
    for name, run in (("strict_json", measure_strict_json), ("Agent", measure_agent)):
        for suffix in ("", SUFFIX):
            engine = ScriptedEngine(BreakingModel(seed), context_length=1 << 16)
            with serving(engine) as url:
                found[name, suffix] = run(url, MODEL + suffix, tasks)
            found[name, suffix].tokens = engine.stats.generated_tokens_total
    return found


def main(
    *,
    tasks: Annotated[int, typer.Option(min=1, help="Tasks for each row.")] = 200,
    seed: Annotated[int, typer.Option(help="Of what the model breaks.")] = 0,
) -> None:
    """Measure AgentJo with a model that breaks its format half of the time."""
    table = Table(
        "", "model", "tasks done", "crashes", "parses", "at first call", "empty", "calls/parse", "tokens/task"
    )
    for (name, suffix), figures in measure(tasks, seed).items():
        table.add_row(
            name,
            MODEL + suffix,
            f"{figures.done}/{figures.tasks}",
            str(figures.crashes),
            str(figures.parses),
            f"{figures.first / figures.parses:.1%}",
            str(figures.empty),
            f"{figures.calls / figures.parses:.3f}",
            f"{figures.tokens / figures.tasks:.0f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    typer.run(main)
