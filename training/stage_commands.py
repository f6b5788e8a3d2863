"""A command for every stage: `deliberate train STAGE --config FILE --set key=value`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from deliberate.training.artifact import Artifact
from deliberate.training.config_files import read_config
from deliberate.training.stages import Stage, load_stage, stage_names, stage_summary

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""A stage's own command reads its arguments, `--help` too: its fields are known when it has been imported."""


def add_stages(app: typer.Typer) -> None:
    """Give an application a command for every stage."""
    for name in stage_names():
        _add(app, name)


def _add(app: typer.Typer, name: str) -> None:
    @app.command(name, help=stage_summary(name), context_settings=_PASS_ON, add_help_option=False)
    def command(context: typer.Context) -> None:
        _application(load_stage(name))(context.args, prog_name=f"deliberate train {name}")


def _application(stage: Stage[Any]) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

    @app.command(help=_help(stage))
    def run(
        config: Annotated[Path | None, typer.Option(help="YAML file of the fields above.")] = None,
        settings: Annotated[
            list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A field, over the file's; repeatable.")
        ] = None,
    ) -> None:
        _run(stage, config, settings or [])

    return app


def _run(stage: Stage[Any], file: Path | None, settings: list[str]) -> None:
    from deliberate.training.optimization import processes
    from deliberate.training.policies.hub import hide_progress_bars
    from deliberate.training.progress import training_bars

    if not stage.several_processes:
        processes.require_one(f"The stage {stage.name!r}")
    hide_progress_bars()
    config = read_config(stage.config, file, settings)
    config = config.model_copy(update={"command": config.command or _command_line(stage, file, settings)})
    with processes.joined():
        with training_bars() as bars:
            artifact = stage.run(config, bars.reporter(config.name))
        if processes.is_main():
            _show(config.output_dir, artifact)


def _show(folder: Path, artifact: Artifact) -> None:
    typer.echo(f"{folder}")
    for name, value in artifact.metrics.items():
        typer.echo(f"  {name:28} {value:g}")


def _command_line(stage: Stage[Any], file: Path | None, settings: list[str]) -> str:
    options = [] if file is None else ["--config", str(file)]
    options += [option for setting in settings for option in ("--set", setting)]
    return shlex.join(["deliberate", "train", stage.name, *options])


def _help(stage: Stage[Any]) -> str:
    """The stage's first paragraph, and its fields."""
    return f"{stage_summary(stage.name)}\n\nFields of the file:\n\n" + "\n".join(_field_lines(stage.config))


def _field_lines(config: type[BaseModel]) -> list[str]:
    return [f"- `{name}`{_default(field.default)}: {field.description}" for name, field in config.model_fields.items()]


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return ""
    shown = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return f" ({shown})" if shown not in (None, "", ()) else ""
