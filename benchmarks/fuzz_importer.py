"""Feed the importer thousands of damaged models: each must be imported or refused by name, in bounded time and memory.

    python benchmarks/fuzz_importer.py MODELS --cases 5000

MODELS is a folder of real models. Every case damages one of them in its own way, given by the seed and the number of the case,
and loads it in a forked child under limits. The exit code is 1 if any child hung or raised anything untyped. One that dies of
a signal inside OpenVINO is listed: a job would end as CRASHED, and the worker would take the next one.
"""

import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from workers.errors import FractuneError, Refusal
from workers.ir.files.formats import recognise
from workers.ir.reading.importer import load

LARGEST = 6 * 2**20  # bytes of a model that is damaged; larger ones take longer and show the same
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)
NUMBERS = (b"0", b"-1", b"2147483648", b"4611686018427387904", b"18446744073709551615", b"99999999999999999999", b"nan")

Damage = Callable[[bytearray, np.random.Generator], None]


@dataclass(frozen=True)
class Outcome:
    """How one case ended."""

    verdict: str  # "imported", the code of a refusal, or what went wrong
    bad: bool  # hung, or raised something untyped
    crashed: bool  # died of a signal
    seconds: float
    peak_bytes: int


def flip(content: bytearray, rng: np.random.Generator) -> None:
    """Change up to 16 bytes."""
    for position in rng.integers(0, len(content), rng.integers(1, 17)):
        content[position] = rng.choice(EXTREMES) if rng.random() < 0.5 else rng.integers(0, 256)


def tweak(content: bytearray, rng: np.random.Generator) -> None:
    """Change one byte by one: a type, a length or a dimension becomes its neighbour."""
    position = rng.integers(0, len(content))
    content[position] = (content[position] + rng.choice((-1, 1))) % 256


def flip_head(content: bytearray, rng: np.random.Generator) -> None:
    """Change up to 4 of the first 512 bytes, where the structure is."""
    for position in rng.integers(0, min(512, len(content)), rng.integers(1, 5)):
        content[position] = rng.integers(0, 256)


def cut(content: bytearray, rng: np.random.Generator) -> None:
    """Take out a stretch."""
    start, stop = np.sort(rng.integers(0, len(content) + 1, 2))
    del content[start : min(stop, start + 4096)]


def truncate(content: bytearray, rng: np.random.Generator) -> None:
    """Keep the beginning."""
    del content[rng.integers(0, len(content)) :]


def repeat(content: bytearray, rng: np.random.Generator) -> None:
    """Copy a stretch to another place."""
    start, place = rng.integers(0, len(content), 2)
    content[place:place] = content[start : start + rng.integers(1, 2048)]


def overwrite(content: bytearray, rng: np.random.Generator) -> None:
    """Copy a stretch over another."""
    start, place = rng.integers(0, len(content), 2)
    stretch = content[start : start + rng.integers(1, 256)]
    content[place : place + len(stretch)] = stretch


def renumber(content: bytearray, rng: np.random.Generator) -> None:
    """Replace a decimal number, as IRs are full of them, by an extreme one."""
    start = int(rng.integers(0, len(content)))
    number = re.search(rb"\d+", content[start : start + 4000])
    if number:
        content[start + number.start() : start + number.end()] = NUMBERS[rng.integers(0, len(NUMBERS))]


DAMAGES: tuple[Damage, ...] = (tweak, flip, flip_head, cut, truncate, repeat, overwrite, renumber)


def models_in(folder: Path) -> list[tuple[Path, ...]]:
    """The models of a folder, each with the file that is damaged first."""
    found = []
    for file in sorted(folder.rglob("*")):
        try:
            kind = recognise(file) if file.is_file() and 0 < file.stat().st_size <= LARGEST else "zip"
        except Refusal:
            continue
        beside = [file.with_suffix(".bin")] if kind == "openvino" else []
        if kind == "savedmodel":
            beside = sorted(path for path in file.parent.rglob("*") if path.is_file() and path != file)
        if kind != "zip":
            found.append((file, *beside))
    return found


