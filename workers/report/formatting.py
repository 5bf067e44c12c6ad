"""Figures in words: units, digits, intervals, and the sentence at the top of the page."""

from collections.abc import Iterator
from math import floor, log10

from workers.recipe.recipe import UNBOUNDED
from workers.report.schema import Ratio, Report
from workers.statistics.constraint import Verdict
from workers.statistics.intervals import Interval

SPACE = "\u00a0"
MINUS = "\u2212"
ARROW = "\u2192"
SIZES = ("B", "kB", "MB", "GB", "TB")
LEAST_SPARSITY = 0.005  # that is worth a word
LEAST_GAIN = 1.05


METRICS = {
    "top1": "Top-1 accuracy",
    "top5": "Top-5 accuracy",
    "f1": "F1",
    "auc": "Area under the curve",
    "r2": "R\u00b2",
    "psnr": "PSNR in dB",
    "ssim": "SSIM",
    "rmse": "RMSE",
    "mae": "MAE",
    "cer": "Character error rate",
    "spearman": "Rank correlation",
    "recall_at_k": "Recall of neighbours",
    "relative_error": "Relative error",
    "agreement": "Same decision",
}


def metric(name: str) -> str:
    """top1 -> Top-1 accuracy; names that are known as they are stay."""
    return METRICS.get(name, name)


def percent(share: float, digits: int = 1) -> str:
    """0.9164 -> 91.6 %; 0.9998 -> 99.98 %."""
    return _percentage(share, digits) + SPACE + "%"


def drop(share: float) -> str:
    """What is lost of a share, negative where something is gained: 0.0133 -> 1.33 points."""
    return _signed(100 * share, 2) + SPACE + "points"


def loss(amount: float, metric: str, drop_type: str = "absolute") -> str:
    """What is, or may be, lost of a metric: points of a share, per cent of its value, or as many of the metric's own units."""
    if drop_type == "relative":
        return f"{percent(amount, 2)} of its value"
    return significant(amount) if metric in UNBOUNDED else drop(amount)


def limit(verdict: Verdict) -> str:
    """What may be lost by a constraint."""
    return loss(verdict.max_drop, verdict.metric, verdict.drop_type)


def significant(value: float, digits: int = 3) -> str:
    """1234.5 -> 1,234; 0.012345 -> 0.0123; 0.0000123 -> 1.23e-05."""
    if value == 0 or not 1e-4 <= abs(value) < 1e15:
        return f"{value:.{digits - 1}e}" if value else "0"
    rounded = float(f"{value:.{digits}g}")
    return _signed(value, max(0, digits - 1 - floor(log10(abs(rounded)))))


def tick(value: float, unit: str = "") -> str:
    """A round value on an axis: 0.30000000000000004 -> 0.3."""
    return f"{value:,.6g}".replace("-", MINUS) + (SPACE + unit if unit else "")


def factor(ratio: float) -> str:
    """3.5412 -> 3.54 times as fast."""
    return f"{significant(ratio)}\u00d7 as fast"


def size(count: float) -> str:
    """1_094_000 -> 1.09 MB."""
    value, unit = count, 0
    while abs(value) >= 999.5 and unit < len(SIZES) - 1:
        value, unit = value / 1000, unit + 1
    return (_signed(value, 0) if unit == 0 else significant(value)) + SPACE + SIZES[unit]


def tick_size(count: float) -> str:
    """A round number of bytes on an axis: 50_000 -> 50 kB."""
    unit = min(len(SIZES) - 1, floor(log10(count) / 3 + 1e-9)) if count >= 1 else 0
    return tick(count / 1000**unit, SIZES[unit])


def duration(seconds: float) -> str:
    """75 -> 1 min 15 s; from ten minutes on seconds are left out: 2114 -> 35 min. 0.0741 -> 74 ms."""
    if 0 < seconds < 0.1:
        return f"{max(1, round(1000 * seconds))}{SPACE}ms"
    if seconds < 60:
        return significant(seconds) + SPACE + "s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 10:
        hours, minutes = divmod(round(seconds / 60), 60)
        return (f"{hours} h {minutes} min" if hours else f"{minutes} min").replace(" ", SPACE)
    return f"{minutes} min {rest} s".replace(" ", SPACE)


