"""`deliberate`: serve, ask, trace, verify, eval, models, doctor, train.

Nothing heavy is imported before a command needs it.
"""

import typer

from deliberate.cli.ask import ask
from deliberate.cli.doctor import doctor
from deliberate.cli.models import models
from deliberate.cli.serve import serve
from deliberate.cli.terminal import told_plainly
from deliberate.cli.trace import trace
from deliberate.cli.verify import verify

app = typer.Typer(
    name="deliberate",
    help=(
        "Answers better by spending compute at inference time: samples many solutions, verifies them, and chooses.\n\n"
        "Start a server with `deliberate serve`, or try it here: "
        '`deliberate ask "Mia has 12 apples. She buys 30 more. How many are there now?" --strategy best-of-16`.'
    ),
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
)

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Commands of other rooms read their arguments, `--help` too, themselves."""

app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(serve)
app.command()(ask)
app.command()(trace)
app.command()(verify)
app.command()(models)
app.command()(doctor)


@app.command("eval", context_settings=_PASS_ON, add_help_option=False)
def evaluate(context: typer.Context) -> None:
    """Measure strategies on a task: accuracy against tokens, as a table, JSON and a plot."""
    from deliberate.cli.eval import app as command

    command(context.args, prog_name="deliberate eval")


@app.command(context_settings=_PASS_ON, add_help_option=False)
def train(context: typer.Context) -> None:
    """Train policies and verifiers."""
    from deliberate.training.commands import app as command

    with told_plainly():
        command(context.args, prog_name="deliberate train")
