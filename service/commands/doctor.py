"""fractune doctor: whether this machine has what Fractune needs."""

import platform
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from rich.table import Column, Table

from service.embedded.processes import broker_binary
from service.terminal import exit_codes
from service.terminal.console import output
from workers.confinement.launch import LAYERS
from workers.errors import FractuneError, Unavailable
from workers.machine import fingerprint
from workers.settings import Settings, read_settings
from workers.worker.sandbox.memory import allowance
from workers.worker.sandbox.probe import require_layers


def doctor() -> None:
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
    table = Table("", "", Column(overflow="fold"), box=None, pad_edge=False, show_header=False)
    results = [_examine(table, name, check) for name, check in checks.items()]
    output.print(table)
    raise typer.Exit(exit_codes.ExitCode.DONE if all(results) else exit_codes.ExitCode.BROKEN)


def _examine(table: Table, name: str, check: Callable[[], str]) -> bool:
    try:
        table.add_row("[green]✓", name, check())
    except FractuneError as error:
        table.add_row("[red]✗", name, f"{error.message} {error.hint}")
        return False
    return True


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
