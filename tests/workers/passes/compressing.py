"""A recipe's steps on a small model, in this process."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from workers.calibration import from_fractals
from workers.ir.graph.frontier import EXACT
from workers.ir.reading.importer import load
from workers.recipe import Recipe
from workers.run.compression import compress_model, make_context
from workers.run.plan import make_plan

SAMPLES = 24


class Job:
    """A recipe's steps on a model, and what they were told on the way."""

    def __init__(self, path: Path, steps: Any, **options: Any) -> None:
        recipe = Recipe.model_validate({"steps": steps, **options})
        imported = load(path)
        plan = make_plan(imported, recipe)
        self.original = imported.model.clone()
        self.samples = from_fractals(imported, SAMPLES, 0, recipe.preprocessing)
        self.told: list[tuple[int, int, str]] = []
        self.announced: list[Any] = []
        context = make_context(plan, self.original, self.samples, seed=0, threads=1, on_layer=self.announced.append)

        def progress(done: Any, total: Any, layer: Any = None, message: str = "") -> None:
            self.told.append((done, total, message))

        self.compressed = compress_model(plan, context, progress)
        self.results = {result.layer.name: result for result in self.compressed.results}

    def outputs(self, model: Any) -> Any:
        """The first output on the calibration samples, (n, ...)."""
        request = ov.Core().compile_model(model, "CPU", EXACT).create_infer_request()
        values = [request.infer(self.samples.batch(k, k + 1))[0].copy() for k in range(SAMPLES)]
        return np.concatenate(values).astype(np.float64)
