"""How far the compressed model follows the original: the figures of a comparison, with their intervals.

Samples are the unit: a sample's anchors or pixels are averaged first, and intervals are over samples.
"""

from math import log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.evaluation.model_comparison import Comparison, OutputComparison
from workers.evaluation.task_report import change_reports, changed_samples, class_reports, metric_reports
from workers.report import Fidelity, OutputFidelity
from workers.statistics.constraint import Outcomes
from workers.statistics.intervals import Interval, Paired, Values, bootstrap, paired_difference, proportion


def summarise(comparison: Comparison, rng: np.random.Generator) -> Fidelity:
    """The figures with their intervals; `rng` resamples."""
    outputs = {output.name: _output_fidelity(output, rng) for output in comparison.outputs}
    headline = outputs[comparison.headline.name] if comparison.headline else None
    return Fidelity(
        source=comparison.source,
        n=comparison.n,
        task=comparison.task.name,
        metrics=metric_reports(comparison.measures),
        classes=class_reports(comparison.task, comparison.rows, comparison.class_names),
        changes=change_reports(comparison.task, comparison.rows),
        changed_samples=changed_samples(comparison.decisions, comparison.labels),
        headline=headline.name if headline else None,
        kl_divergence=headline.kl_divergence if headline and comparison.decides else None,
        cosine=headline.cosine if headline else None,
        relative_error=headline.relative_error if headline else None,
        outputs=tuple(outputs.values()),
        notes=comparison.notes,
        **(_of_decisions(comparison, headline) if comparison.decides else _of_task(comparison.outcomes)),
    )


def _of_decisions(comparison: Comparison, headline: OutputFidelity | None) -> dict[str, Any]:
    """Agreement and accuracy of a classifier, whose proportions have exact intervals."""
    before, after = comparison.outcomes.right_before, comparison.outcomes.right_after
    return {
        "agreement": headline.agreement if headline else None,
        "accuracy_original": _share(before),
        "accuracy_compressed": _share(after),
        "drop": None if before is None or after is None else paired_difference(Paired.count(before, after)),
    }


def _of_task(outcomes: Outcomes) -> dict[str, Any]:
    """The same of another task, by its first metrics."""
    known, kept = outcomes.measure("accuracy"), outcomes.measure("agreement")
    accuracy = known if known and known.measure.bounded and known.measure.higher_is_better else None
    return {
        "agreement": kept.kept if kept and kept.measure.bounded else None,
        "accuracy_metric": accuracy.measure.name if accuracy else "top1",
        "accuracy_original": accuracy.original if accuracy else None,
        "accuracy_compressed": accuracy.compressed if accuracy else None,
        "drop": accuracy.drop if accuracy else None,
    }


def _output_fidelity(output: OutputComparison, rng: np.random.Generator) -> OutputFidelity:
    rows = output.rows
    error = bootstrap(np.stack([rows["error"], rows["energy"]], axis=1), _relative_error, rng)
    return OutputFidelity(
        name=output.name,
        kind=output.reading.kind,
        n=len(rows),
        agreement=_share(rows["agreement"]),
        foreground_agreement=_share(rows["foreground"]),
        kl_divergence=None if np.isnan(rows["divergence"]).any() else bootstrap(rows["divergence"], _mean, rng),
        cosine=bootstrap(rows["cosine"], _mean, rng),
        relative_error=error,
        sqnr_db=Interval(-10 * log10(error.value), _decibel(error.high), _decibel(error.low)) if error.value else None,
    )


def _share(values: NDArray[Any] | None) -> Interval | None:
    """The mean of what is defined, with its interval."""
    if values is None:
        return None
    numbers = values.astype(np.float64)
    defined = numbers[~np.isnan(numbers)]
    return proportion(defined) if len(defined) else None


def _mean(values: Values) -> Values:
    return np.asarray(values.mean(axis=1))


def _relative_error(rows: Values) -> Values:
    """Error and energy (m, n, 2) -> error of all n over the energy of all, (m,); 1 for an error where silence should be."""
    error, energy = np.moveaxis(rows.sum(axis=1), -1, 0)
    relative: Values = np.where(energy > 0, error / np.where(energy > 0, energy, 1), error > 0)
    return relative


def _decibel(relative_error: float | None) -> float | None:
    return -10 * log10(relative_error) if relative_error else None