def damaged(model: Sequence[Path], folder: Path, rng: np.random.Generator) -> Path:
    """Write a copy of `model` with one to three damages to one of its files; returns what is to be loaded."""
    victim = rng.integers(0, len(model)) if rng.random() < 0.3 else 0
    for index, file in enumerate(model):
        content = bytearray(file.read_bytes())
        for _ in range(rng.choice((1, 1, 2, 3)) if index == victim else 0):
            if content:
                DAMAGES[rng.integers(0, len(DAMAGES))](content, rng)
        target = folder / file.relative_to(model[0].parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder if model[0].name == "saved_model.pb" else folder / model[0].name


def attempt(path: Path, memory: int, seconds: int, note: Path) -> Outcome:
    """Load `path` in a child that may use `memory` bytes and `seconds`."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os._exit(in_child(path, memory, seconds, note))
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(seconds)
    _, status, usage = os.wait4(child, 0)
    signal.alarm(0)
    took = time.monotonic() - started
    said = note.read_text() if note.exists() else ""
    peak = usage.ru_maxrss * 1024
    if not os.WIFSIGNALED(status):
        return Outcome(said, os.WEXITSTATUS(status) != 0, False, took, peak)
    name = signal.Signals(os.WTERMSIG(status)).name
    if name in ("SIGKILL", "SIGXCPU"):
        return Outcome(f"hung for {seconds} s", True, False, took, peak)
    return Outcome(f"died of {name}", False, True, took, peak)


def in_child(path: Path, memory: int, seconds: int, note: Path) -> int:
    """0 for a model or a typed error, 1 for anything else, which is written to `note`."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        load(path)
    except FractuneError as error:
        note.write_text(error.code)
        return 0
    except BaseException:  # noqa: BLE001 - what this script looks for
        note.write_text(traceback.format_exc(limit=-3))
        return 1
    note.write_text("imported")
    return 0


def main(
    models: Annotated[Path, typer.Argument(help="Folder of real models.", exists=True, file_okay=False)],
    cases: int = 5000,
    seed: int = 0,
    first: Annotated[int, typer.Option(help="Number of the first case, to repeat one.")] = 0,
    seconds: Annotated[int, typer.Option(help="Time one case may take.")] = 20,
    memory: Annotated[int, typer.Option(help="Bytes of address space one case may use.")] = 8 * 2**30,
    out: Annotated[Path | None, typer.Option(help="Where to write the figures as JSON.")] = None,
) -> None:
    """Load damaged models and count how they end."""
    console = Console()
    originals = models_in(models)
    counts: Counter[str] = Counter()
    listed: list[dict[str, object]] = []
    failed = False
    slowest, largest = 0.0, 0
    for case in track(range(first, first + cases), console=console, disable=not console.is_terminal):
        rng = np.random.default_rng([seed, case])
        model = originals[rng.integers(0, len(originals))]
        with TemporaryDirectory(prefix="fractune-fuzz-") as folder:
            (Path(folder) / "model").mkdir()
            outcome = attempt(damaged(model, Path(folder) / "model", rng), memory, seconds, Path(folder) / "note")
        counts[outcome.verdict.splitlines()[-1] if outcome.bad else outcome.verdict] += 1
        failed |= outcome.bad
        slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.peak_bytes)
        if outcome.bad or outcome.crashed:
            listed.append({"case": case, "model": model[0].name, "verdict": outcome.verdict})
    report = {"cases": cases, "seed": seed, "models": len(originals), "ends": dict(counts.most_common()), "listed": listed}
    report |= {"slowest_s": round(slowest, 2), "largest_peak_bytes": largest}
    show(console, report)
    if out is not None:
        out.write_text(json.dumps(report, indent=2))
    sys.exit(1 if failed else 0)


def show(console: Console, report: dict[str, object]) -> None:
    """Print the figures as a table."""
    table = Table("ended as", "cases", title=f"{report['cases']} damaged models, seed {report['seed']}")
    for verdict, count in dict(report["ends"]).items():  # type: ignore[call-overload]
        table.add_row(verdict, str(count))
    console.print(table)
    console.print(f"slowest {report['slowest_s']} s, largest {int(str(report['largest_peak_bytes'])) / 2**20:.0f} MiB")
    for entry in report["listed"]:  # type: ignore[attr-defined]
        console.print(entry)


if __name__ == "__main__":
    typer.run(main)