def milliseconds(value: float) -> str:
    """0.2713 -> 0.271 ms."""
    return significant(value) + SPACE + "ms"


def percent_interval(interval: Interval, digits: int = 1) -> str:
    """Interval(0.91, 0.89, 0.93) -> 89.0 to 93.0 %."""
    if interval.low is None or interval.high is None:
        return f"unknown{SPACE}%"
    return f"{_percentage(interval.low, digits)} to {percent(interval.high, digits)}"


def drop_interval(interval: Interval) -> str:
    """Interval(0.003, -0.01, 0.02) -> -1.00 to 2.00 points."""
    if interval.low is None or interval.high is None:
        return f"unknown{SPACE}points"
    return f"{_signed(100 * interval.low, 2)} to {_signed(100 * interval.high, 2)}{SPACE}points"


def plain_interval(interval: Interval | Ratio) -> str:
    """Interval(3.51, 3.49, 3.52) -> 3.49 to 3.52."""
    if interval.low is None or interval.high is None:
        return "unknown"
    return f"{significant(interval.low)} to {significant(interval.high)}"


def headline(report: Report) -> str:
    """What was achieved, in one sentence."""
    told = [*_gains(report), _price(report)]
    if report.fidelity is not None and report.fidelity.task == "detection":
        told = [told[-1], *told[:-1]]
    sentence = ", ".join(told)
    return sentence[0].upper() + sentence[1:]


def _gains(report: Report) -> Iterator[str]:
    """Speed first where activations are quantised, zeros first where weights were pruned; then both sizes."""
    if any(step.method == "int8" for step in report.recipe.steps) and report.benchmark is not None:
        ratio = report.benchmark.ratio
        yield f"{significant(ratio.value)} times as fast" if ratio.significant else "no faster on this machine"
    if any(step.expected_sparsity for step in report.recipe.steps) and report.sparsity >= LEAST_SPARSITY:
        yield f"{percent(report.sparsity, 0)} of the weights are zero"
    size = report.size
    disk, zipped = size.original_bytes / size.compressed_bytes, size.original_zip_bytes / size.zip_bytes
    if max(disk, zipped) < LEAST_GAIN:
        yield "the file is no smaller"
    elif disk < 1:
        yield f"the file is no smaller, zipped {significant(zipped, 2)} times smaller"
    else:
        yield f"the file is {significant(disk, 2)} times smaller, zipped {significant(zipped, 2)} times"


def _price(report: Report) -> str:
    fidelity = report.fidelity
    if fidelity is None:
        return "and nothing is known about its answers"
    if fidelity.accuracy_original and fidelity.accuracy_compressed:
        before, after = fidelity.accuracy_original.value, fidelity.accuracy_compressed.value
        name = "accuracy" if fidelity.accuracy_metric == "top1" else fidelity.accuracy_metric
        return f"{name} {_signed(100 * before, 1)} {ARROW} {percent(after)}"
    if fidelity.agreement and fidelity.task != "classification":
        metric = next(metric for metric in fidelity.metrics if metric.reference == "original")
        held = f"{metric.name} against the original's own answers"
        return f"{held} {percent(metric.compressed.value) if metric.bounded else significant(metric.compressed.value)}"
    if fidelity.agreement:
        foreground = fidelity.foreground_agreement
        apart = f", {percent(foreground.value)} in the foreground" if foreground else ""
        return f"{percent(fidelity.agreement.value)} of its decisions are unchanged{apart}"
    if fidelity.cosine:
        return f"and its outputs have a cosine of {significant(fidelity.cosine.value)} with the original's"
    return "and its outputs cannot be compared"


def _percentage(share: float, digits: int) -> str:
    """What would only round to all, and is not all, is told to the hundredth below."""
    nearly = digits == 1 and 0.9995 <= share < 1
    return f"{floor(1e4 * share + 1e-9) / 100:.2f}" if nearly else _signed(100 * share, digits)


def _signed(value: float, digits: int) -> str:
    """With a real minus sign, and none before a zero."""
    text = f"{abs(value):,.{digits}f}"
    return (MINUS if value < 0 and float(text.replace(",", "")) else "") + text
