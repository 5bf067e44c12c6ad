"""How often the one-sided 95 % bound of a task's metric holds, in simulated runs.

    python -m benchmarks.coverage [--runs 2000] [--out benchmarks/results/coverage.json]

A run draws the losses of `n` samples from a known distribution, and asks whether the bound covers its mean.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.statistics.measures import mean_measure

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

LOSSES: dict[str, tuple[Draw, float]] = {
    "yes or no, 10 %": (lambda rng, n: (rng.random(n) < 0.1).astype(float), 0.1),
    "lost 8 %, gained 3 %": (lambda rng, n: rng.choice([1.0, -1.0, 0.0], n, p=[0.08, 0.03, 0.89]), 0.05),
    "skewed shares": (lambda rng, n: rng.beta(0.5, 5, n), 0.5 / 5.5),
    "10 % large, others small": (
        lambda rng, n: np.where(rng.random(n) < 0.1, rng.beta(5, 2, n), rng.normal(0, 0.02, n)),
        0.1 * 5 / 7,
    ),
    "normal": (lambda rng, n: rng.normal(0.1, 0.2, n), 0.1),
}
SAMPLES = (64, 200, 500)


def covered(draw: Draw, mean: float, n: int, runs: int) -> float:
    """Share of the runs whose bound is not below the mean."""
    rng = np.random.default_rng(n)
    return sum(
        mean_measure("m", [np.ones(n), 1 - draw(rng, n)], "original").resampled(rng).bound(n) >= mean for _ in range(runs)
    ) / float(runs)


def main() -> None:
    """Print the table, and keep it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {
        name: {str(n): round(covered(draw, mean, n, options.runs), 4) for n in SAMPLES} for name, (draw, mean) in LOSSES.items()
    }
    for name, row in results.items():
        figures = "  ".join(f"{n:>4}: {100 * share:.1f} %" for n, share in row.items())
        sys.stdout.write(f"{name:28}{figures}\n")
    if options.out:
        options.out.write_text(json.dumps({"runs": options.runs, "covered": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
