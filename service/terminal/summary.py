"""The result of a job as a table: what it was, what it is now."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from service.terminal.console import messages, output
from workers.recipe import Recipe
from workers.recipe.goals import GOALS
from workers.report import formatting

Report = dict[str, Any]
SIZES = (("size", "original_bytes", "compressed_bytes"), ("size, zipped", "original_zip_bytes", "zip_bytes"))
RECONCILED = 0.02  # by which the ratio of the medians may differ from the rounds' without a word
SAMPLES = {"dataset": "held-out samples", "fractals": "fractal images", "synthetic": "synthetic samples"}


def read_report(path: Path) -> Report:
    """report.json as plain values. Raises OSError."""
    report: Report = json.loads(path.read_text())
    return report


def tell_goal(recipe: Recipe) -> None:
    """Say what is about to be done, where a goal says it."""
    if recipe.goal is not None:
        goal = GOALS[recipe.goal]
        messages.print(f"[bold]{goal.title}[/] (--goal {recipe.goal}). {goal.meaning} {goal.price}", highlight=False)


def show_result(report: Mapping[str, Any]) -> None:
    """Print the figures, what to beware of, and what to try next."""
    output.print(summary(report))
    for warning in (*filter(None, [report.get("assumed")]), *report["warnings"]):
        messages.print(warning, style="yellow", markup=False)
    for number, advice in enumerate(report.get("advice", ())):
        messages.print(f"{'' if number else 'Next':<7} {_typed(advice, report)}", markup=False, highlight=False)


def _typed(advice: Mapping[str, Any] | str, report: Mapping[str, Any]) -> str:
    """A suggestion with what is typed to follow it."""
    if isinstance(advice, str):  # of a report of old
        return advice
    steps = report["recipe"]["steps"]
    pruning = steps[0]["method"] == "layerwise_pruning" and len(steps) == 1
    options = {
        "evaluate": "--eval PATH",
        "calibrate": "--data PATH",
        "goal": f"--goal {advice['goal']}" + (" --max-drop 0.01" if advice["goal"] == "limit" else ""),
        "int8": f"--prune {steps[0]['sparsity_level']:g} --int8" if pruning else "`advice` of report.json has the recipe",
        "ignore": "`advice` of report.json has the recipe",
    }
    return f"{advice['sentence'].removesuffix('.')} ({options[advice['action']]})."


def summary(report: Mapping[str, Any]) -> Table:
    """Size, sparsity, fidelity and latency before and after; brackets hold 95 % intervals."""
    table = Table("", "original", "compressed", "", box=None, pad_edge=False)
    for column in table.columns[1:3]:
        column.justify = "right"
    _add_size(table, report["size"])
    table.add_row("zero weights", "", _percent(report["sparsity"]))
    if report["fidelity"]:
        _add_fidelity(table, report["fidelity"])
    if report["benchmark"]:
        _add_benchmark(table, report["benchmark"])
    if report.get("memory"):
        _add_memory(table, report["memory"])
    if report["constraint"]:
        _add_constraint(table, report["constraint"])
    return table


def speed_table(benchmark: Mapping[str, Any], names: Sequence[str] = ()) -> Table:
    """A benchmark of one model, or of two by their `names` with the ratio of their speeds; brackets hold 95 % intervals."""
    sides = [benchmark[name] for name in ("model", "original", "compressed") if name in benchmark]
    table = Table("", *(map(escape, names) if len(sides) > 1 else [""]), "", box=None, pad_edge=False)
    for column in table.columns[1 : 1 + len(sides)]:
        column.justify = "right"
    table.add_row("latency, median", *(f"{side['latency_median_ms']:.3f} ms" for side in sides), _median_interval(benchmark))
    for name in "average", "min", "max":
        table.add_row(f"latency, {name}", *(f"{side[f'latency_{name}_ms']:.3f} ms" for side in sides))
    for share in sides[0]["latency_percentiles_ms"]:
        table.add_row(f"{share} % within", *(f"{side['latency_percentiles_ms'][share]:.3f} ms" for side in sides))
    table.add_row("throughput", *(f"{side['throughput_fps']:.1f} / s" for side in sides))
    table.add_row("processor time", *(f"{side['cpu_median_ms']:.3f} ms" for side in sides))
    table.add_row("compilation", *(f"{side['compile_ms']:.0f} ms" for side in sides))
    table.add_row("precision", *(side["infer_precision"] for side in sides))
    table.add_row("kernels", *(", ".join(f"{n} {kind}" for kind, n in side["kernel_precisions"].items()) for side in sides))
    if "ratio" in benchmark:
        _add_benchmark(table, benchmark)
    shapes = ", ".join(f"{escape(name)} {'x'.join(map(str, shape))}" for name, shape in benchmark["shapes"].items())
    threads = "1 thread" if benchmark["nthreads"] == 1 else f"{benchmark['nthreads']} threads"
    amount = f"{benchmark['rounds']} rounds in {benchmark['sessions']} compilations, {threads}"
    table.caption, table.caption_justify = f"{shapes}; {amount}, batch {benchmark['batch_size']}", "left"
    return table


def _median_interval(benchmark: Mapping[str, Any]) -> str:
    median = benchmark.get("median_ms")
    return "" if median is None or median["low"] is None else rf"\[{median['low']:.3f}, {median['high']:.3f}]"


def _add_size(table: Table, size: Mapping[str, Any]) -> None:
    for name, original, compressed in SIZES:
        before, after = size[original], size[compressed]
        table.add_row(
            name,
            formatting.size(before),
            formatting.size(after),
            f"{before / after:.2f} times smaller" if after <= before else f"{after / before:.2f} times larger",
        )


def _add_fidelity(table: Table, fidelity: Mapping[str, Any]) -> None:
    samples = f"on {fidelity['n']} {SAMPLES[fidelity['source']]}"
    before, after = fidelity["accuracy_original"], fidelity["accuracy_compressed"]
    if before and after:
        name = "accuracy" if fidelity["accuracy_metric"] == "top1" else fidelity["accuracy_metric"]
        table.add_row(name, _percent(before["value"]), _percent(after["value"]), f"{_interval(after)} {samples}")
    if lost := fidelity.get("drop"):
        table.add_row("drop, paired", "", f"{100 * lost['value']:.2f} points", _interval(lost))
    if (agreement := fidelity["agreement"]) and fidelity["task"] != "classification":
        metric = next(metric["name"] for metric in fidelity["metrics"] if metric["reference"] == "original")
        table.add_row("like the original", "", _percent(agreement["value"]), f"{_interval(agreement)} by {metric}, {samples}")
    elif agreement:
        table.add_row("same answers", "", _percent(agreement["value"]), f"{_interval(agreement)} {samples}")


def _add_benchmark(table: Table, benchmark: Mapping[str, Any]) -> None:
    before, after = map(_speed(benchmark["hint"]), (benchmark["original"], benchmark["compressed"]))
    ratio = benchmark["ratio"]
    bounds = "" if ratio["low"] is None else rf" \[{ratio['low']:.2f}, {ratio['high']:.2f}]"
    verdict = "" if ratio["significant"] else ", no significant difference"
    said = "times as many" if benchmark["hint"] == "throughput" else "times as fast"
    medians = benchmark.get("ratio_of_medians")
    apart = "" if medians is None or abs(medians / ratio["value"] - 1) < RECONCILED else f"; the medians alone: {medians:.2f}"
    table.add_row(benchmark["hint"], before, after, f"{ratio['value']:.2f} {said}{bounds}{verdict}{apart}")


def _speed(hint: str) -> Callable[[Mapping[str, Any]], str]:
    """How a model's speed is told: by the time of one inference, or by how many samples it does in a second."""
    if hint == "throughput":
        return lambda side: f"{side['throughput_fps']:.1f} / s"
    return lambda side: f"{side['latency_median_ms']:.3f} ms"


def _add_memory(table: Table, memory: Mapping[str, Any]) -> None:
    for name, figure in ("memory of the model", "model_bytes"), ("memory of the process", "process_bytes"):
        before, after = (memory[side][figure] for side in ("original", "compressed"))
        table.add_row(name, formatting.size(before), formatting.size(after), f"{after / before:.2f} of the original's")


def _add_constraint(table: Table, constraint: Mapping[str, Any]) -> None:
    met = {True: "[green]met", False: "[bold red]NOT MET"}.get(constraint["met"], "[yellow]unverified")
    table.add_row("constraint", "", met, escape(constraint["reason"]))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _interval(figure: Mapping[str, Any]) -> str:
    return "" if figure["low"] is None else rf"\[{100 * figure['low']:.2f}, {100 * figure['high']:.2f}]"
