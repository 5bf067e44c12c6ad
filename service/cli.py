"""The `fractune` command. What a command needs is imported when it runs, so that the others start at once."""

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from service.extras import Extra, require
from service.terminal import exit_codes
from service.terminal.console import complain, messages, output
from workers.errors import FractuneError, MissingExtra


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A command: the function of its name in a module of `service.commands`, and its docstring's first sentence."""

    module: str
    help: str
    needs: Extra | None = None  # without which it is of no use at all


COMMANDS = {
    "On this machine": {
        "optimize": CommandEntry("optimize", "Compress MODEL on this machine; no server is needed.", "worker"),
        "plan": CommandEntry(
            "plan",
            "Tell which layers of MODEL a recipe would change, and the size, memory and time to expect; nothing is compressed.",
            "worker",
        ),
        "inspect": CommandEntry(
            "inspect",
            "Show the inputs, outputs, layers and size of MODEL, or why it is refused; or what is in a dataset.",
            "worker",
        ),
        "bench": CommandEntry(
            "trial", "Time MODEL on this machine, or MODEL and another one interleaved, with intervals.", "worker"
        ),
        "predict": CommandEntry("trial", "Show what MODEL answers to pictures, or to the samples of an .npz.", "worker"),
        "compare": CommandEntry(
            "compare", "Show several results side by side: size, fidelity, latency and constraint, each with its interval."
        ),
        "verify": CommandEntry(
            "verify",
            "Compress again by the recipe, the samples and the seed of a result, and compare the bytes of the two models.",
        ),
        "export": CommandEntry(
            "export",
            "Write a PyTorch module as ONNX as the service needs it, and check that the file answers as the module does.",
            "torch",
        ),
        "methods": CommandEntry("methods", "List the methods that a recipe can name, or the knobs of one."),
        "fractals": CommandEntry("fractals", "Draw fractal images, with a contact sheet beside them."),
        "doctor": CommandEntry("doctor", "Check this machine; the exit status is 1 when something that is needed is missing."),
    },
    "The service": {
        "serve": CommandEntry(
            "serve", "Run broker, worker and API on this machine until Ctrl-C. Needs no root, no Docker, no network."
        ),
        "api": CommandEntry(
            "serve",
            "Run the API alone in this process, with broker and workers elsewhere; settings come from FRACTUNE_* variables.",
            "server",
        ),
        "worker": CommandEntry("serve", "Run one worker in this process; settings come from FRACTUNE_* variables.", "worker"),
    },
    "With a service": {
        "signin": CommandEntry("jobs", "Print a link that opens the dashboard in a browser, once and within ten minutes."),
        "submit": CommandEntry("submit", "Upload MODEL and queue a job; prints its id, or with --wait its result."),
        "jobs": CommandEntry("jobs", "List jobs, newest first."),
        "job": CommandEntry("jobs", "Show JOB as it stands, or its log."),
        "cancel": CommandEntry("jobs", "End JOB."),
        "retry": CommandEntry("jobs", "Do JOB again; prints the id of the new job."),
        "report": CommandEntry("results", "Show what JOB found; exit status as of optimize."),
        "download": CommandEntry("results", "Save the results of JOB, laid out as optimize does."),
    },
}
ENTRIES = {name: entry for entries in COMMANDS.values() for name, entry in entries.items()}
POSIX = {"fcntl", "resource"}  # modules that Windows does not have


def load_command(name: str) -> TyperCommand:
    """The command of that name, imported. Raises MissingExtra where this machine lacks what it needs."""
    entry = ENTRIES[name]
    if entry.needs:
        require(entry.needs)
    try:
        module = import_module(f"service.commands.{entry.module}")
    except ModuleNotFoundError as error:
        if error.name not in POSIX:
            raise
        raise MissingExtra(
            f"`fractune {name}` runs on Linux and macOS only.", hint="Use the service of another machine: `fractune submit`."
        ) from error
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name)(getattr(module, name))
    command = typer.main.get_command(single)
    assert isinstance(command, TyperCommand)
    return command


class Commands(TyperGroup):
    """Lists the commands by their entries, and loads the one that runs."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, entries in COMMANDS.items():
            for name, entry in entries.items():
                self.add_command(TyperCommand(name, help=entry.help, rich_help_panel=panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the arguments begin with."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else listed, rest


app = typer.Typer(
    name="fractune",
    cls=Commands,
    help="Compress trained networks for OpenVINO, without training and without data where there is none.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        output.print(import_module("importlib.metadata").version("fractune"), highlight=False)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before any command."""


def main() -> None:
    """Run the command line; every failure we know ends in a line and an exit status, not in a traceback."""
    try:
        app()
    except FractuneError as error:
        complain(error)
        sys.exit(exit_codes.of_failure(error.code))
    except OSError as error:
        messages.print(f"{error.filename or 'fractune'}: {error.strerror or error}", markup=False)
        sys.exit(exit_codes.ExitCode.BROKEN)


if __name__ == "__main__":
    main()
