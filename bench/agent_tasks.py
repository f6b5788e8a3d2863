"""AgentJo on held-out tasks, with a model that was trained on such: first-call parse rate, and tasks done right.

AgentJo's own `strict_json` asks for the documents of `agent_json`, and its `Agent` does whole tasks of
`agent_functions`: it chooses a function, has its inputs filled in, calls it and ends. Both talk to this server over a
socket, plainly and as `model:best-of-8@agent_format`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from agentjo import Agent, Function, strict_json
from rich.console import Console
from rich.table import Table

from deliberate.bench.agentjo import SUFFIX, Figures, asking, counted, quiet, serving_model
from deliberate.server.loading import EmbeddedOptions, load_model
from deliberate.server.sources import find_model
from deliberate.training.tasks import Problem, load_task
from deliberate.training.tasks._agentjo_prompts import Equipped
from deliberate.training.tasks.agent_functions import Call, calls
from deliberate.verifiers.agentjo.json_template import read_template
from deliberate.verifiers.agentjo.prompts import asked_in


def measure_documents(url: str, model: str, tasks: int, seed: int) -> Figures:
    """`strict_json` on its own."""
    figures = Figures(tasks)
    parse, llm = counted(strict_json, figures), asking(url, model, figures)
    with quiet():
        for problem in load_task("agent_json").problems("test", seed, tasks):
            order, text, fields = _request(problem)
            figures.done += parse(order, text, fields, llm=llm) == problem.verifier["expected"]
    return figures


def _request(problem: Problem) -> tuple[str, str, dict[str, Any]]:
    """What a caller gives `strict_json` to have it send the problem's messages."""
    system, user = problem.messages
    asked = asked_in(problem.messages)
    assert asked is not None, f"{problem.id} is no request of strict_json's"
    order = system["content"].partition("\nOutput in the following json template")[0]
    return order, user["content"], dict(read_template(asked.template).fields)


def measure_calls(url: str, model: str, tasks: int, seed: int) -> Figures:
    """An `Agent` that does whole tasks, each one call of a function."""
    figures = Figures(tasks)
    with quiet():
        for call in calls("test", seed, tasks):
            called: list[tuple[str, Mapping[str, Any]]] = []
            agent = _agent(call, called, asking(url, model, figures), counted(strict_json, figures))
            try:
                agent.run(call.task)
            except (KeyError, TypeError):  # What becomes of a parse that came to nothing.
                figures.crashes += 1
            figures.done += called == [(call.request.function.name, call.arguments)] and agent.task_completed
    return figures


def _agent(call: Call, called: list[tuple[str, Mapping[str, Any]]], llm: Any, parse: Any) -> Agent:
    """With the functions of the task, which only write down their calls."""
    agent = Agent("Helper", "Does what the user asks", llm=llm, llm_parser=parse, default_to_llm=False, verbose=False)
    return agent.assign_functions([_function(request.function, called) for request in call.equipped])


def _function(equipped: Equipped, called: list[tuple[str, Mapping[str, Any]]]) -> Function:
    def write_down(**arguments: Any) -> Any:
        called.append((equipped.name, arguments))
        return 7 if equipped.returns == "int" else "Done"

    return Function(
        fn_name=equipped.name,
        fn_description=equipped.description,
        output_format={"output_1": equipped.returns},
        external_fn=write_down,
    )


def main(
    model: Annotated[str, typer.Argument(help="Model folder or bundled model.")] = "tiny",
    *,
    tasks: Annotated[int, typer.Option(min=1, help="Held-out tasks for each row.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the tasks.")] = 0,
) -> None:
    """Measure AgentJo on held-out tasks, without and with a search for what it can parse."""
    table = Table("", "model", "done right", "crashes", "parses", "at first call", "calls/parse")
    with serving_model(load_model(find_model(model), EmbeddedOptions())) as url:
        name = find_model(model).name
        for label, measure in (("strict_json", measure_documents), ("Agent", measure_calls)):
            for suffix in ("", SUFFIX):
                figures = measure(url, name + suffix, tasks, seed)
                table.add_row(
                    label,
                    name + suffix,
                    f"{figures.done}/{figures.tasks}",
                    str(figures.crashes),
                    str(figures.parses),
                    f"{figures.first / max(1, figures.parses):.1%}",
                    f"{figures.calls / max(1, figures.parses):.2f}",
                )
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
