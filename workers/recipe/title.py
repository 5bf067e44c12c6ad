"""A recipe in a few words, for lists of jobs: "prune 70 %, then int8"."""

from workers.methods.problem import Step
from workers.recipe.recipe import Recipe


def recipe_title(recipe: Recipe) -> str:
    """What the steps do, and what they are to keep."""
    told = ", then ".join(map(_in_brief, recipe.steps))
    if recipe.pareto:
        return f"{told}, front of {recipe.pareto.points}"
    if recipe.search and recipe.constraint and recipe.constraint.max_drop <= 1:
        share = 100 * recipe.constraint.max_drop
        unit = "%" if recipe.constraint.drop_type == "relative" else "point" if share == 1 else "points"
        return f"{told}, within {share:g} {unit}"
    return told


def _in_brief(step: Step) -> str:
    """The one knob that tells most: how much is pruned, or how many bits are left."""
    if (share := getattr(step, "sparsity_level", None)) is not None:
        return f"prune {100 * share:g} %"
    if (bits := getattr(step, "bits", None)) is not None:
        return f"{step.method} {bits} bits"
    return step.method.replace("_", " ")
