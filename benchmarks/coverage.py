"""How often the one-sided 95 % bound of a task's metric holds, in simulated runs.

    python -m benchmarks.coverage [--runs 4000] [--out benchmarks/results/coverage.json]

A run draws the losses of `n` samples from a known distribution, and asks whether the bound covers its mean. Runs come in
groups that share their resamples, which draws the same intervals in a fraction of the time.
"""

import argparse
import json
import sys
from collections.abc import Callable
from math import comb
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.statistics.intervals import Interval, Paired, paired_difference
from workers.statistics.measures import ONE_SIDED, Measure, draw_resamples, mean_measure, ratio_measure

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

LOSSES: dict[str, tuple[Draw, float]] = {
    "lost 8 %, gained 3 %": (lambda rng, n: rng.choice([1.0, -1.0, 0.0], n, p=[0.08, 0.03, 0.89]), 0.05),
    "skewed shares": (lambda rng, n: rng.beta(0.5, 5, n), 0.5 / 5.5),
    "10 % large, others small": (
        lambda rng, n: np.where(rng.random(n) < 0.1, rng.beta(5, 2, n), rng.normal(0, 0.02, n)),
        0.1 * 5 / 7,
    ),
    "normal": (lambda rng, n: rng.normal(0.1, 0.2, n), 0.1),
}
SAMPLES = (64, 200, 500)
GROUP = 40  # runs that share their resamples
OUTCOMES, LOST = "yes or no, 10 %", 0.1
LINES = "edits over characters"
EDITED = 0.06  # of the characters, half of them in one line of ten


def covered(name: str, n: int, runs: int) -> float:
    """Share of the runs whose bound is not below the truth."""
    rng = np.random.default_rng(n)
    truth = EDITED if name == LINES else LOSSES[name][1]
    held = 0
    for run in range(runs):
        if run % GROUP == 0:
            counts = draw_resamples(n, rng)
        held += drawn(name, n, rng).scored(counts).bound(n) >= truth
    return held / runs


def exactly(n: int) -> float:
    """The same for losses of yes or no, of which one in ten is lost, summed over how many there may be."""
    held = (lost for lost in range(n + 1) if _high(paired_difference(Paired(n - lost, lost, 0, 0), ONE_SIDED)) >= LOST)
    return sum(comb(n, lost) * LOST**lost * (1 - LOST) ** (n - lost) for lost in held)


def _high(interval: Interval) -> float:
    return 1.0 if interval.high is None else interval.high


def drawn(name: str, n: int, rng: np.random.Generator) -> Measure:
    """A metric of two models, the first without a fault, on samples that `rng` draws."""
    if name != LINES:
        losses = LOSSES[name][0](rng, n)
        before = np.where(losses < 0, 1 + losses, 1)
        return mean_measure("m", [before, before - losses], "original")
    length = 1 + rng.poisson(8, n)
    rate = np.where(rng.random(n) < 0.1, 10 * EDITED / 2, EDITED / 2 / 0.9)
    edits = np.stack([np.zeros(n), rng.binomial(length, rate)], axis=1)
    return ratio_measure("cer", edits, np.stack([length, length], axis=1).astype(float), "original", higher_is_better=False)


def main() -> None:
    """Print the table, and keep it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {OUTCOMES: {str(n): round(exactly(n), 4) for n in SAMPLES}}
    results |= {name: {str(n): round(covered(name, n, options.runs), 4) for n in SAMPLES} for name in (*LOSSES, LINES)}
    for name, row in results.items():
        figures = "  ".join(f"{n:>4}: {100 * share:.1f} %" for n, share in row.items())
        sys.stdout.write(f"{name:28}{figures}\n")
    error = (0.95 * 0.05 / options.runs) ** 0.5
    sys.stdout.write(f"{options.runs} runs a cell but the first row's; standard error {100 * error:.1f} points\n")
    if options.out:
        options.out.write_text(
            json.dumps({"runs": options.runs, "standard_error": round(error, 4), "covered": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
