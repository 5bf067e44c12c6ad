"""fractune plan: what a recipe will do to a model, without doing it."""

from collections import Counter

from rich.markup import escape
from rich.table import Table

from service.commands.inspect import inspection_of
from service.terminal import options
from service.terminal.console import messages, output
from service.terminal.recipes import read_recipe, short_steps
from workers.recipe.forecast import Forecast, foresee
from workers.report.formatting import duration, size


def plan(
    model: options.Model,
    goal: options.Goal = None,
    recipe: options.RecipeFile = None,
    max_drop: options.MaxDrop = None,
    prune: options.Prune = None,
    int8: options.Int8 = False,
    knobs: options.Knobs = None,
    shape: options.Shapes = None,
    as_json: options.AsJson = False,
) -> None:
    """Tell which layers of MODEL a recipe would change, and the size, memory and time to expect; nothing is compressed."""
    steps = short_steps(prune, int8)
    instructions = read_recipe(recipe, goal=goal, steps=steps, max_drop=max_drop, shapes=shape, knobs=knobs)
    forecast = foresee(inspection_of(model, instructions, as_json), instructions)
    if as_json:
        output.print_json(forecast.model_dump_json())
        return
    output.print(*_tables(forecast), sep="\n")
    for line in (*forecast.unmatched, *forecast.notes):
        messages.print(line, markup=False)


def _tables(forecast: Forecast) -> list[Table]:
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_row("layers", f"{len(forecast.layers)} changed, {len(forecast.skipped)} left alone")
    facts.add_row("zero weights", f"{100 * forecast.sparsity:.0f} %")
    facts.add_row("size", f"{size(forecast.original_bytes)} \u2192 {size(forecast.compressed_bytes)}")
    facts.add_row("size, zipped", size(forecast.zip_bytes))
    facts.add_row("time", "unknown" if forecast.seconds is None else f"about {duration(forecast.seconds)} on one core")
    facts.add_row("memory", "unknown" if forecast.memory_bytes is None else f"about {size(forecast.memory_bytes)}")
    layers = Table("layer", "type", "weights", "steps", "bits", box=None, pad_edge=False)
    for layer in forecast.layers:
        steps = " + ".join(f"{step} x{n}" if n > 1 else step for step, n in Counter(layer.steps).items())
        layers.add_row(escape(layer.name), layer.type, f"{layer.weights:,}", steps, f"{layer.bits:.2f}")
    skipped = Table("left alone", "type", "because", box=None, pad_edge=False)
    for spared in forecast.skipped:
        skipped.add_row(escape(spared.name), spared.type, escape(spared.reason))
    return [facts, layers, *([skipped] if forecast.skipped else [])]
