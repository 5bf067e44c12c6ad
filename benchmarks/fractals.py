"""What makes synthetic images calibrate as well as real ones, and how fast are they drawn?

    python benchmarks/fractals.py ablation MODEL.onnx REAL.npz TEST.npz --count 1024 --level 0.65
    python benchmarks/fractals.py speed --size 224

`ablation` prunes every layer alike (or quantises), calibrated on each kind of images in turn, and compares with the original on
the test images; where one zip or folder is given as both, its last 200 test and those before calibrate. The Kullback-Leibler
divergence tells kinds apart that accuracy, with its sampling error of most of a point, cannot. Kinds from `one fractal` to
`fractals` are cumulative.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import openvino as ov
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from fractal_data import FractalRecipe, fractal_image, fractal_images
from workers.calibration import Samples, from_dataset, from_fractals
from workers.calibration.datasets import prepared
from workers.calibration.preprocessing import image_input
from workers.ir.reading.importer import load
from workers.recipe import Preprocessing, Recipe
from workers.run.compression import compress_model, make_context
from workers.run.plan import make_plan

F32 = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY", "INFERENCE_NUM_THREADS": 1}
TESTED = 200  # images of an album that test
DRAWN = 4  # images drawn for one that the model chooses
PLAIN = FractalRecipe(
    fractals=(1, 1), smallest=1024, largest=1.0, solidity=0, spectrum=(8, 8), saturation=0, cast=0, softness=0, resolution=1
)
DEFAULT = FractalRecipe()
ADDITIONS: dict[str, dict[str, Any]] = {
    "+ colour": {"saturation": DEFAULT.saturation, "cast": DEFAULT.cast},
    "+ 1/f background": {"spectrum": DEFAULT.spectrum},
    "+ many, of all scales": {name: getattr(DEFAULT, name) for name in ("fractals", "copies", "smallest", "largest")},
    "+ filled gaps": {"solidity": DEFAULT.solidity},
    "+ finer rendering": {"resolution": DEFAULT.resolution},
}
Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]

app = typer.Typer()


def recipes() -> dict[str, FractalRecipe]:
    """From one plain fractal to the default, an addition at a time."""
    found = {"one fractal": PLAIN}
    recipe = PLAIN
    for name, change in ADDITIONS.items():
        recipe = replace(recipe, **change)
        found[name] = recipe
    return found | {"fractals": DEFAULT, "background alone": replace(DEFAULT, fractals=(0, 0))}


class Trial:
    """A model, and the images of every kind that may calibrate it."""

    def __init__(self, model: Path, real: Path, test: Path, declared: Preprocessing, count: int, seed: int) -> None:
        self.model, self.declared, self.count, self.seed = model, declared, count, seed
        imported = load(model, {})
        self.real, self.test = from_dataset(real, imported, declared), from_dataset(test, imported, declared)
        if real == test:
            border = self.test.count - TESTED
            self.real, self.test = self.real.take(range(border)), self.test.take(range(border, self.test.count))
        self.real = self.real.take(range(min(count, self.real.count)))
        self.base = from_fractals(imported, count, seed, declared)
        image = image_input(imported.inputs[0], declared)
        assert image is not None, "the model takes no images"
        self.image = image[0]
        self.scores = scores(imported.model, self.test)

    def kinds(self) -> dict[str, Callable[[], Samples]]:
        """Samples by the name of their kind, drawn when asked for."""
        found: dict[str, Callable[[], Samples]] = {"noise": self._noise}
        for name, recipe in recipes().items():
            found[name] = lambda recipe=recipe: self._of(self._drawn(recipe, self.count))
        return found | {
            "balanced by the model": lambda: self.drawn.take(balanced(self.drawn_scores, self.count)),
            "surest to the model": lambda: self.drawn.take(surest(self.drawn_scores, self.count)),
            "four times as many": lambda: self.drawn,
            "real": lambda: self.real,
        }

    @cached_property
    def drawn(self) -> Samples:
        """Fractals to choose from."""
        return self._of(self._drawn(DEFAULT, DRAWN * self.count))

    @cached_property
    def drawn_scores(self) -> Scores:
        """What the original model says to them."""
        return scores(load(self.model, {}).model, self.drawn)

    def result(self, samples: Samples, step: dict[str, Any]) -> dict[str, float]:
        """Fidelity of the model after one step of a recipe, and the CPU seconds that took."""
        imported = load(self.model, {})
        plan = make_plan(imported, Recipe.model_validate({"steps": [step]}))
        start = time.process_time()
        made = compress_model(plan, make_context(plan, imported.model, samples, seed=self.seed, threads=1))
        spent = time.process_time() - start
        return fidelity(self.scores, scores(made.model, self.test), self.test.labels) | {"cpu_s": spent}

    def _drawn(self, recipe: FractalRecipe, count: int) -> Pixels:
        size = self.image.height, self.image.width
        return np.stack([fractal_image(number, size, self.seed, self.image.channels, recipe) for number in range(count)])

    def _noise(self) -> Samples:
        shape = self.count, *self.image.picture
        return self._of(np.random.default_rng(self.seed).integers(0, 256, shape, np.uint8))

    def _of(self, pixels: Pixels) -> Samples:
        feeds = {self.image.name: prepared(lambda numbers: pixels[numbers], self.image)}
        return replace(self.base, feeds=feeds, numbers=np.arange(len(pixels)))


def scores(model: ov.Model, samples: Samples) -> Scores:
    """Log-probabilities (n, classes)."""
    request = ov.Core().compile_model(model, "CPU", F32).create_infer_request()
    rows = [request.infer(samples.batch(number, number + 1))[0].reshape(-1).copy() for number in range(samples.count)]
    found = np.stack(rows)
    if found.min() >= 0 and np.allclose(found.sum(axis=1), 1, atol=1e-3):  # probabilities already
        found = np.log(np.maximum(found, np.float32(1e-9)))
    found -= found.max(axis=1, keepdims=True)
    return np.asarray(found - np.log(np.exp(found).sum(axis=1, keepdims=True)), np.float32)


def fidelity(original: Scores, compressed: Scores, labels: NDArray[np.int64] | None) -> dict[str, float]:
    """Agreement and accuracy in percent, and the mean Kullback-Leibler divergence from the original in nats."""
    found = {
        "agreement": 100 * float(np.mean(original.argmax(axis=1) == compressed.argmax(axis=1))),
        "divergence": float(np.mean(np.sum(np.exp(original) * (original - compressed), axis=1))),
    }
    return found if labels is None else found | {"accuracy": 100 * float(np.mean(compressed.argmax(axis=1) == labels))}


def surest(found: Scores, count: int) -> NDArray[np.int64]:
    """The images whose best class is the most probable."""
    return np.sort(np.argsort(-found.max(axis=1), kind="stable")[:count])


def balanced(found: Scores, count: int) -> NDArray[np.int64]:
    """As many images of every class as there are, in the order drawn: the classes take turns."""
    best = found.argmax(axis=1)
    turn = np.zeros(len(best), np.int64)
    for chosen in np.unique(best):
        turn[best == chosen] = np.arange(np.count_nonzero(best == chosen))
    return np.sort(np.argsort(turn, kind="stable")[:count])


def preprocessing(mean: str, scale: str) -> Preprocessing:
    """From comma-separated values; nothing is declared by empty ones."""
    given = {"mean_values": mean, "scale_values": scale}
    return Preprocessing.model_validate({key: tuple(map(float, text.split(","))) for key, text in given.items() if text})


@app.command()
def ablation(
    model: Path,
    real: Path,
    test: Path,
    count: int = 1024,
    level: Annotated[list[float], typer.Option()] = [0.5, 0.65],  # noqa: B006
    int8: Annotated[bool, typer.Option("--int8", help="Also quantise, instead of pruning.")] = False,
    seed: int = 0,
    mean: Annotated[str, typer.Option(help="mean_values, with commas")] = "",
    scale: Annotated[str, typer.Option(help="scale_values, with commas")] = "",
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds.")] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file to add the results to.")] = None,
) -> None:
    """Compress a model on every kind of images."""
    trial = Trial(model, real, test, preprocessing(mean, scale), count, seed)
    prune = {"method": "layerwise_pruning", "allocation": "uniform"}
    steps: dict[str, dict[str, Any]] = {f"prune {share}": prune | {"sparsity_level": share} for share in level}
    if int8:
        steps["int8"] = {"method": "int8"}
    table = Table("kind", "step", "agreement", "accuracy", "divergence", "CPU s", title=model.stem)
    for name, samples in trial.kinds().items():
        for said, step in steps.items() if kind is None or name in kind else ():
            found = trial.result(samples(), step)
            accuracy = f"{found['accuracy']:.2f}" if "accuracy" in found else ""
            divergence = f"{found['divergence']:.4f}"
            table.add_row(name, said, f"{found['agreement']:.2f}", accuracy, divergence, f"{found['cpu_s']:.1f}")
            if out:
                record(out, {"model": model.stem, "kind": name, "step": said, "count": count, "seed": seed, **found})
    Console().print(table)


def record(out: Path, result: dict[str, Any]) -> None:
    """Add a result to a JSON list, a line each."""
    results = [*(json.loads(out.read_text()) if out.exists() else []), result]
    out.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in results) + "\n]\n")


@app.command()
def speed(size: int = 224, channels: int = 3, count: int = 300, rounds: int = 3) -> None:
    """Images per second of CPU time of one process."""
    for number in range(rounds):
        start = time.process_time()
        for _ in fractal_images(count, size, number, channels=channels):
            pass
        Console().print(f"{count / (time.process_time() - start):.0f} images/s at {size}x{size}x{channels}", highlight=False)


if __name__ == "__main__":
    app()
