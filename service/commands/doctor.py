"""fractune doctor: whether this machine has what Fractune needs."""

import platform
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from rich.table import Column, Table
from rich.text import Text

from service.embedded.processes import broker_binary
from service.terminal import exit_codes, options
from service.terminal.console import output, print_json
from workers.confinement.launch import LAYERS
from workers.errors import FractuneError, Unavailable
from workers.machine import fingerprint
from workers.settings import Settings, read_settings
from workers.worker.sandbox.memory import allowance
from workers.worker.sandbox.probe import require_layers


def doctor(as_json: options.AsJson = False) -> None:
    """Check this machine; the exit status is 1 when something that is needed is missing."""
    settings = read_settings()
    checks: dict[str, Callable[[], str]] = {
        "python": platform.python_version,
        "openvino": lambda: _package("openvino"),
        "nncf": lambda: _package("nncf"),
        "processor": _processor,
        "memory": lambda: f"a job may use {(settings.limits.memory or allowance()) / 2**30:.1f} GiB",
        "data folder": lambda: _folder(settings.data_dir),
        "broker": lambda: "FRACTUNE_BROKER_URL" if settings.broker_url else broker_binary(),
        "sandbox": lambda: _sandbox(settings),
    }
    found = {name: _examine(check) for name, check in checks.items()}
    if as_json:
        print_json({name: {"fine": fine, "found": Text.from_markup(text).plain} for name, (fine, text) in found.items()})
    else:
        table = Table("", "", Column(overflow="fold"), box=None, pad_edge=False, show_header=False)
        for name, (fine, text) in found.items():
            table.add_row("[green]✓" if fine else "[red]✗", name, text)
        output.print(table)
    fine = all(fine for fine, _ in found.values())
    raise typer.Exit(exit_codes.ExitCode.DONE if fine else exit_codes.ExitCode.BROKEN)


def _examine(check: Callable[[], str]) -> tuple[bool, str]:
    """Whether it is there, and what there is, or what helps."""
    try:
        return True, check()
    except FractuneError as error:
        return False, f"{error.message} {error.hint}"


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        raise Unavailable(f"{name} is not installed.", hint="pip install 'fractune[worker]'") from None


def _processor() -> str:
    machine = fingerprint()
    return ", ".join([f"{machine.cpu}, {machine.usable_cores} threads", *machine.instruction_sets])


def _folder(path: Path) -> str:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        TemporaryDirectory(dir=path).cleanup()
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}.", hint="Set FRACTUNE_DATA_DIR to a folder you can write to.") from error
    return f"{path}, {shutil.disk_usage(path).free / 2**30:.1f} GiB free"


def _sandbox(settings: Settings) -> str:
    missing = require_layers(settings)
    if not missing:
        return f"every layer: {', '.join(LAYERS)}"
    return "; ".join(f"[yellow]no confinement of {layer}[/]: {LAYERS[layer]}" for layer in missing)
