"""A command for every stage: `deliberate train STAGE --config FILE --set key=value`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.core import TyperGroup

from deliberate.training.config_files import read_config
from deliberate.training.stages import Stage, load_stage, stage_names


class StageGroup(TyperGroup):
    """Its commands, and one for every stage. A stage is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *stage_names()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in stage_names():
            return _command(load_stage(cmd_name))
        return super().get_command(ctx, cmd_name)


def _command(stage: Stage[Any]) -> click.Command:
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

    @app.command(name=stage.name, help=_help(stage))
    def run(
        config: Annotated[Path | None, typer.Option(help="YAML file of the fields below.")] = None,
        settings: Annotated[
            list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A field, over the file's; repeatable.")
        ] = None,
    ) -> None:
        _run(stage, config, settings or [])

    return typer.main.get_command(app)


def _run(stage: Stage[Any], file: Path | None, settings: list[str]) -> None:
    from deliberate.training.policies.hub import hide_progress_bars
    from deliberate.training.progress import training_bars

    hide_progress_bars()
    config = read_config(stage.config, file, settings)
    config = config.model_copy(update={"command": config.command or _command_line(stage, file, settings)})
    with training_bars() as bars:
        artifact = stage.run(config, bars.reporter(config.name))
    typer.echo(f"{config.output_dir}")
    for name, value in artifact.metrics.items():
        typer.echo(f"  {name:28} {value:g}")


def _command_line(stage: Stage[Any], file: Path | None, settings: list[str]) -> str:
    options = [] if file is None else ["--config", str(file)]
    options += [option for setting in settings for option in ("--set", setting)]
    return shlex.join(["deliberate", "train", stage.name, *options])


def _help(stage: Stage[Any]) -> str:
    """The stage's first paragraph, and its fields."""
    module = sys.modules[stage.run.__module__]
    summary = (module.__doc__ or "").split("\n\n")[0]
    return f"{summary}\n\nFields of the file:\n\n" + "\n".join(_field_lines(stage.config))


def _field_lines(config: type[BaseModel]) -> list[str]:
    return [f"- `{name}`{_default(field.default)}: {field.description}" for name, field in config.model_fields.items()]


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return ""
    shown = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return f" ({shown})" if shown not in (None, "", ()) else ""
