"""What does it cost to take a layer's statistics from some of its rows only?

    python benchmarks/rows.py MODEL.onnx REAL.npz TEST.npz --level 0.65

The engine draws 10 rows of a layer's inputs for each of its columns, and at least 8,192. The same model is pruned with fewer
and with more, up to all there are.
"""

import json
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import typer
from fractals import Trial, preprocessing
from rich.console import Console
from rich.table import Table

from workers.engine import capture

SHARES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 1e9)  # of the rows that the engine draws


def main(
    model: Path,
    real: Path,
    test: Path,
    count: int = 1024,
    level: float = 0.65,
    seed: int = 0,
    mean: Annotated[str, typer.Option(help="mean_values, with commas")] = "",
    scale: Annotated[str, typer.Option(help="scale_values, with commas")] = "",
    out: Annotated[Path | None, typer.Option(help="A JSON file to add the results to.")] = None,
) -> None:
    """Prune a model with statistics of more and more rows."""
    trial = Trial(model, real, test, preprocessing(mean, scale), count, seed)
    step = {"method": "layerwise_pruning", "allocation": "uniform", "sparsity_level": level}
    table = Table("rows a column", "at least", "agreement", "accuracy", "divergence", "CPU s", title=model.stem)
    rows = []
    for share in SHARES:
        wanted = {"ROWS_PER_COLUMN": share * capture.ROWS_PER_COLUMN, "FEWEST_ROWS": share * capture.FEWEST_ROWS}
        with patch.multiple(capture, **wanted):
            found = trial.result(trial.real, step)
        rows.append({"model": model.stem, "level": level, "count": count, **wanted, **found})
        drawn = ("all", "") if share == SHARES[-1] else tuple(f"{value:,.0f}" for value in wanted.values())
        accuracy = f"{found['accuracy']:.1f}" if "accuracy" in found else ""
        table.add_row(*drawn, f"{found['agreement']:.1f}", accuracy, f"{found['divergence']:.4f}", f"{found['cpu_s']:.1f}")
    Console().print(table)
    if out is not None:
        known = json.loads(out.read_text()) if out.exists() else []
        out.write_text("[\n" + ",\n".join(map(json.dumps, [*known, *rows])) + "\n]\n")


if __name__ == "__main__":
    typer.run(main)
