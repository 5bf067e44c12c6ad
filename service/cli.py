"""The `fractune` command."""

import sys

import httpx
import typer
from pydantic import ValidationError

from service.commands import exit_codes
from service.commands.compare import compare
from service.commands.console import complain, messages
from service.commands.doctor import doctor
from service.commands.fractals import fractals
from service.commands.inspect import inspect
from service.commands.jobs import cancel, job, jobs, retry
from service.commands.methods import methods
from service.commands.optimize import optimize
from service.commands.plan import plan
from service.commands.results import download, report
from service.commands.serve import api, serve, worker
from service.commands.submit import submit
from service.commands.verify import verify
from workers.errors import FractuneError, Unavailable

app = typer.Typer(
    name="fractune",
    help="Compress trained networks for OpenVINO, without training and without data where there is none.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
COMMANDS = {
    "On this machine": (optimize, plan, inspect, compare, verify, methods, fractals, doctor),
    "The service": (serve, api, worker),
    "With a service": (submit, jobs, job, cancel, retry, report, download),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def main() -> None:
    """Run the command line; every failure we know ends in a line and an exit status, not in a traceback."""
    try:
        app()
    except FractuneError as error:
        complain(error)
        sys.exit(exit_codes.of_failure(error.code))
    except ValidationError as error:  # of the FRACTUNE_* variables
        for fault in error.errors(include_url=False):
            messages.print(f"FRACTUNE_{'__'.join(map(str, fault['loc'])).upper()}: {fault['msg']}", markup=False)
        sys.exit(exit_codes.ExitCode.REFUSED)
    except httpx.TransportError as error:
        complain(
            Unavailable(
                f"The service does not answer: {error}.", hint="Start one with `fractune serve`, or name it with --url."
            )
        )
        sys.exit(exit_codes.ExitCode.BROKEN)
    except OSError as error:
        messages.print(f"{error.filename or 'fractune'}: {error.strerror or error}", markup=False)
        sys.exit(exit_codes.ExitCode.BROKEN)


if __name__ == "__main__":
    main()
